"""Two sides next to each other: methods, search spaces or stores, cell by cell.

Differences are paired by seed and network, like those of a report. Rows come from `evaluations`,
costs from `distillations`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.analysis.statistics import differs_from_zero, paired_differences, pool
from orchestrator.planning.plan import Sweep
from orchestrator.report.entries import SAME_SET, build_paired_entry, format_summary
from orchestrator.report.findings.architectures import collect_keys
from orchestrator.report.model import MISSING, Table, TableEntry, build_row
from orchestrator.report.results import Measurement, Results
from orchestrator.report.swept_settings import name_swept_method
from orchestrator.report.tables.settings_differences import compare_settings
from orchestrator.units import Distill, Evaluate

_CAPTION = (
    "Accuracy in %: mean ± population standard deviation. Difference: the first minus the second,"
    " in points, paired by seed and network, with its 95 % interval (Student's t over the means of"
    " the sets). Bold where there are several sets and the interval excludes zero. The cells where"
    " the first loses most stand first."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of the two sides."""

    label: str
    results: Results
    store: str
    """Where they are from."""
    method: str | None = None
    """The only method that counts; None for all."""


_LONGEST_HEADING = 14
"""Letters of a label that fit over a column of accuracies."""


class _Place(NamedTuple):
    """A cell that both sides may have."""

    dataset: str
    protocol: str
    split: str
    ipc: int | None
    network: str
    sweep: Sweep
    method: str
    """Empty where methods are what is compared."""


class _Pair(NamedTuple):
    """A cell that both sides have, with its mean difference."""

    place: _Place
    first: Measurement
    second: Measurement
    difference: float
    is_clear: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What two sides have in common, and what tells them apart."""

    table: Table
    better: int
    """Cells in which the first is clearly better."""
    worse: int
    """Cells in which the first is clearly worse."""
    settings: tuple[str, ...]
    """Settings that differ, the first side's value before the second's."""
    seconds: tuple[float | None, float | None]
    """Mean seconds to make a set of the compared cells; None where nothing was made."""


def compare_sides(first: Side, second: Side) -> Comparison | None:
    """Compare two sides in all cells that both have results of; None without any."""
    ours, theirs = _place_measurements(first), _place_measurements(second)
    pairs = list(_pair(ours, theirs))
    if not pairs:
        return None
    pairs.sort(key=lambda pair: pair.difference)
    settings: dict[str, None] = {}
    for pair in pairs:
        settings.update(dict.fromkeys(_list_settings(first, second, pair)))
    return Comparison(
        table=_build_table(first, second, pairs),
        better=sum(pair.is_clear and pair.difference > 0 for pair in pairs),
        worse=sum(pair.is_clear and pair.difference < 0 for pair in pairs),
        settings=tuple(settings),
        seconds=(
            _compute_seconds(first, [pair.first for pair in pairs]),
            _compute_seconds(second, [pair.second for pair in pairs]),
        ),
    )


def _place_measurements(side: Side) -> Mapping[_Place, Measurement]:
    """Return the measurements of a side by place: with most sets where a place is there twice."""
    placed: dict[_Place, Measurement] = {}
    for m in side.results.measurements:
        if m.summary is None or side.method not in (None, m.method):
            continue
        scope, method = m.scope, "" if side.method else m.method
        place = _Place(
            scope.dataset, scope.protocol, scope.split, m.ipc, m.network, m.sweep, method
        )
        other = placed.get(place)
        if other is None or len(m.accuracies) > len(other.accuracies):
            placed[place] = m
    return placed


def _pair(
    ours: Mapping[_Place, Measurement], theirs: Mapping[_Place, Measurement]
) -> Iterator[_Pair]:
    for place, first in ours.items():
        second = theirs.get(place)
        if second is None:
            continue
        group = paired_differences(first.accuracies, second.accuracies)
        if group:
            yield _Pair(place, first, second, float(pool(group).mean()), differs_from_zero(group))


def _build_table(first: Side, second: Side, pairs: Sequence[_Pair]) -> Table:
    rows: list[tuple[TableEntry, ...]] = []
    for place, a, b, _, _ in pairs:
        where = [place.dataset]
        where += [part for part in (place.protocol, place.split) if part not in ("paper", "test")]
        ipc = "all" if place.ipc is None else place.ipc
        method = name_swept_method(place.method, place.sweep)
        row = build_row(", ".join(where), ipc, place.network, method or MISSING)
        difference = build_paired_entry(a.accuracies, b.accuracies, collect_keys((a, b)))
        if a.keys == b.keys and first.store == second.store:
            difference = TableEntry(text=SAME_SET, keys=a.keys)
        means = (
            TableEntry(text=format_summary(a.summary), keys=a.keys),
            TableEntry(text=format_summary(b.summary), keys=b.keys),
        )
        rows.append((*row, *means, difference))
    labels = [first.label, second.label]
    if max(map(len, labels)) > _LONGEST_HEADING:
        labels = ["first", "second"]
    header = ["Data set", "IPC", "Network", "Method", *labels, "difference"]
    is_named = any(row[3].text != MISSING for row in rows)
    if not is_named:
        header.pop(3)
        rows = [(*row[:3], *row[4:]) for row in rows]
    return Table(
        slug="comparison",
        title=f"{first.label} against {second.label}",
        header=tuple(header),
        rows=tuple(rows),
        caption=_CAPTION,
        text_columns=(0, 2, 3) if is_named else (0, 2),
    )


def _list_settings(first: Side, second: Side, pair: _Pair) -> Iterator[str]:
    """Yield "iterations 80, not 20,000" for every setting that differs in a cell."""
    for kind, name in ((Distill, "set_key"), (Evaluate, "evaluation_key")):
        ours = first.results.plan.units.get(getattr(pair.first.cells[0], name) or "")
        theirs = second.results.plan.units.get(getattr(pair.second.cells[0], name) or "")
        if isinstance(ours, kind) and isinstance(theirs, kind):
            yield from compare_settings(ours.settings, theirs.settings)


def _compute_seconds(side: Side, measurements: Sequence[Measurement]) -> float | None:
    keys: set[str | None] = set()
    for m in measurements:
        keys.update(m.set_keys)
    rows = side.results.rows["distillations"]
    seconds = rows.loc[rows["key"].isin(keys), "seconds"].dropna()
    return float(seconds.mean()) if len(seconds) else None
