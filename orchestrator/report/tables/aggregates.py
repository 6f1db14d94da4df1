"""Tables over all sections, and aggregates over the cells that methods share.

The aggregates come from the measurements without swept settings, which are rows of `evaluations`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from distill_core.datasets.info import REGISTRY
from orchestrator.analysis.across_cells import (
    improvement_interval,
    interquartile_mean,
    interquartile_mean_interval,
    probability_of_improvement,
)
from orchestrator.analysis.statistics import Array, excludes
from orchestrator.planning.methods import pair_methods
from orchestrator.report.entries import (
    format_interval,
    format_percent,
    rank_clearly,
)
from orchestrator.report.model import Emphasis, Table, TableEntry, make_slug
from orchestrator.report.results import Measurement, Results, list_unusual_parts
from orchestrator.report.tables.all_datasets import build_all_datasets_tables
from orchestrator.report.tables.dd_ranking import build_score_tables
from orchestrator.report.tables.reproduction import build_reproduction_tables

_QUARTILES = (
    "Interquartile mean, in %, of accuracies normalized so that chance is 0 and no error is 100,"
    " over all networks of all cells (data set, IPC, network) that all these methods have. The 95"
    " % interval is from a jackknife that leaves out one set at a time."
    " The best and all whose interval overlaps with its are bold, the second best underlined"
    " likewise. Source: Agarwal et al., NeurIPS 2021."
)
_IMPROVEMENT = (
    "Probability, in %, that a network of the first method is more accurate than one of the"
    " second on the same cell, averaged over cells; ties count half. The 95 % interval is from a"
    " jackknife that leaves out one set at a time. Bold where every cell"
    " has several sets and the interval excludes 50. Source: Agarwal et al., NeurIPS 2021."
)


class _SharedCell(NamedTuple):
    """A point that methods share."""

    dataset: str
    ipc: int | None
    network: str


class _Family(NamedTuple):
    """Methods that may be compared."""

    experiment: str
    protocol: str
    split: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Comparison:
    """The methods of one family, on the cells that all of them have."""

    family: _Family
    cell_count: int
    measurements: dict[str, list[Measurement]]
    """By method, one per cell, in the same order for all methods."""

    @property
    def name(self) -> tuple[str, ...]:
        """Parts of a file name."""
        unusual = list_unusual_parts(self.family.protocol, self.family.split)
        return ("across", self.family.experiment, *unusual)

    @property
    def title(self) -> str:
        """The end of a table's title."""
        experiment, protocol, split = self.family
        return f"{experiment} ({split} accuracy, protocol {protocol}, {self.cell_count} cells)"


def build_aggregate_tables(results: Results) -> tuple[Table, ...]:
    """Return the tables over all sections: data sets, reproduction, scores, aggregates.

    Tables without rows are left out.
    """
    tables = [
        *build_all_datasets_tables(results),
        *build_reproduction_tables(results),
        *build_score_tables(results),
    ]
    for comparison in _build_comparisons(results):
        tables.append(_build_quartiles(results, comparison))
        tables.append(_build_improvements(comparison))
    return tuple(table for table in tables if table.rows)


def _build_comparisons(results: Results) -> Iterator[_Comparison]:
    """Yield the comparisons that span at least two cells and two methods."""
    families: dict[_Family, dict[str, dict[_SharedCell, Measurement]]] = {}
    for m in results.measurements:
        if m.summary and m.ipc is not None and not m.sweep and _count_classes(results, m):
            family = _Family(m.scope.experiment, m.scope.protocol, m.scope.split)
            methods = families.setdefault(family, {})
            methods.setdefault(m.method, {})[_SharedCell(m.scope.dataset, m.ipc, m.network)] = m
    for family, methods in families.items():
        first, *others = methods.values()
        shared = set(first).intersection(*others)
        common = [cell for cell in first if cell in shared]
        if len(common) > 1 and others:
            chosen = {}
            for method, measured in methods.items():
                chosen[method] = [measured[cell] for cell in common]
            yield _Comparison(family=family, cell_count=len(common), measurements=chosen)


def _build_quartiles(results: Results, comparison: _Comparison) -> Table:
    normalized: dict[str, list[list[Array]]] = {}
    for method, measurements in comparison.measurements.items():
        normalized[method] = [_normalize(results, m) for m in measurements]
    means = {method: _compute_joint_mean(groups) for method, groups in normalized.items()}
    intervals = {
        method: interquartile_mean_interval(groups) for method, groups in normalized.items()
    }

    def is_worse(low: str, high: str) -> bool:
        below, above = intervals[low], intervals[high]
        return below is not None and above is not None and below[1] < above[0]

    emphasis = rank_clearly(sorted(means, key=lambda method: -means[method]), is_worse)
    rows = []
    for method, measurements in comparison.measurements.items():
        keys = _list_keys(measurements)
        text = format_percent(means[method])
        mean = TableEntry(text=text, emphasis=emphasis.get(method), keys=keys)
        interval = format_interval(intervals[method])
        rows.append((TableEntry(text=method), mean, TableEntry(text=interval, keys=keys)))
    return Table(
        slug=make_slug(*comparison.name, "iqm"),
        title=f"Interquartile mean across cells: {comparison.title}",
        header=("Method", "interquartile mean", "95 % interval"),
        rows=tuple(rows),
        caption=_QUARTILES,
    )


def _build_improvements(comparison: _Comparison) -> Table:
    pairs = pair_methods(list(comparison.measurements))
    return Table(
        slug=make_slug(*comparison.name, "improvement"),
        title=f"Probability of improvement across cells: {comparison.title}",
        header=("Comparison", "probability", "95 % interval"),
        rows=tuple(_build_improvement_row(comparison, first, second) for first, second in pairs),
        caption=_IMPROVEMENT,
    )


def _build_improvement_row(
    comparison: _Comparison, first: str, second: str
) -> tuple[TableEntry, ...]:
    keys: list[str] = []
    groups: list[tuple[list[Array], list[Array]]] = []
    for a, b in zip(comparison.measurements[first], comparison.measurements[second], strict=True):
        groups.append((_list_accuracies(a), _list_accuracies(b)))
        keys += [*a.keys, *b.keys]
    probability = probability_of_improvement(
        (np.concatenate(a), np.concatenate(b)) for a, b in groups
    )
    interval = improvement_interval(groups)
    # With one set the interval says nothing about other sets, so nothing is clear.
    has_several_sets = all(len(a) > 1 and len(b) > 1 for a, b in groups)
    emphasis: Emphasis | None = "clear" if has_several_sets and excludes(interval, 0.5) else None
    distinct = tuple(dict.fromkeys(keys))
    return (
        TableEntry(text=f"{first} over {second}"),
        TableEntry(text=format_percent(probability), emphasis=emphasis, keys=distinct),
        TableEntry(text=format_interval(interval), keys=distinct),
    )


def _compute_joint_mean(groups: Iterable[Sequence[Array]]) -> float:
    """Return the interquartile mean over all numbers of some groups."""
    numbers: list[Array] = []
    for group in groups:
        numbers += group
    return interquartile_mean(np.concatenate(numbers))


def _list_accuracies(m: Measurement) -> list[Array]:
    return [m.accuracies[seed] for seed in sorted(m.accuracies)]


def _normalize(results: Results, m: Measurement) -> list[Array]:
    """Return (accuracy − chance) / (1 − chance), where chance is 1 / number of classes."""
    chance = 1 / _count_classes(results, m)
    return [(numbers - chance) / (1 - chance) for numbers in _list_accuracies(m)]


def _count_classes(results: Results, m: Measurement) -> int:
    """Return the number of classes of a data set; 0 where it is unknown.

    That of a custom data set is read from its rows.
    """
    ref = results.plan.units[m.cells[0].evaluation_key].dataset
    if ref.format is None and ref.name in REGISTRY:
        return len(ref.classes or REGISTRY[ref.name].classes)
    rows = results.rows["evaluations"]
    found = rows.loc[rows["key"].isin(m.keys), "class_accuracies"].dropna()
    return len(found.iloc[0]) if len(found) else 0


def _list_keys(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    keys: dict[str, None] = {}
    for m in measurements:
        keys.update(dict.fromkeys(m.keys))
    return tuple(keys)
