"""A plan while it is carried out: which unit comes next."""

import heapq
from collections.abc import Mapping

from orchestrator.planning import cohorts
from orchestrator.planning.work import PlannedWork
from orchestrator.units import KINDS, Unit


class ReadyQueue:
    """A plan while it is carried out: hands out the units that still have to run, each once, alone
    or as a cohort.

    A unit is ready when its parents are done. Of the ready ones the kind with more work behind it
    goes first (extractors, then sets, then evaluations), so that evaluations never hold back the
    sets that others wait for. Within a kind the longest goes first, so that none is left for the
    end, and of equals the plan's order decides. Every step costs a few heap operations, whatever
    the size of the plan.

    Args:
        work: what to do; only its pending units are handed out.
        seconds: how long units are expected to take; none are known if left out.
        slots: trials that run at the same time, over which sets that can be distilled together are
            shared out; with 0 every unit comes alone.
    """

    def __init__(
        self,
        work: PlannedWork,
        seconds: Mapping[str, float] | None = None,
        *,
        slots: int = 0,
    ) -> None:
        order = work.pending
        self.units = work.pending_units
        self.running: set[str] = set()
        self.succeeded: set[str] = set()
        self.failed: set[str] = set()
        self.blocked: set[str] = set()
        """Units that cannot run because a unit they depend on failed."""
        self._children: dict[str, list[str]] = {key: [] for key in order}
        self._missing = dict.fromkeys(order, 0)
        kinds = {kind: rank for rank, kind in enumerate(KINDS)}
        seconds = seconds or {}
        self._rank = {
            key: (kinds[unit.kind], -seconds.get(key, 0.0), place)
            for place, (key, unit) in enumerate(self.units.items())
        }
        for key, unit in self.units.items():
            for parent in unit.parents:
                if parent in self.units:
                    self._children[parent].append(key)
                    self._missing[key] += 1
        self._slots = slots
        self._alike = cohorts.cohort_candidates(self.units.values()) if slots else {}
        self._cohorts: dict[str, tuple[Unit, ...]] = {}
        """Cohorts that are ready, by the key of their first unit."""
        self._waiting = {key for key in self._alike if not self._missing[key]}
        """Units that are ready and in no cohort yet."""
        self._ready = [(self._rank[key], key) for key in order if not self._missing[key]]
        heapq.heapify(self._ready)

    def next(self) -> tuple[Unit, ...]:
        """Hand out the next unit, or cohort of units; nothing while nothing is ready (see
        `exhausted`).
        """
        if not self._ready:
            return ()
        key = heapq.heappop(self._ready)[1]
        if key in self._waiting:
            self._form_cohorts(key)
        units = self._cohorts.pop(key, (self.units[key],))
        self.running.update(unit.key for unit in units)
        return units

    def settle(self, key: str, ok: bool) -> None:
        """Take note that a unit that was handed out is done, or failed for good."""
        self.running.remove(key)
        if not ok:
            self.failed.add(key)
            self._block(key)
            return
        self.succeeded.add(key)
        for child in self._children[key]:
            self._missing[child] -= 1
            if not self._missing[child] and child not in self.blocked:
                heapq.heappush(self._ready, (self._rank[child], child))
                if child in self._alike:
                    self._waiting.add(child)

    def exhausted(self) -> bool:
        """Tell whether everything is handed out, or blocked, and settled."""
        return not self._ready and not self.running

    def _form_cohorts(self, key: str) -> None:
        """Share the first of the ready units and all that are like it out into cohorts, each led by
        its first unit.
        """
        ready = sorted(self._waiting.intersection(self._alike[key]), key=self._rank.__getitem__)
        formed = cohorts.split_into_cohorts([self.units[key] for key in ready], self._slots)
        self._cohorts |= {units[0].key: units for units in formed}
        self._waiting.difference_update(ready)
        led = {unit.key for units in formed for unit in units[1:]}
        if led:
            self._ready = [entry for entry in self._ready if entry[1] not in led]
            heapq.heapify(self._ready)

    def _block(self, key: str) -> None:
        reached = [key]
        while reached:
            for child in self._children[reached.pop()]:
                if child not in self.blocked:
                    self.blocked.add(child)
                    reached.append(child)
