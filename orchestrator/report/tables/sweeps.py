"""Tables of a sweep of one method: accuracies, their spread, and changes from the usual values.

They come from the swept measurements, which are rows of `evaluations`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from orchestrator.report.entries import (
    build_accuracy_entry,
    build_difference_entry,
    build_spread_entries,
    collect_footnotes,
    rank_measurements,
)
from orchestrator.report.model import Table, TableEntry, build_row, make_slug
from orchestrator.report.results import Measurement, Scope, format_ipc
from orchestrator.report.swept_settings import (
    find_usual_values,
    format_point,
    format_value,
    name_setting,
)
from orchestrator.report.tables.grids import DIFFERENCE, SPREAD, SPREAD_HEADER, SWEPT_ACCURACY

REFERENCE = "reference"
"""Shown in place of a difference for the measurement that the others are compared with."""


class _Layout(NamedTuple):
    """The header and rows of a sweep."""

    header: tuple[str, ...]
    rows: tuple[tuple[TableEntry, ...], ...]


def build_sweep_table(scope: Scope, measurements: Sequence[Measurement]) -> Table:
    """Return accuracies by value, with the best and second of all of them marked."""
    emphasis = rank_measurements({format_point(m.sweep): m for m in measurements})
    notes = collect_footnotes(measurements)

    def build_entry(m: Measurement) -> TableEntry:
        return build_accuracy_entry(m, emphasis.get(format_point(m.sweep)), notes)

    layout = _lay_out(measurements, build_entry, "accuracy")
    return Table(
        slug=_build_slug(scope, measurements[0]),
        title=_build_title(measurements[0]),
        header=layout.header,
        rows=layout.rows,
        caption=SWEPT_ACCURACY,
        notes=notes,
    )


def build_sweep_details(scope: Scope, measurements: Sequence[Measurement]) -> tuple[Table, ...]:
    """Return the spread and the changes from the usual values, each only where it has results."""
    tables = (_build_spread(scope, measurements), _build_changes(scope, measurements))
    return tuple(table for table in tables if table.has_results)


def find_reference_point(measurements: Sequence[Measurement]) -> tuple[str, ...]:
    """Return the point that others are compared with: the usual values, otherwise the first."""
    usual = {find_usual_values(m).values for m in measurements}
    points: dict[tuple[object, ...], tuple[str, ...]] = {}
    for m in measurements:
        points[tuple(value for _, value in m.sweep)] = format_point(m.sweep)
    first = next(iter(points.values()))
    if len(usual) > 1:  # methods differ in their usual values, so there is no common reference
        return first
    return points.get(usual.pop() or (), first)


def _build_spread(scope: Scope, measurements: Sequence[Measurement]) -> Table:
    rows = []
    for m in measurements:
        if m.summary:
            entries = build_spread_entries(m.accuracies, m.summary, m.keys)
            rows.append((*build_row(*_list_values(m)), *entries))
    return Table(
        slug=f"{_build_slug(scope, measurements[0])}-spread",
        title=f"{_build_title(measurements[0])}: spread",
        header=(*_list_settings(measurements[0]), *SPREAD_HEADER),
        rows=tuple(rows),
        caption=SPREAD,
    )


def _build_changes(scope: Scope, measurements: Sequence[Measurement]) -> Table:
    point = find_reference_point(measurements)
    reference = next(m for m in measurements if format_point(m.sweep) == point)

    def build_entry(m: Measurement) -> TableEntry:
        if m is reference:
            return TableEntry(text=REFERENCE)
        return build_difference_entry(m, reference)

    layout = _lay_out(measurements, build_entry, "difference")
    return Table(
        slug=f"{_build_slug(scope, measurements[0])}-changes",
        title=f"{_build_title(measurements[0])}: changes from {' × '.join(point)}",
        header=layout.header,
        rows=layout.rows,
        caption=DIFFERENCE,
    )


def _lay_out(
    measurements: Sequence[Measurement],
    build_entry: Callable[[Measurement], TableEntry],
    single_heading: str,
) -> _Layout:
    """Arrange a sweep as rows and columns.

    One setting has a row per value and a single column. With several settings the values of the
    last one are the columns.

    Args:
        measurements: of one sweep.
        build_entry: builds the entry of a measurement.
        single_heading: heading of the column of a single setting.
    """
    names = _list_settings(measurements[0])
    leading = len(names) - 1 or 1
    placed: dict[tuple[tuple[str, ...], tuple[str, ...]], Measurement] = {}
    for m in measurements:
        values = _list_values(m)
        placed[values[:leading], values[leading:]] = m
    columns = list(dict.fromkeys(column for _, column in placed))
    rows = []
    for left in dict.fromkeys(left for left, _ in placed):
        row = list(build_row(*left))
        for column in columns:
            place = (left, column)
            row.append(build_entry(placed[place]) if place in placed else TableEntry(text=""))
        rows.append(tuple(row))
    headings = [f"{names[-1]} {column[0]}" if column else single_heading for column in columns]
    return _Layout(header=(*names[:leading], *headings), rows=tuple(rows))


def _build_slug(scope: Scope, m: Measurement) -> str:
    paths = [path for path, _ in m.sweep]
    return make_slug(*scope.name, m.method, format_ipc(m.ipc), m.network, *paths)


def _build_title(m: Measurement) -> str:
    return f"{m.method}, {format_ipc(m.ipc)}, {m.network}: {' × '.join(_list_settings(m))}"


def _list_settings(m: Measurement) -> tuple[str, ...]:
    return tuple(name_setting(path) for path, _ in m.sweep)


def _list_values(m: Measurement) -> tuple[str, ...]:
    return tuple(format_value(value) for _, value in m.sweep)
