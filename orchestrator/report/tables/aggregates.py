"""Tables over all sections: all data sets in one, reproduction, DD-Ranking's scores, aggregates
over cells.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from distill_core.datasets.info import REGISTRY
from orchestrator.analysis.statistics import (
    Array,
    improvement_interval,
    interquartile_mean,
    interquartile_mean_interval,
    probability_of_improvement,
)
from orchestrator.report.entries import format_interval, format_percent, pair_methods
from orchestrator.report.model import Emphasis, Table, TableEntry, make_slug
from orchestrator.report.results import Measurement, Results
from orchestrator.report.tables.all_datasets import build_all_datasets_tables
from orchestrator.report.tables.dd_ranking import build_score_tables
from orchestrator.report.tables.reproduction import build_reproduction_tables

_QUARTILES = (
    "Interquartile mean, in %, of accuracies normalised so that chance is 0 and no error is 100,"
    " over all networks of all cells (data set, IPC, network) that all these methods have; 95 %"
    " interval from a bootstrap stratified by cell over sets and the networks within them. Agarwal"
    " et al., NeurIPS 2021. Best bold, second underlined."
)
_IMPROVEMENT = (
    "Probability, in %, that a network of the first method is more accurate than one of the second"
    " on the same cell, mean over cells; ties count half. 95 % interval from a bootstrap stratified"
    " by cell, over sets and the networks within them; bold where every cell has several sets and"
    " the interval excludes 50. Agarwal et al., NeurIPS 2021."
)

_Place = tuple[str, int | None, str]
"""A cell that methods share: data set, IPC, network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Comparison:
    """The methods of one experiment under one protocol and split, on the cells that all of them
    have.
    """

    experiment: str
    protocol: str
    split: str
    cells: dict[str, list[Measurement]]
    """By method, in the order of `places`."""
    places: tuple[_Place, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Parts of a file's name."""
        unusual = [part for part in (self.protocol, self.split) if part not in ("paper", "test")]
        return ("across", self.experiment, *unusual)

    @property
    def title(self) -> str:
        """End of a table's title."""
        return (
            f"{self.experiment} ({self.split} accuracy, protocol {self.protocol},"
            f" {len(self.places)} cells)"
        )


def build_aggregate_tables(results: Results) -> tuple[Table, ...]:
    """Return the tables that look over all sections; those without anything to say are left out."""
    aggregates = [
        table for c in _compared(results) for table in (_quartiles(results, c), _improvements(c))
    ]
    made = (
        *build_all_datasets_tables(results),
        *build_reproduction_tables(results),
        *build_score_tables(results),
        *aggregates,
    )
    return tuple(table for table in made if table.rows)


def _compared(results: Results) -> Iterable[_Comparison]:
    """Yield the comparisons that span at least two cells and two methods."""
    groups: dict[tuple[str, str, str], dict[str, dict[_Place, Measurement]]] = {}
    for m in results.measurements:
        if m.summary and m.ipc is not None and not m.sweep and _classes(results, m):
            scope = m.scope
            methods = groups.setdefault((scope.experiment, scope.protocol, scope.split), {})
            methods.setdefault(m.method, {})[scope.dataset, m.ipc, m.network] = m
    for (experiment, protocol, split), methods in groups.items():
        first, *others = methods.values()
        places = tuple(place for place in first if all(place in cells for cells in others))
        if len(places) > 1 and others:
            yield _Comparison(
                experiment=experiment,
                protocol=protocol,
                split=split,
                cells={
                    method: [cells[place] for place in places] for method, cells in methods.items()
                },
                places=places,
            )


def _quartiles(results: Results, comparison: _Comparison) -> Table:
    normalised = {
        method: [_normalised(results, m) for m in ms] for method, ms in comparison.cells.items()
    }
    means = {method: _joined_mean(groups) for method, groups in normalised.items()}
    best = sorted({format_percent(mean) for mean in means.values()}, key=float, reverse=True)
    marks: dict[str, Emphasis] = dict(zip(best, ("best", "second"), strict=False))
    rows = tuple(
        (
            TableEntry(text=method),
            TableEntry(
                text=format_percent(means[method]),
                emphasis=marks.get(format_percent(means[method])),
                keys=_keys(ms),
            ),
            TableEntry(
                text=format_interval(interquartile_mean_interval(normalised[method])),
                keys=_keys(ms),
            ),
        )
        for method, ms in comparison.cells.items()
    )
    return Table(
        slug=make_slug(*comparison.names, "iqm"),
        title=f"Interquartile mean across cells: {comparison.title}",
        header=("Method", "interquartile mean", "95 % interval"),
        rows=rows,
        caption=_QUARTILES,
    )


def _improvements(comparison: _Comparison) -> Table:
    rows = []
    for first, second in pair_methods(list(comparison.cells)):
        pairs = list(zip(comparison.cells[first], comparison.cells[second], strict=True))
        groups = [(_group(a), _group(b)) for a, b in pairs]
        probability = probability_of_improvement(
            (np.concatenate(a), np.concatenate(b)) for a, b in groups
        )
        interval = improvement_interval(groups)
        several = all(len(group) > 1 for pair in groups for group in pair)
        clear = several and interval is not None and not interval[0] <= 0.5 <= interval[1]
        keys = _keys([m for pair in pairs for m in pair])
        number = TableEntry(
            text=format_percent(probability), emphasis="clear" if clear else None, keys=keys
        )
        rows.append(
            (
                TableEntry(text=f"{first} over {second}"),
                number,
                TableEntry(text=format_interval(interval), keys=keys),
            )
        )
    return Table(
        slug=make_slug(*comparison.names, "improvement"),
        title=f"Probability of improvement across cells: {comparison.title}",
        header=("Comparison", "probability", "95 % interval"),
        rows=tuple(rows),
        caption=_IMPROVEMENT,
    )


def _joined_mean(groups: Sequence[Sequence[Array]]) -> float:
    return interquartile_mean(np.concatenate([numbers for group in groups for numbers in group]))


def _group(m: Measurement) -> list[Array]:
    return [m.accuracies[seed] for seed in sorted(m.accuracies)]


def _normalised(results: Results, m: Measurement) -> list[Array]:
    """Return (accuracy − chance) / (1 − chance), chance being one over the number of classes."""
    chance = 1 / _classes(results, m)
    return [(numbers - chance) / (1 - chance) for numbers in _group(m)]


def _classes(results: Results, m: Measurement) -> int:
    """Return the number of classes of a data set, of a user's own from its rows; 0 where it is
    unknown.
    """
    ref = results.plan.units[m.cells[0].evaluation_key].dataset
    if ref.format is None and ref.name in REGISTRY:
        return len(ref.classes or REGISTRY[ref.name].classes)
    rows = results.rows["evaluations"]
    found = rows.loc[rows["key"].isin(m.keys), "class_accuracies"].dropna()
    return len(found.iloc[0]) if len(found) else 0


def _keys(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for m in measurements for key in m.keys))
