"""What the planned seeds can see: for each comparison of methods, before anything runs.

The spread of paired differences is that of the comparison's own sets where the store has some of
them, else that of other comparisons of the plan, else a stated one.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.analysis.power import count_sets, find_detectable_difference
from orchestrator.planning.methods import pair_methods
from orchestrator.planning.plan import Cell, Plan
from orchestrator.store import tables
from orchestrator.units import Evaluate

STATED_BETWEEN, STATED_WITHIN = 0.005, 0.008
"""Standard deviations, as fractions, of differences between sets and of accuracies of networks on
one set, where nothing was measured. The published ± of accuracies on CIFAR-10 is 0.1 to 0.8 points.
"""
WANTED = 0.005
"""Half a point."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerRow:
    """One comparison of two methods at one point of the grid."""

    first: str
    second: str
    experiment: str
    dataset: str
    ipc: int | None
    network: str
    seeds: int
    deviation: float
    """Standard deviation of the differences of sets, as a fraction."""
    basis: str
    """Where the deviation is from."""
    detectable: float | None
    """Difference that is seen with 80 % power; None with one seed."""
    wanted_seeds: int | None
    """Seeds that half a point would need; None beyond any reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Comparison:
    """Two methods at one point, with the evaluations of each by seed."""

    first: str
    second: str
    place: Cell
    """Any of its cells."""
    keys: tuple[dict[int, str], dict[int, str]]
    networks: int
    """Networks per set."""


def estimate_power(
    plan: Plan, store_tables: Path | None = None, done: Collection[str] = ()
) -> tuple[PowerRow, ...]:
    """Return what the planned seeds of each comparison can see.

    Args:
        plan: the cells.
        store_tables: the store's `tables` folder; None to go by the stated spread alone.
        done: keys of the units that the store has.

    Raises:
        TableError: a table cannot be read.
    """
    comparisons = list(_list_comparisons(plan))
    means = {} if store_tables is None else _read_means(store_tables, comparisons, done)
    own = [_compute_deviation(each, means) for each in comparisons]
    known = [(deviation, freedom) for deviation, freedom in own if freedom]
    pooled = _pool_deviations(known)
    rows = []
    for comparison, (deviation, freedom) in zip(comparisons, own, strict=True):
        if freedom:
            basis = "its sets in the store"
        elif pooled is not None:
            deviation, basis = pooled, "other comparisons in the store"
        else:
            deviation, basis = _state_deviation(comparison.networks), "stated"
        rows.append(_build_row(comparison, deviation, basis))
    return tuple(rows)


def describe_power(rows: Sequence[PowerRow]) -> list[str]:
    """Return a line per comparison, over all points of the grid; nothing without comparisons."""
    groups: dict[tuple[str, str, int, str], list[PowerRow]] = {}
    for row in rows:
        groups.setdefault((row.first, row.second, row.seeds, row.basis), []).append(row)
    if not groups:
        return []
    lines = ["Differences that the planned seeds can see (80 % power, two-sided t test at 5 %):"]
    for (first, second, seeds, basis), chosen in groups.items():
        wanted = _format_range([row.wanted_seeds for row in chosen], "{:,.0f}")
        counted = f"{seeds} seed{'' if seeds == 1 else 's'}"
        seen = _format_range([_to_points(row.detectable) for row in chosen], "{:.1f}")
        sees = f"{counted}: {seen} points" if seeds > 1 else f"{counted}: none, which needs two"
        lines.append(
            f"  {first} − {second}, {sees}; half a point needs {wanted} seeds (spread: {basis})"
        )
    if any(row.basis == "stated" for row in rows):
        lines.append(
            f"  Stated spread: {100 * STATED_BETWEEN:g} points between sets, paired, and"
            f" {100 * STATED_WITHIN:g} between networks on one set; measured ones replace it."
        )
    return lines


def _list_comparisons(plan: Plan) -> Iterator[_Comparison]:
    points: dict[tuple[Any, ...], dict[str, list[Cell]]] = {}
    for cell in plan.cells:
        if cell.measure == "accuracy" and cell.ipc is not None:
            point = (cell.experiment, cell.dataset, cell.protocol, cell.ipc, cell.network)
            methods = points.setdefault((*point, cell.sweep), {})
            methods.setdefault(cell.method, []).append(cell)
    for methods in points.values():
        for first, second in pair_methods(list(methods)):
            keys = tuple(
                {cell.seed: cell.evaluation_key for cell in methods[name]}
                for name in (first, second)
            )
            # Where both methods are the same units there is no difference to see.
            if keys[0] != keys[1]:
                place = methods[first][0]
                unit = plan.units[place.evaluation_key]
                networks = unit.settings.num_eval if isinstance(unit, Evaluate) else 1
                yield _Comparison(
                    first=first,
                    second=second,
                    place=place,
                    keys=(keys[0], keys[1]),
                    networks=networks,
                )


def _read_means(
    store_tables: Path, comparisons: Iterable[_Comparison], done: Collection[str]
) -> Mapping[str, float]:
    """Return the mean accuracy of each evaluation that is done, by key."""
    wanted: set[str] = set()
    for comparison in comparisons:
        for by_seed in comparison.keys:
            wanted.update(by_seed.values())
    chosen = wanted.intersection(done)
    if not chosen:
        return {}
    found: dict[str, list[float]] = {}
    rows = tables.read(store_tables, "evaluations", chosen).select(["key", "accuracy"])
    for row in rows.to_pylist():
        found.setdefault(row["key"], []).append(row["accuracy"])
    return {key: math.fsum(values) / len(values) for key, values in found.items()}


def _compute_deviation(comparison: _Comparison, means: Mapping[str, float]) -> tuple[float, int]:
    """Return the deviation of the differences of sets, and its degrees of freedom, 0 if unknown."""
    first, second = comparison.keys
    differences = []
    for seed, key in first.items():
        other = second.get(seed)
        if key in means and other is not None and other in means:
            differences.append(means[key] - means[other])
    freedom = max(len(differences) - 1, 0)
    return (float(np.std(differences, ddof=1)) if freedom else 0.0), freedom


def _pool_deviations(known: Sequence[tuple[float, int]]) -> float | None:
    """Return the pooled standard deviation of some comparisons; None without any."""
    freedom = sum(count for _, count in known)
    if not freedom:
        return None
    return math.sqrt(sum(count * deviation**2 for deviation, count in known) / freedom)


def _state_deviation(networks: int) -> float:
    # Two methods have independent networks in effect, so their variances add.
    return math.sqrt(STATED_BETWEEN**2 + 2 * STATED_WITHIN**2 / networks)


def _build_row(comparison: _Comparison, deviation: float, basis: str) -> PowerRow:
    place = comparison.place
    seeds = len(comparison.keys[0].keys() & comparison.keys[1].keys())
    return PowerRow(
        first=comparison.first,
        second=comparison.second,
        experiment=place.experiment,
        dataset=place.dataset,
        ipc=place.ipc,
        network=place.network,
        seeds=seeds,
        deviation=deviation,
        basis=basis,
        detectable=find_detectable_difference(deviation, seeds),
        wanted_seeds=count_sets(WANTED, deviation),
    )


def _to_points(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _format_range(values: Sequence[float | None], form: str) -> str:
    """Return "3" or "3 to 7"; a value that is unknown is the largest."""
    known = [value for value in values if value is not None]
    if not known:
        return "too many"
    low, high = form.format(min(known)), form.format(max(known))
    if len(known) < len(values):
        return f"{low} or more"
    return low if low == high else f"{low} to {high}"
