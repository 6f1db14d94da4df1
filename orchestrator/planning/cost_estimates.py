"""What a plan will cost: seconds and peak memory of its units, before anything runs and without
torch.

A unit that was measured costs what it cost then: the store has rows of it, or of one that differs
in its seed alone. All others follow `cost_model`, corrected by how far the model was off on the
measured units of the same kind.
"""

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.planning.cost_model import Estimate, images_per_class, model
from orchestrator.planning.plan import Plan
from orchestrator.store import tables
from orchestrator.store.provenance import is_gpu
from orchestrator.units import Continual, Embed, Evaluate, ImportExtractor, TrainExtractor, Unit

MEASURED_UNITS = 3
"""Units of one shape that are looked up; more tell no more."""


def estimate(
    plan: Plan, *, gpu: bool, store_tables: Path | None = None, done: Iterable[str] = ()
) -> dict[str, Estimate]:
    """Estimate every unit of a plan.

    Args:
        plan: the units.
        gpu: whether units run on a GPU each, or on a CPU core each.
        store_tables: the store's `tables` folder; None to go by the model alone.
        done: keys of the units that the store has.

    Raises:
        TableError: a table cannot be read.
    """
    groups: dict[object, list[str]] = defaultdict(list)
    for key, unit in plan.units.items():
        groups[_likeness(unit, _first_parent(plan, unit))].append(key)
    modeled = {}
    for keys in groups.values():
        unit = plan.units[keys[0]]
        modeled[keys[0]] = model(unit, _first_parent(plan, unit), gpu=gpu)

    known = set(done)
    samples = {
        keys[0]: [key for key in keys if key in known][:MEASURED_UNITS] for keys in groups.values()
    }
    rows = (
        _measured(store_tables, [key for keys in samples.values() for key in keys], gpu)
        if store_tables
        else {}
    )
    measured = {
        first: costs
        for first, keys in samples.items()
        if (costs := [rows[k] for k in keys if k in rows])
    }
    corrections = _corrections(plan, modeled, measured)
    estimates: dict[str, Estimate] = {}
    for keys in groups.values():
        found = _estimate(
            modeled[keys[0]], measured.get(keys[0], []), corrections[plan.units[keys[0]].kind]
        )
        estimates.update(dict.fromkeys(keys, found))
    return estimates


def _estimate(modeled: Estimate, measured: list[tuple[float, int]], correction: float) -> Estimate:
    if not measured:
        return dataclasses.replace(modeled, seconds=modeled.seconds * correction)
    seconds = statistics.fmean(seconds for seconds, _ in measured)
    return Estimate(seconds=seconds, memory=max(memory for _, memory in measured), basis="measured")


def _corrections(
    plan: Plan, modeled: Mapping[str, Estimate], measured: Mapping[str, list[tuple[float, int]]]
) -> dict[str, float]:
    """Return, for every kind, measured over modelled seconds; 1 where nothing was measured."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for first, costs in measured.items():
        total = sums[plan.units[first].kind]
        total[0] += statistics.fmean(seconds for seconds, _ in costs)
        total[1] += modeled[first].seconds
    return defaultdict(
        lambda: 1.0, {kind: real / expected for kind, (real, expected) in sums.items()}
    )


def _likeness(unit: Unit, parent: Unit | None) -> object:
    """Return what units of equal cost share: everything but seeds, places in a pool, and keys of
    parents.
    """
    if isinstance(unit, TrainExtractor | ImportExtractor):
        whole = dataclasses.replace(
            unit, index=0, dataset=dataclasses.replace(unit.dataset, classes=())
        )
        return type(unit), whole, len(unit.dataset.classes)
    dataset = dataclasses.replace(unit.dataset, classes=()), len(unit.dataset.classes)
    alone = (
        type(unit),
        dataclasses.replace(unit, seed=0, parents=(), dataset=dataset[0]),
        dataset[1],
        len(unit.parents),
    )
    if parent is None:
        return alone
    measures = isinstance(unit, Evaluate | Continual | Embed)
    return alone, images_per_class(parent) if measures else _likeness(parent, None)


def _first_parent(plan: Plan, unit: Unit) -> Unit | None:
    return plan.units[unit.parents[0]] if unit.parents else None


def _measured(store_tables: Path, keys: list[str], gpu: bool) -> dict[str, tuple[float, int]]:
    """Return seconds and peak memory of units, summed over their rows, as far as such a device
    measured them.
    """
    found: dict[str, tuple[float, int]] = {}
    for table in dict.fromkeys(tables.TABLE_OF_KIND.values()) if keys else ():
        columns = tables.read(store_tables, table, keys).select(
            ["key", "seconds", "peak_memory", "device"]
        )
        for row in columns.to_pylist():
            if row["seconds"] is None or is_gpu(row["device"] or "") != gpu:
                continue
            seconds, memory = found.get(row["key"], (0.0, 0))
            found[row["key"]] = seconds + row["seconds"], max(memory, row["peak_memory"] or 0)
    return found


def wall_seconds(
    plan: Plan, keys: Iterable[str], estimates: Mapping[str, Estimate], workers: int
) -> float:
    """Return the least wall time of some units: shared by the workers, but no shorter than the
    longest chain.

    Args:
        plan: the units, parents first.
        keys: those that have to run.
        estimates: of each.
        workers: units that run at the same time.
    """
    wanted = set(keys)
    ends: dict[str, float] = {}
    for key, unit in plan.units.items():
        if key in wanted:
            start = max((ends.get(parent, 0.0) for parent in unit.parents), default=0.0)
            ends[key] = start + estimates[key].seconds
    total = sum(estimates[key].seconds for key in wanted)
    return max(total / max(1, workers), max(ends.values(), default=0.0))
