"""A plan while it is carried out: which unit comes next."""

import heapq
from collections.abc import Iterable, Mapping

from orchestrator.plan import Plan, pending
from orchestrator.units import KINDS, Unit


class Schedule:
    """A plan while it is carried out: hands out the units that still have to run, each once.

    A unit is ready when its parents are done. Of the ready ones the kind with more work behind it goes first
    (extractors, then sets, then evaluations), so that evaluations never hold back the sets that others wait for. Within
    a kind the longest goes first, so that none is left for the end, and of equals the plan's order decides. Every step
    costs a few heap operations, whatever the size of the plan.

    Args:
        plan: what to do.
        done: keys of units that need not run; those that nobody needs any more are left out too.
        seconds: how long units are expected to take; none are known if left out.
    """

    def __init__(self, plan: Plan, done: Iterable[str] = (), seconds: Mapping[str, float] | None = None) -> None:
        done = frozenset(done)
        order = pending(plan, done)
        self.units = {key: plan.units[key] for key in order}
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
        self._ready = [(self._rank[key], key) for key in order if not self._missing[key]]
        heapq.heapify(self._ready)

    def next(self) -> Unit | None:
        """Hand out the next unit; None while nothing is ready (see `exhausted`)."""
        if not self._ready:
            return None
        key = heapq.heappop(self._ready)[1]
        self.running.add(key)
        return self.units[key]

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

    def exhausted(self) -> bool:
        """Tell whether everything is handed out, or blocked, and settled."""
        return not self._ready and not self.running

    def _block(self, key: str) -> None:
        reached = [key]
        while reached:
            for child in self._children[reached.pop()]:
                if child not in self.blocked:
                    self.blocked.add(child)
                    reached.append(child)
