"""Which sets are distilled together: those whose iterations draw the same images, networks and
features.

A cohort only matters for scheduling. Each of its sets becomes what it would have become alone, with
its key, rows and artifacts. Sets without class centralization need no extractors, so they may join
sets that share any one pool of them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from orchestrator.planning.dataset_shape import find_shape
from orchestrator.units import Distill, Unit

MAX_STATE_BYTES = 2_000_000_000
"""Most memory that the further sets of a cohort may add to that of one."""

STATE_TENSORS, FLOAT_BYTES = 3, 4
"""What a set keeps through an iteration: images, momentum and gradient, in float32."""


def cohort_key(unit: Unit) -> Distill | None:
    """Return what the sets of one cohort have in common; None if the unit stays alone.

    It is a unit whose settings are those that all of them share.
    """
    if not isinstance(unit, Distill):
        return None
    shared = unit.settings.cohort_settings
    return None if shared is None else replace(unit, settings=shared, parents=())


def cohort_candidates(units: Iterable[Unit]) -> dict[str, frozenset[str]]:
    """Return the keys of all units that can share a cohort with a unit, by the key of that unit.

    Units that can share one with no other are left out.
    """
    groups: dict[Distill, list[str]] = defaultdict(list)
    for unit in units:
        shared = cohort_key(unit)
        if shared is not None:
            groups[shared].append(unit.key)
    candidates: dict[str, frozenset[str]] = {}
    for keys in groups.values():
        if len(keys) > 1:
            candidates.update(dict.fromkeys(keys, frozenset(keys)))
    return candidates


def split_into_cohorts(units: Sequence[Unit], slots: int) -> list[tuple[Unit, ...]]:
    """Cut units that are alike into cohorts.

    There is one for each slot, unless extractors or memory ask for more.

    Args:
        units: alike, in the order in which they should run; at least one.
        slots: trials that run at the same time.
    """
    even_share = -(-len(units) // max(1, slots))
    size = min(even_share, count_cohort_capacity(units[0]))
    cohorts = []
    for alike in _group_by_pool(units):
        for start in range(0, len(alike), size):
            cohorts.append(tuple(alike[start : start + size]))
    return cohorts


def count_cohort_capacity(unit: Unit) -> int:
    """Return how many sets like this one fit into a cohort."""
    return 1 + MAX_STATE_BYTES // count_set_bytes(unit) if isinstance(unit, Distill) else 1


def count_set_bytes(unit: Distill) -> int:
    """Return what a further set adds to a cohort's memory.

    The features and activations of its sets are in memory one after the other, so they add nothing.
    """
    shape = find_shape(unit.dataset)
    pixels = shape.channels * shape.image_size**2
    return STATE_TENSORS * FLOAT_BYTES * shape.classes * unit.ipc * pixels


def count_added_bytes(units: Iterable[Unit]) -> Mapping[Distill | None, int]:
    """Return what the largest possible cohort of some units adds to the memory of one of them.

    The bytes are by `cohort_key`.
    """
    counts: Counter[Distill] = Counter()
    for unit in units:
        shared = cohort_key(unit)
        if shared is not None:
            counts[shared] += 1
    added: dict[Distill | None, int] = {}
    for shared, count in counts.items():
        further = min(count, count_cohort_capacity(shared)) - 1
        added[shared] = further * count_set_bytes(shared)
    return added


def _group_by_pool(units: Sequence[Unit]) -> list[list[Unit]]:
    """Group units by their extractors; those without any join the first group."""
    pools = list(dict.fromkeys(unit.parents for unit in units if unit.parents)) or [()]
    groups: dict[tuple[str, ...], list[Unit]] = {pool: [] for pool in pools}
    for unit in units:
        groups[unit.parents or pools[0]].append(unit)
    return list(groups.values())
