"""Result tables: methods × IPC, methods × architectures, swept settings, and the spread and
differences behind them.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from orchestrator.analysis.statistics import Summary
from orchestrator.report.entries import (
    build_accuracy_entry,
    build_difference_entry,
    build_spread_entries,
    collect_footnotes,
    pair_methods,
    rank_summaries,
)
from orchestrator.report.model import (
    MISSING,
    Emphasis,
    Section,
    Table,
    TableEntry,
    build_row,
    make_slug,
)
from orchestrator.report.results import Measurement, Results, Scope, format_ipc, list_scopes
from orchestrator.report.swept_settings import format_point, name_setting
from orchestrator.report.tables.captions import (
    ACCURACY,
    DIFFERENCE,
    SPREAD,
    SPREAD_HEADER,
    SWEPT_ACCURACY,
)
from orchestrator.report.tables.sweeps import (
    build_sweep_details,
    build_sweep_table,
    find_reference_point,
)

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Methods × one other axis, everything else fixed; from it come the accuracies, their spread
    and differences.
    """

    slug: str
    title: str
    axis: str
    columns: tuple[str, ...]
    methods: tuple[str, ...]
    cells: dict[tuple[str, str], Measurement]
    """By method and column; the whole training set is in every column of an IPC."""


def build_accuracy_sections(results: Results) -> tuple[Section, ...]:
    """Return the results of each scope as tables."""
    return tuple(
        _build_section(scope, [m for m in results.measurements if m.scope == scope])
        for scope in list_scopes(results.measurements)
    )


def build_results_frame(results: Results) -> pd.DataFrame:
    """Return every statistic of every measurement in long format, accuracies as fractions,
    unrounded.
    """
    return pd.DataFrame([_build_long_row(m) for m in results.measurements])


def _build_section(scope: Scope, measurements: Sequence[Measurement]) -> Section:
    plain = [m for m in measurements if not m.sweep]
    sweeps = _group_sweeps([m for m in measurements if m.sweep])
    # One setting swept for several methods has the shape of methods × IPC; everything else has its
    # own.
    side_by_side = [
        chosen
        for chosen in sweeps
        if len(chosen[0].sweep) == 1 and len({m.method for m in chosen}) > 1
    ]
    alone = [
        group
        for chosen in sweeps
        if chosen not in side_by_side
        for group in _group_by_method(chosen)
    ]
    grids = [*_build_ipc_grids(scope, plain), *_build_architecture_grids(scope, plain)]
    swept = [_build_swept_grid(scope, chosen) for chosen in side_by_side]
    details = [
        table
        for grid in [*grids, *swept]
        for table in (_build_spread(grid), _build_differences(grid))
    ]
    details += [
        _build_changes(grid, chosen) for grid, chosen in zip(swept, side_by_side, strict=True)
    ]
    details += [table for chosen in alone for table in build_sweep_details(scope, chosen)]
    tables = [*map(_build_accuracies, grids), *map(_build_swept_accuracies, swept)]
    tables += [build_sweep_table(scope, chosen) for chosen in alone]
    return Section(
        title=scope.title,
        place=scope.place,
        tables=tuple(tables),
        details=tuple(table for table in details if table.rows),
    )


def _build_ipc_grids(scope: Scope, measurements: Sequence[Measurement]) -> Iterable[Grid]:
    """Methods × IPC a network; a single column is left to the table of architectures where there is
    one.
    """
    networks = _list_distinct(m.network for m in measurements)
    for network in networks:
        chosen = [m for m in measurements if m.network == network]
        sized = sorted((m for m in chosen if m.ipc is not None), key=lambda m: m.ipc or 0)
        columns = _list_distinct(map(_build_heading, sized)) or ["all images"]
        if len(columns) > 1 or len(networks) == 1:
            name, title = make_slug(*scope.name, network), f"Methods × IPC on {network}"
            yield _build_grid(name, title, "IPC", columns, chosen, _build_heading)


def _build_heading(measurement: Measurement) -> str:
    """Return a set's size as a column's heading, with the ratio that asked for it."""
    ratio = measurement.cells[0].ratio
    return f"IPC {measurement.ipc}" + ("" if ratio is None else f" ({100 * ratio:g} %)")


def _build_architecture_grids(scope: Scope, measurements: Sequence[Measurement]) -> Iterable[Grid]:
    for ipc in _list_ipcs(measurements):
        networks = _list_distinct(m.network for m in measurements if m.ipc == ipc)
        if len(networks) > 1:
            chosen = [
                m for m in measurements if m.ipc == ipc or (m.ipc is None and m.network in networks)
            ]
            name, title = (
                make_slug(*scope.name, "architectures", f"ipc{ipc}"),
                f"Methods × architectures at IPC {ipc}",
            )
            yield _build_grid(name, title, "Network", networks, chosen, lambda m: m.network)


def _build_grid(
    name: str,
    title: str,
    axis: str,
    columns: Sequence[str],
    measurements: Sequence[Measurement],
    column: Callable[[Measurement], str],
) -> Grid:
    cells: dict[tuple[str, str], Measurement] = {}
    for m in measurements:
        everywhere = m.ipc is None and axis == "IPC"
        cells.update({(m.method, c): m for c in (columns if everywhere else [column(m)])})
    methods = _list_distinct(m.method for m in measurements)
    return Grid(
        slug=name,
        title=title,
        axis=axis,
        columns=tuple(columns),
        methods=tuple(methods),
        cells=cells,
    )


def _build_accuracies(grid: Grid) -> Table:
    """Methods are compared column by column."""
    emphasis: dict[tuple[str, str], Emphasis] = {}
    for column in grid.columns:
        emphasis |= rank_summaries(_select_competing(grid, [column]))
    return _build_accuracy_table(grid, emphasis, ACCURACY)


def _build_swept_accuracies(grid: Grid) -> Table:
    """Values of a swept setting are compared as well as methods."""
    return _build_accuracy_table(
        grid, rank_summaries(_select_competing(grid, grid.columns)), SWEPT_ACCURACY
    )


def _build_accuracy_table(
    grid: Grid, emphasis: Mapping[tuple[str, str], Emphasis], caption: str
) -> Table:
    notes = collect_footnotes(grid.cells.values())
    rows = []
    for method in grid.methods:
        places = [(method, column) for column in grid.columns]
        entries = (
            build_accuracy_entry(grid.cells.get(place), emphasis.get(place), notes)
            for place in places
        )
        rows.append((TableEntry(text=method), *entries))
    header = ("Method", *grid.columns)
    return Table(
        slug=grid.slug,
        title=grid.title,
        header=header,
        rows=tuple(rows),
        caption=caption,
        notes=notes,
    )


def _select_competing(grid: Grid, columns: Sequence[str]) -> dict[tuple[str, str], Summary | None]:
    """Return what some columns compare; the whole training set does not compete with synthetic
    sets.
    """
    return {
        (method, column): m.summary
        for (method, column), m in grid.cells.items()
        if column in columns and m.ipc is not None
    }


def _build_spread(grid: Grid) -> Table:
    header = ("Method", grid.axis, *SPREAD_HEADER)
    rows = []
    for method in grid.methods:
        shown = {
            grid.cells[method, c].keys: c
            for c in reversed(grid.columns)
            if (method, c) in grid.cells
        }
        for column in reversed(shown.values()):
            m = grid.cells[method, column]
            if m.summary:
                place = (
                    "all"
                    if grid.axis == "IPC" and m.ipc is None
                    else column.removeprefix(f"{grid.axis} ")
                )
                rows.append(
                    (
                        *build_row(method, place),
                        *build_spread_entries(m.accuracies, m.summary, m.keys),
                    )
                )
    title = f"{grid.title}: spread"
    return Table(
        slug=f"{grid.slug}-spread",
        title=title,
        header=header,
        rows=tuple(rows),
        caption=SPREAD,
        text_columns=(0, 1),
    )


def _build_differences(grid: Grid) -> Table:
    rows = []
    for first, second in pair_methods(grid.methods):
        entries = [
            build_difference_entry(grid.cells.get((first, c)), grid.cells.get((second, c)))
            for c in grid.columns
        ]
        if any(entry.text != MISSING for entry in entries):
            rows.append((TableEntry(text=f"{first} − {second}"), *entries))
    title, header = f"{grid.title}: differences", ("Difference", *grid.columns)
    return Table(
        slug=f"{grid.slug}-differences",
        title=title,
        header=header,
        rows=tuple(rows),
        caption=DIFFERENCE,
    )


def _group_sweeps(measurements: Iterable[Measurement]) -> list[list[Measurement]]:
    """Group swept measurements by IPC, network and the names of the settings."""
    groups: dict[tuple[int | None, str, tuple[str, ...]], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.ipc, m.network, tuple(name for name, _ in m.sweep)), []).append(m)
    return list(groups.values())


def _group_by_method(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    return [
        [m for m in measurements if m.method == method]
        for method in _list_distinct(m.method for m in measurements)
    ]


def _build_swept_grid(scope: Scope, measurements: Sequence[Measurement]) -> Grid:
    """Methods × the values of one setting."""
    first = measurements[0]
    (path, _), *_ = first.sweep
    name = make_slug(*scope.name, format_ipc(first.ipc), first.network, path)
    title = f"Methods × {name_setting(path)}, {format_ipc(first.ipc)}, {first.network}"
    columns = _list_distinct(_name_column(m) for m in measurements)
    return _build_grid(name, title, name_setting(path), columns, measurements, _name_column)


def _build_changes(grid: Grid, measurements: Sequence[Measurement]) -> Table:
    """Every value of a swept setting against the usual one, method by method."""
    (reference,) = find_reference_point(measurements)
    others = [column for column in grid.columns if column != reference]
    rows = []
    for method in grid.methods:
        entries = [
            build_difference_entry(grid.cells.get((method, c)), grid.cells.get((method, reference)))
            for c in others
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


def _name_column(m: Measurement) -> str:
    (column,) = format_point(m.sweep)
    return column


def _build_long_row(m: Measurement) -> dict[str, object]:
    point: dict[str, object] = {
        "experiment": m.scope.experiment,
        "dataset": m.scope.dataset,
        "protocol": m.scope.protocol,
        "split": m.scope.split,
        "method": m.method,
        "ipc": m.ipc,
        "network": m.network,
        "sweep": ", ".join(f"{name}={value}" for name, value in m.sweep),
        "sets_planned": len(m.cells),
    }
    s = m.summary
    if s is None:
        return point
    low, high = s.interval or (None, None)
    numbers = {
        "sets": s.sets,
        "networks": s.networks,
        "mean": s.mean,
        "std": s.std,
        "low": low,
        "high": high,
    }
    return {
        **point,
        **numbers,
        "std_sets": s.std_sets,
        "std_networks": s.std_networks,
        "keys": " ".join(m.keys),
    }


def _list_ipcs(measurements: Iterable[Measurement]) -> list[int]:
    return sorted({m.ipc for m in measurements if m.ipc is not None})


def _list_distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
