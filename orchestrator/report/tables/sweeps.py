"""Tables of a sweep of one method: accuracies, their spread, and their changes from the usual
values.
"""

from collections.abc import Callable, Sequence

from orchestrator.report.entries import (
    build_accuracy_entry,
    build_difference_entry,
    build_spread_entries,
    collect_footnotes,
    rank_summaries,
)
from orchestrator.report.model import Table, TableEntry, build_row, make_slug
from orchestrator.report.results import Measurement, Scope, format_ipc
from orchestrator.report.swept_settings import (
    find_usual_values,
    format_point,
    format_value,
    name_setting,
)
from orchestrator.report.tables.captions import DIFFERENCE, SPREAD, SPREAD_HEADER, SWEPT_ACCURACY

REFERENCE = "reference"
"""In the place of a difference: the measurement that the others are compared with."""


def build_sweep_table(scope: Scope, measurements: Sequence[Measurement]) -> Table:
    """Return accuracies by value, best and second of all of them marked."""
    emphasis = rank_summaries({format_point(m.sweep): m.summary for m in measurements})
    notes = collect_footnotes(measurements)
    name, title = _names(scope, measurements[0])
    header, rows = _by_value(
        measurements,
        lambda m: build_accuracy_entry(m, emphasis.get(format_point(m.sweep)), notes),
        "accuracy",
    )
    return Table(
        slug=name, title=title, header=header, rows=rows, caption=SWEPT_ACCURACY, notes=notes
    )


def build_sweep_details(scope: Scope, measurements: Sequence[Measurement]) -> tuple[Table, ...]:
    """Return their spread and their changes from the usual values, as far as there is anything to
    show.
    """
    tables = (_spread(scope, measurements), _changes(scope, measurements))
    return tuple(
        table for table in tables if any(entry.keys for line in table.rows for entry in line)
    )


def find_reference_point(measurements: Sequence[Measurement]) -> tuple[str, ...]:
    """Return the values that others are compared with: the usual ones if they are there, else the
    first.
    """
    usual = {find_usual_values(m)[0] for m in measurements}
    points = {tuple(value for _, value in m.sweep): format_point(m.sweep) for m in measurements}
    first = next(iter(points.values()))
    return points.get(usual.pop() or (), first) if len(usual) == 1 else first


def _spread(scope: Scope, measurements: Sequence[Measurement]) -> Table:
    name, title = _names(scope, measurements[0])
    header = (*_settings(measurements[0]), *SPREAD_HEADER)
    rows = tuple(
        (*build_row(*_values(m)), *build_spread_entries(m.accuracies, m.summary, m.keys))
        for m in measurements
        if m.summary
    )
    return Table(
        slug=f"{name}-spread", title=f"{title}: spread", header=header, rows=rows, caption=SPREAD
    )


def _changes(scope: Scope, measurements: Sequence[Measurement]) -> Table:
    against = find_reference_point(measurements)
    reference = next(m for m in measurements if format_point(m.sweep) == against)
    name, title = _names(scope, measurements[0])
    header, rows = _by_value(measurements, lambda m: _change(m, reference), "difference")
    title = f"{title}: changes from {' × '.join(against)}"
    return Table(slug=f"{name}-changes", title=title, header=header, rows=rows, caption=DIFFERENCE)


def _change(m: Measurement, reference: Measurement) -> TableEntry:
    return TableEntry(text=REFERENCE) if m is reference else build_difference_entry(m, reference)


def _by_value(
    measurements: Sequence[Measurement], entry: Callable[[Measurement], TableEntry], alone: str
) -> tuple[tuple[str, ...], tuple[tuple[TableEntry, ...], ...]]:
    """Lay a sweep out, a row a value: with two settings or more, the last one gives the columns.

    Args:
        measurements: of one sweep.
        entry: what stands in a measurement's place.
        alone: heading of the only column of one setting.
    """
    names = _settings(measurements[0])
    leading = len(names) - 1 or 1
    cells = {(_values(m)[:leading], _values(m)[leading:]): m for m in measurements}
    lefts, columns = (
        dict.fromkeys(left for left, _ in cells),
        dict.fromkeys(across for _, across in cells),
    )
    rows = tuple(
        (
            *build_row(*left),
            *(
                entry(cells[left, c]) if (left, c) in cells else TableEntry(text="")
                for c in columns
            ),
        )
        for left in lefts
    )
    return (*names[:leading], *(f"{names[-1]} {c[0]}" if c else alone for c in columns)), rows


def _names(scope: Scope, m: Measurement) -> tuple[str, str]:
    """Return slug and title of a sweep's table."""
    paths = [path for path, _ in m.sweep]
    title = f"{m.method}, {format_ipc(m.ipc)}, {m.network}: {' × '.join(_settings(m))}"
    return make_slug(*scope.name, m.method, format_ipc(m.ipc), m.network, *paths), title


def _settings(m: Measurement) -> tuple[str, ...]:
    return tuple(name_setting(path) for path, _ in m.sweep)


def _values(m: Measurement) -> tuple[str, ...]:
    return tuple(format_value(value) for _, value in m.sweep)
