"""Tables of a grid of methods × one other axis: accuracies, their spread, and their differences.

A grid holds measurements. Columns are values of IPC, networks, or values of a swept setting.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from orchestrator.planning.methods import pair_methods
from orchestrator.report.entries import (
    build_accuracy_entry,
    build_difference_entry,
    build_spread_entries,
    collect_footnotes,
    rank_measurements,
)
from orchestrator.report.model import MISSING, Emphasis, Table, TableEntry, build_row
from orchestrator.report.results import Measurement
from orchestrator.report.tables.published import Place, build_quoted_rows, list_published_sizes

T = TypeVar("T", bound=Hashable)

_MEAN = (
    "Accuracy in %: mean ± population standard deviation over all networks of all sets, as in"
    " published tables. "
)
_MARKS = (
    "The best of {} is bold, and so is all that is not clearly worse; the second best is"
    " underlined likewise. Clearly means that the 95 % interval of the paired difference excludes"
    " zero, which takes several sets. What guessing explains is not marked."
)
ACCURACY = _MEAN + _MARKS.format("each column")
JOINT_ACCURACY = _MEAN + _MARKS.format("each row")
SWEPT_ACCURACY = _MEAN + _MARKS.format("the table")
QUOTED_ACCURACY = (
    " Quoted rows are results that others published with their own settings; they are not ranked."
)
SPREAD = (
    "All values in %. The 95 % interval is Student's t over the means of the sets; with one set it"
    " covers networks only, and says nothing about other sets. Between sets: sample standard"
    " deviation of the means of the sets. Within sets: pooled sample standard deviation of the"
    " networks on the same set."
)
SPREAD_HEADER = ("mean ± std", "95 % interval", "between sets", "within sets", "sets × networks")
DIFFERENCE = (
    "Difference in accuracy in points, paired by seed and network, with its 95 % interval"
    " (Student's t over the means of the sets). Bold where there are several sets and the interval"
    " excludes zero; one set says nothing about others."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Measurements of methods × one other axis, with everything else fixed."""

    slug: str
    title: str
    axis: str
    columns: tuple[str, ...]
    methods: tuple[str, ...]
    measurements: dict[tuple[str, str], Measurement]
    """By method and column; the whole training set is in every column of an IPC."""


def build_grid(
    slug: str,
    title: str,
    axis: str,
    columns: Sequence[str],
    measurements: Sequence[Measurement],
    name_column: Callable[[Measurement], str],
) -> Grid:
    """Arrange measurements in a grid.

    Args:
        slug: of the grid's table.
        title: of the grid's table.
        axis: what the columns are.
        columns: their headings, in order.
        measurements: of one scope; each in the column that `name_column` returns.
        name_column: returns one of `columns`.
    """
    placed: dict[tuple[str, str], Measurement] = {}
    for m in measurements:
        # The whole training set has no IPC, so it is shown in every column to compare with.
        in_every_column = m.ipc is None and axis == "IPC"
        for column in columns if in_every_column else [name_column(m)]:
            placed[m.method, column] = m
    return Grid(
        slug=slug,
        title=title,
        axis=axis,
        columns=tuple(columns),
        methods=tuple(list_distinct(m.method for m in measurements)),
        measurements=placed,
    )


def build_accuracies(grid: Grid) -> Table:
    """Return the accuracies, with methods compared column by column."""
    emphasis: dict[tuple[str, str], Emphasis] = {}
    for column in grid.columns:
        emphasis |= rank_measurements(_select_competing(grid, [column]))
    return _quote(grid, _build_accuracy_table(grid, emphasis, ACCURACY))


def build_swept_accuracies(grid: Grid) -> Table:
    """Return the accuracies, with the values of a swept setting compared as well as methods."""
    emphasis = rank_measurements(_select_competing(grid, grid.columns))
    return _build_accuracy_table(grid, emphasis, SWEPT_ACCURACY)


def build_spread(grid: Grid) -> Table:
    """Return a row per measurement: its interval, and its spread between and within sets."""
    rows = []
    for method in grid.methods:
        for column, m in _list_measured_columns(grid, method):
            if m.summary:
                place = _name_place(grid, column, m)
                entries = build_spread_entries(m.accuracies, m.summary, m.keys)
                rows.append((*build_row(method, place), *entries))
    return Table(
        slug=f"{grid.slug}-spread",
        title=f"{grid.title}: spread",
        header=("Method", grid.axis, *SPREAD_HEADER),
        rows=tuple(rows),
        caption=SPREAD,
        text_columns=(0, 1),
    )


def build_differences(grid: Grid) -> Table:
    """Return the differences of pairs of methods, column by column."""
    rows = []
    for first, second in pair_methods(grid.methods):
        entries = []
        for column in grid.columns:
            a, b = grid.measurements.get((first, column)), grid.measurements.get((second, column))
            entries.append(build_difference_entry(a, b))
        if any(entry.text != MISSING for entry in entries):
            rows.append((TableEntry(text=f"{first} − {second}"), *entries))
    return Table(
        slug=f"{grid.slug}-differences",
        title=f"{grid.title}: differences",
        header=("Difference", *grid.columns),
        rows=tuple(rows),
        caption=DIFFERENCE,
    )


def build_changes(grid: Grid, reference: str) -> Table:
    """Return the differences of every column to the reference column, method by method."""
    others = [column for column in grid.columns if column != reference]
    rows = []
    for method in grid.methods:
        usual = grid.measurements.get((method, reference))
        entries = [
            build_difference_entry(grid.measurements.get((method, column)), usual)
            for column in others
        ]
        if any(entry.text != MISSING for entry in entries):
            rows.append((TableEntry(text=method), *entries))
    return Table(
        slug=f"{grid.slug}-changes",
        title=f"{grid.title}: changes from {reference}",
        header=("Method", *others),
        rows=tuple(rows),
        caption=DIFFERENCE,
    )


def list_distinct(values: Iterable[T]) -> list[T]:
    """Return distinct values in the order in which they come."""
    return list(dict.fromkeys(values))


def _build_accuracy_table(
    grid: Grid, emphasis: Mapping[tuple[str, str], Emphasis], caption: str
) -> Table:
    notes = collect_footnotes(grid.measurements.values())
    rows = []
    for method in grid.methods:
        row = [TableEntry(text=method)]
        for column in grid.columns:
            place = (method, column)
            m = grid.measurements.get(place)
            row.append(build_accuracy_entry(m, emphasis.get(place), notes))
        rows.append(tuple(row))
    return Table(
        slug=grid.slug,
        title=grid.title,
        header=("Method", *grid.columns),
        rows=tuple(rows),
        caption=caption,
        notes=notes,
    )


def _quote(grid: Grid, table: Table) -> Table:
    """Add published results of methods that were not run, where the columns have any."""
    places = [_find_place(grid, column) for column in grid.columns]
    scope = next(iter(grid.measurements.values())).scope
    if (scope.protocol, scope.split) != ("paper", "test") or None in places:
        return table
    if not list_published_sizes(scope.dataset):
        return table
    known = [place for place in places if place is not None]
    quoted = build_quoted_rows(scope.dataset, grid.methods, known, len(table.notes) + 1)
    if not quoted.rows:
        return table
    return replace(
        table,
        rows=(*table.rows, *quoted.rows),
        quoted_rows=len(quoted.rows),
        caption=table.caption + QUOTED_ACCURACY,
        notes=(*table.notes, *quoted.notes),
    )


def _find_place(grid: Grid, column: str) -> Place | None:
    """Return the size and network of a column; None where nothing but the whole set is in it."""
    for (_, where), m in grid.measurements.items():
        if where == column and m.ipc is not None:
            return Place(ipc=m.ipc, network=m.network)
    return None


def _select_competing(grid: Grid, columns: Sequence[str]) -> dict[tuple[str, str], Measurement]:
    """Return the measurements that some columns compare.

    The whole training set does not compete with synthetic sets.
    """
    competing = {}
    for (method, column), m in grid.measurements.items():
        if column in columns and m.ipc is not None:
            competing[method, column] = m
    return competing


def _list_measured_columns(grid: Grid, method: str) -> list[tuple[str, Measurement]]:
    """Return the columns of a method, each measurement once, in the first column that shows it."""
    shown: dict[tuple[str, ...], tuple[str, Measurement]] = {}
    for column in grid.columns:
        m = grid.measurements.get((method, column))
        if m is not None:
            # The whole training set is in every column of an IPC but has one spread.
            shown.setdefault(m.keys, (column, m))
    return list(shown.values())


def _name_place(grid: Grid, column: str, m: Measurement) -> str:
    """Return a column's heading for a row: "10" instead of "IPC 10"."""
    if grid.axis == "IPC" and m.ipc is None:
        return "all"
    return column.removeprefix(f"{grid.axis} ")
