"""A plan and how much of it is still to do, found once per command and then passed on."""

from collections.abc import Collection
from dataclasses import dataclass

from orchestrator.planning.plan import Plan
from orchestrator.units import Unit


@dataclass(frozen=True, slots=True)
class PlannedWork:
    """A plan next to what a store already has; `find_pending` makes it."""

    plan: Plan
    done: frozenset[str]
    """Keys of all units that the store has, also those of other plans."""
    pending: tuple[str, ...]
    """Keys of the units that have to run, parents before their children."""

    @property
    def present_units(self) -> list[Unit]:
        """The plan's units that are done."""
        return [unit for key, unit in self.plan.units.items() if key in self.done]

    @property
    def pending_units(self) -> dict[str, Unit]:
        """The plan's units that have to run by key, parents before their children."""
        return {key: self.plan.units[key] for key in self.pending}


def find_pending(plan: Plan, done: Collection[str] = ()) -> PlannedWork:
    """Find the units that have to run.

    A unit is needed if it is not done and a cell names it or a unit that has to run reads it:
    extractors whose sets are all done are left alone.

    Args:
        plan: the units.
        done: keys of the units that need not run, such as `store.find_done_keys()`.
    """
    done = frozenset(done)
    needed: set[str] = set()
    for cell in plan.cells:
        needed.add(cell.evaluation_key)
        if cell.set_key:
            needed.add(cell.set_key)
    # From children to parents: whether a unit runs is known before its parents are reached.
    for key, unit in reversed(plan.units.items()):
        if key in needed and key not in done:
            needed.update(unit.parents)
    pending = tuple(key for key in plan.units if key in needed and key not in done)
    return PlannedWork(plan=plan, done=done, pending=pending)
