"""A plan while it is carried out: which units come next."""

import heapq
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.planning import cohorts
from orchestrator.planning.planned_work import PlannedWork
from orchestrator.units import KINDS, Unit


class ReadyQueue:
    """Hands out the units of a plan that still have to run, each once, alone or as a cohort.

    A unit is ready when its parents are done. Of the ready ones the kind with more work behind it
    goes first (extractors, then sets, then evaluations), so that evaluations never hold back the
    sets that others wait for. Within a kind the longest goes first, so that none is left for the
    end, and of equals the plan's order decides. Every step costs a few heap operations, whatever
    the size of the plan.

    Args:
        work: what to do; only its pending units are handed out.
        seconds: how long units are expected to take, by key; none are known if left out.
        slots: trials that run at the same time; sets that can be distilled together are divided
            among them. With 0 every unit comes alone.
    """

    def __init__(
        self,
        work: PlannedWork,
        seconds: Mapping[str, float] | None = None,
        *,
        slots: int = 0,
    ) -> None:
        self.units = work.pending_units
        self.running: set[str] = set()
        self.succeeded: set[str] = set()
        self.failed: set[str] = set()
        self.blocked: set[str] = set()
        """Units that cannot run because a unit they depend on failed."""
        self._children: dict[str, list[str]] = {key: [] for key in self.units}
        self._missing_parents = dict.fromkeys(self.units, 0)
        self._link_parents()
        self._rank = _rank_units(self.units, seconds or {})
        self._ready = [(self._rank[key], key) for key in self.units if self._is_ready(key)]
        heapq.heapify(self._ready)

        self._slots = slots
        self._candidates = cohorts.cohort_candidates(self.units.values()) if slots else {}
        self._cohorts: dict[str, tuple[Unit, ...]] = {}
        """Cohorts that are ready, by the key of their first unit."""
        self._unassigned = {key for key in self._candidates if self._is_ready(key)}
        """Units that are ready and could be in a cohort, but are in none yet."""

    def next(self) -> tuple[Unit, ...]:
        """Hand out the next unit or cohort; empty while nothing is ready (see `is_exhausted`)."""
        if not self._ready:
            return ()
        key = heapq.heappop(self._ready)[1]
        if key in self._unassigned:
            self._form_cohorts(key)
        units = self._cohorts.pop(key, (self.units[key],))
        self.running.update(unit.key for unit in units)
        return units

    def finish(self, key: str, ok: bool) -> None:
        """Record that a unit that was handed out is done, or failed for good."""
        self.running.remove(key)
        if not ok:
            self.failed.add(key)
            self._block_descendants(key)
            return
        self.succeeded.add(key)
        for child in self._children[key]:
            self._missing_parents[child] -= 1
            if self._is_ready(child) and child not in self.blocked:
                heapq.heappush(self._ready, (self._rank[child], child))
                if child in self._candidates:
                    self._unassigned.add(child)

    def is_exhausted(self) -> bool:
        """Return whether every unit was handed out and finished, or is blocked."""
        return not self._ready and not self.running

    def _link_parents(self) -> None:
        for key, unit in self.units.items():
            for parent in unit.parents:
                if parent in self.units:
                    self._children[parent].append(key)
                    self._missing_parents[key] += 1

    def _is_ready(self, key: str) -> bool:
        return not self._missing_parents[key]

    def _form_cohorts(self, key: str) -> None:
        """Divide a ready unit and all that can be distilled with it into cohorts."""
        alike = self._unassigned.intersection(self._candidates[key])
        ready = [self.units[other] for other in sorted(alike, key=self._rank.__getitem__)]
        followers: set[str] = set()
        for cohort in cohorts.split_into_cohorts(ready, self._slots):
            self._cohorts[cohort[0].key] = cohort
            followers.update(unit.key for unit in cohort[1:])
        self._unassigned -= alike
        # Only the first unit of a cohort stays in the heap: it hands out the others.
        if followers:
            self._ready = [entry for entry in self._ready if entry[1] not in followers]
            heapq.heapify(self._ready)

    def _block_descendants(self, key: str) -> None:
        reached = [key]
        while reached:
            for child in self._children[reached.pop()]:
                if child not in self.blocked:
                    self.blocked.add(child)
                    reached.append(child)


class _Rank(NamedTuple):
    """Where a unit stands among the ready ones; the least comes first."""

    kind: int
    minus_seconds: float
    place: int


def _rank_units(units: Mapping[str, Unit], seconds: Mapping[str, float]) -> dict[str, _Rank]:
    kinds = {kind: rank for rank, kind in enumerate(KINDS)}
    ranks = {}
    for place, (key, unit) in enumerate(units.items()):
        ranks[key] = _Rank(kinds[unit.kind], -seconds.get(key, 0.0), place)
    return ranks
