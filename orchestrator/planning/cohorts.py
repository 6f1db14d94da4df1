"""Which sets are distilled together: those whose iterations draw the same images, networks and
features.

A cohort is a matter of scheduling alone: its sets are what each would have been alone, with keys,
rows and artefacts of their own. Sets without class centralization need no extractors and may join
sets that share any one pool of them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from orchestrator.planning.dataset_shape import find_shape
from orchestrator.units import Distill, Unit

STATE_BYTES = 2_000_000_000
"""Most memory that the further sets of a cohort may add to that of one."""


def cohort_key(unit: Unit) -> Distill | None:
    """Return what the sets of one cohort have in common, as a unit that stands for them all; None
    if it stays alone.
    """
    if not isinstance(unit, Distill) or (shared := unit.settings.cohort_settings) is None:
        return None
    return replace(unit, settings=shared, parents=())


def cohort_candidates(units: Iterable[Unit]) -> dict[str, frozenset[str]]:
    """Return, for each unit that is not the only one of its kind, the keys of all that can share a
    cohort with it.
    """
    groups: dict[Distill, list[str]] = defaultdict(list)
    for unit in units:
        if (like := cohort_key(unit)) is not None:
            groups[like].append(unit.key)
    sets = [frozenset(keys) for keys in groups.values() if len(keys) > 1]
    return {key: keys for keys in sets for key in keys}


def split_into_cohorts(units: Sequence[Unit], slots: int) -> list[tuple[Unit, ...]]:
    """Cut units that are alike into cohorts: one for each slot, unless extractors or memory ask for
    more.

    Args:
        units: alike, in the order in which they should come; at least one.
        slots: trials that run at the same time.
    """
    size = min(-(-len(units) // max(1, slots)), most_cells(units[0]))
    return [
        tuple(pool[start : start + size])
        for pool in _by_pool(units)
        for start in range(0, len(pool), size)
    ]


def most_cells(unit: Unit) -> int:
    """Return how many sets like this one fit into a cohort."""
    return 1 + STATE_BYTES // cell_bytes(unit) if isinstance(unit, Distill) else 1


def cell_bytes(unit: Distill) -> int:
    """Return what a further set adds to a cohort's memory: images, momentum and gradient, float32.

    Features and activations of the sets are in memory one after the other.
    """
    shape = find_shape(unit.dataset)
    return 3 * 4 * shape.classes * unit.ipc * shape.channels * shape.image_size**2


def added_bytes(units: Iterable[Unit]) -> Mapping[Distill | None, int]:
    """Return, by likeness, what a cohort of all such units adds to the memory of one of them,
    within bounds.
    """
    counts = Counter(like for unit in units if (like := cohort_key(unit)) is not None)
    return {
        like: (min(count, most_cells(like)) - 1) * cell_bytes(like)
        for like, count in counts.items()
    }


def _by_pool(units: Sequence[Unit]) -> list[list[Unit]]:
    """Group units by their extractors; those without any go with the first group."""
    pools = list(dict.fromkeys(unit.parents for unit in units if unit.parents)) or [()]
    return [[unit for unit in units if (unit.parents or pools[0]) == pool] for pool in pools]
