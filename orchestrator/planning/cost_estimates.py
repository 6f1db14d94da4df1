"""What a plan will cost: seconds and peak memory of its units, before anything runs.

A unit that was measured costs what it cost then: the store has its rows, or rows of a unit that
differs in its seed alone. All others follow `cost_model`, corrected by how far the model was off on
the measured units of the same kind.
"""

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from orchestrator.planning.cost_model import Estimate, model_cost
from orchestrator.planning.dataset_shape import DatasetShape
from orchestrator.planning.plan import Plan
from orchestrator.store import tables
from orchestrator.store.provenance import is_gpu
from orchestrator.units import SetUnit, Unit, list_tables

MAX_SAMPLES = 3
"""Measured units of one shape whose rows are read; more would not change the estimate much."""

_PLACES = ("seed", "index")
"""Fields that tell units of equal cost apart."""


class _Measurement(NamedTuple):
    """What a unit cost, or the sum or mean of some."""

    seconds: float
    memory: int


class _Group(NamedTuple):
    """Units of equal cost."""

    keys: list[str]
    modeled: Estimate
    measured: list[_Measurement]


def estimate_costs(
    plan: Plan,
    *,
    gpu: bool,
    store_tables: Path | None = None,
    done: Collection[str] = (),
    shapes: Mapping[str, DatasetShape] | None = None,
) -> dict[str, Estimate]:
    """Estimate every unit of a plan.

    Args:
        plan: the units.
        gpu: whether units run on a GPU each, or on a CPU core each.
        store_tables: the store's `tables` folder; None to go by the model alone.
        done: keys of the units that the store has.
        shapes: sizes of data sets that were read, by name; others are assumed.

    Raises:
        TableError: a table cannot be read.
    """
    groups = _group_units(plan, gpu=gpu, shapes=shapes or {})
    if store_tables is not None:
        _measure_groups(groups, store_tables, frozenset(done), gpu=gpu)
    corrections = _compute_corrections(plan, groups)
    estimates: dict[str, Estimate] = {}
    for group in groups:
        kind = plan.units[group.keys[0]].kind
        estimates.update(dict.fromkeys(group.keys, _estimate_group(group, corrections[kind])))
    return estimates


def _group_units(plan: Plan, *, gpu: bool, shapes: Mapping[str, DatasetShape]) -> list[_Group]:
    """Group units of equal cost, so that the model is asked once for all of them."""
    groups: dict[object, _Group] = {}
    for key, unit in plan.units.items():
        parent = plan.units[unit.parents[0]] if unit.parents else None
        shape = _cost_key(unit, parent)
        if shape not in groups:
            groups[shape] = _Group([], model_cost(unit, parent, gpu=gpu, shapes=shapes), [])
        groups[shape].keys.append(key)
    return list(groups.values())


def _cost_key(unit: Unit, parent: Unit | None) -> object:
    """Return what units of equal cost share.

    That is everything but seeds, places in a pool, which classes they are about, and keys of
    parents. Of a set that is measured only its size counts.
    """
    names = {field.name for field in dataclasses.fields(unit)}
    changes: dict[str, object] = {name: 0 for name in _PLACES if name in names}
    changes["dataset"] = dataclasses.replace(unit.dataset, classes=())
    alike = dataclasses.replace(unit, parents=(), **changes)  # type: ignore[arg-type]
    counts = len(unit.dataset.classes), len(unit.parents)
    if parent is None:
        return alike, counts
    if isinstance(parent, SetUnit):
        return alike, counts, parent.images_per_class
    return alike, counts, _cost_key(parent, None)


def _measure_groups(
    groups: Sequence[_Group], store_tables: Path, done: frozenset[str], *, gpu: bool
) -> None:
    samples: dict[str, _Group] = {}
    for group in groups:
        for key in [key for key in group.keys if key in done][:MAX_SAMPLES]:
            samples[key] = group
    for key, measurement in _read_measurements(store_tables, samples, gpu=gpu).items():
        samples[key].measured.append(measurement)


def _read_measurements(
    store_tables: Path, keys: Collection[str], *, gpu: bool
) -> dict[str, _Measurement]:
    """Return what units cost, summed over their rows, as far as such a device measured them."""
    found: dict[str, _Measurement] = {}
    for table in list_tables() if keys else ():
        rows = tables.read(store_tables, table, keys)
        for row in rows.select(["key", "seconds", "peak_memory", "device"]).to_pylist():
            if row["seconds"] is None or is_gpu(row["device"] or "") != gpu:
                continue
            before = found.get(row["key"], _Measurement(0.0, 0))
            found[row["key"]] = _Measurement(
                before.seconds + row["seconds"], max(before.memory, row["peak_memory"] or 0)
            )
    return found


def _compute_corrections(plan: Plan, groups: Iterable[_Group]) -> Mapping[str, float]:
    """Return for every kind measured over modeled seconds; 1 where nothing was measured."""
    measured: dict[str, float] = defaultdict(float)
    modeled: dict[str, float] = defaultdict(float)
    for group in groups:
        if group.measured:
            kind = plan.units[group.keys[0]].kind
            measured[kind] += _mean_seconds(group.measured)
            modeled[kind] += group.modeled.seconds
    corrections: dict[str, float] = defaultdict(lambda: 1.0)
    for kind, seconds in measured.items():
        corrections[kind] = seconds / modeled[kind]
    return corrections


def _estimate_group(group: _Group, correction: float) -> Estimate:
    if not group.measured:
        return dataclasses.replace(group.modeled, seconds=group.modeled.seconds * correction)
    memory = max(measurement.memory for measurement in group.measured)
    return Estimate(seconds=_mean_seconds(group.measured), memory=memory, basis="measured")


def _mean_seconds(measurements: Sequence[_Measurement]) -> float:
    return statistics.fmean(measurement.seconds for measurement in measurements)


def estimate_wall_seconds(
    plan: Plan, keys: Iterable[str], estimates: Mapping[str, Estimate], workers: int
) -> float:
    """Return the least wall time of some units.

    That is their work shared by the workers, but no less than the longest chain.

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
