"""Result tables: methods × IPC, methods × architectures, swept settings, and the spread and
differences behind them.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from orchestrator.analysis.statistics import Summary
from orchestrator.report.cells import (
    accuracy_entry,
    comparisons,
    difference_entry,
    footnotes,
    ranks,
    spread_entries,
)
from orchestrator.report.model import MISSING, Emphasis, Entry, Section, Table, row, slug
from orchestrator.report.results import Measurement, Results, Scope, scopes, size
from orchestrator.report.swept_settings import point, setting
from orchestrator.report.tables.captions import (
    ACCURACY,
    DIFFERENCE,
    SPREAD,
    SPREAD_HEADER,
    SWEPT_ACCURACY,
)
from orchestrator.report.tables.sweeps import reference_point, sweep_details, sweep_table

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


def sections(results: Results) -> tuple[Section, ...]:
    """Return the results of each scope as tables."""
    return tuple(
        _section(scope, [m for m in results.measurements if m.scope == scope])
        for scope in scopes(results.measurements)
    )


def results_frame(results: Results) -> pd.DataFrame:
    """Return every statistic of every measurement in long format, accuracies as fractions,
    unrounded.
    """
    return pd.DataFrame([_long_row(m) for m in results.measurements])


def _section(scope: Scope, measurements: Sequence[Measurement]) -> Section:
    plain = [m for m in measurements if not m.sweep]
    sweeps = _sweeps([m for m in measurements if m.sweep])
    # One setting swept for several methods has the shape of methods × IPC; everything else has its
    # own.
    side_by_side = [
        chosen
        for chosen in sweeps
        if len(chosen[0].sweep) == 1 and len({m.method for m in chosen}) > 1
    ]
    alone = [
        group for chosen in sweeps if chosen not in side_by_side for group in _by_method(chosen)
    ]
    grids = [*_ipc_grids(scope, plain), *_architecture_grids(scope, plain)]
    swept = [_swept_grid(scope, chosen) for chosen in side_by_side]
    details = [table for grid in [*grids, *swept] for table in (_spread(grid), _differences(grid))]
    details += [_changes(grid, chosen) for grid, chosen in zip(swept, side_by_side, strict=True)]
    details += [table for chosen in alone for table in sweep_details(scope, chosen)]
    tables = [*map(_accuracies, grids), *map(_swept_accuracies, swept)]
    tables += [sweep_table(scope, chosen) for chosen in alone]
    return Section(
        title=scope.title,
        place=scope.place,
        tables=tuple(tables),
        details=tuple(table for table in details if table.rows),
    )


def _ipc_grids(scope: Scope, measurements: Sequence[Measurement]) -> Iterable[Grid]:
    """Methods × IPC a network; a single column is left to the table of architectures where there is
    one.
    """
    networks = _distinct(m.network for m in measurements)
    for network in networks:
        chosen = [m for m in measurements if m.network == network]
        sized = sorted((m for m in chosen if m.ipc is not None), key=lambda m: m.ipc or 0)
        columns = _distinct(map(_heading, sized)) or ["all images"]
        if len(columns) > 1 or len(networks) == 1:
            name, title = slug(*scope.name, network), f"Methods × IPC on {network}"
            yield _grid(name, title, "IPC", columns, chosen, _heading)


def _heading(measurement: Measurement) -> str:
    """Return a set's size as a column's heading, with the ratio that asked for it."""
    ratio = measurement.cells[0].ratio
    return f"IPC {measurement.ipc}" + ("" if ratio is None else f" ({100 * ratio:g} %)")


def _architecture_grids(scope: Scope, measurements: Sequence[Measurement]) -> Iterable[Grid]:
    for ipc in _ipcs(measurements):
        networks = _distinct(m.network for m in measurements if m.ipc == ipc)
        if len(networks) > 1:
            chosen = [
                m for m in measurements if m.ipc == ipc or (m.ipc is None and m.network in networks)
            ]
            name, title = (
                slug(*scope.name, "architectures", f"ipc{ipc}"),
                f"Methods × architectures at IPC {ipc}",
            )
            yield _grid(name, title, "Network", networks, chosen, lambda m: m.network)


def _grid(
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
    methods = _distinct(m.method for m in measurements)
    return Grid(
        slug=name,
        title=title,
        axis=axis,
        columns=tuple(columns),
        methods=tuple(methods),
        cells=cells,
    )


def _accuracies(grid: Grid) -> Table:
    """Methods are compared column by column."""
    emphasis: dict[tuple[str, str], Emphasis] = {}
    for column in grid.columns:
        emphasis |= ranks(_competing(grid, [column]))
    return _accuracy_table(grid, emphasis, ACCURACY)


def _swept_accuracies(grid: Grid) -> Table:
    """Values of a swept setting are compared as well as methods."""
    return _accuracy_table(grid, ranks(_competing(grid, grid.columns)), SWEPT_ACCURACY)


def _accuracy_table(
    grid: Grid, emphasis: Mapping[tuple[str, str], Emphasis], caption: str
) -> Table:
    notes = footnotes(grid.cells.values())
    rows = []
    for method in grid.methods:
        places = [(method, column) for column in grid.columns]
        entries = (
            accuracy_entry(grid.cells.get(place), emphasis.get(place), notes) for place in places
        )
        rows.append((Entry(text=method), *entries))
    header = ("Method", *grid.columns)
    return Table(
        slug=grid.slug,
        title=grid.title,
        header=header,
        rows=tuple(rows),
        caption=caption,
        notes=notes,
    )


def _competing(grid: Grid, columns: Sequence[str]) -> dict[tuple[str, str], Summary | None]:
    """Return what some columns compare; the whole training set does not compete with synthetic
    sets.
    """
    return {
        (method, column): m.summary
        for (method, column), m in grid.cells.items()
        if column in columns and m.ipc is not None
    }


def _spread(grid: Grid) -> Table:
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
                rows.append((*row(method, place), *spread_entries(m.accuracies, m.summary, m.keys)))
    title = f"{grid.title}: spread"
    return Table(
        slug=f"{grid.slug}-spread",
        title=title,
        header=header,
        rows=tuple(rows),
        caption=SPREAD,
        text_columns=(0, 1),
    )


def _differences(grid: Grid) -> Table:
    rows = []
    for first, second in comparisons(grid.methods):
        entries = [
            difference_entry(grid.cells.get((first, c)), grid.cells.get((second, c)))
            for c in grid.columns
        ]
        if any(entry.text != MISSING for entry in entries):
            rows.append((Entry(text=f"{first} − {second}"), *entries))
    title, header = f"{grid.title}: differences", ("Difference", *grid.columns)
    return Table(
        slug=f"{grid.slug}-differences",
        title=title,
        header=header,
        rows=tuple(rows),
        caption=DIFFERENCE,
    )


def _sweeps(measurements: Iterable[Measurement]) -> list[list[Measurement]]:
    """Group swept measurements by IPC, network and the names of the settings."""
    groups: dict[tuple[int | None, str, tuple[str, ...]], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.ipc, m.network, tuple(name for name, _ in m.sweep)), []).append(m)
    return list(groups.values())


def _by_method(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    return [
        [m for m in measurements if m.method == method]
        for method in _distinct(m.method for m in measurements)
    ]


def _swept_grid(scope: Scope, measurements: Sequence[Measurement]) -> Grid:
    """Methods × the values of one setting."""
    first = measurements[0]
    (path, _), *_ = first.sweep
    name = slug(*scope.name, size(first.ipc), first.network, path)
    title = f"Methods × {setting(path)}, {size(first.ipc)}, {first.network}"
    columns = _distinct(_column(m) for m in measurements)
    return _grid(name, title, setting(path), columns, measurements, _column)


def _changes(grid: Grid, measurements: Sequence[Measurement]) -> Table:
    """Every value of a swept setting against the usual one, method by method."""
    (reference,) = reference_point(measurements)
    others = [column for column in grid.columns if column != reference]
    rows = []
    for method in grid.methods:
        entries = [
            difference_entry(grid.cells.get((method, c)), grid.cells.get((method, reference)))
            for c in others
        ]
        if any(entry.text != MISSING for entry in entries):
            rows.append((Entry(text=method), *entries))
    return Table(
        slug=f"{grid.slug}-changes",
        title=f"{grid.title}: changes from {reference}",
        header=("Method", *others),
        rows=tuple(rows),
        caption=DIFFERENCE,
    )


def _column(m: Measurement) -> str:
    (column,) = point(m.sweep)
    return column


def _long_row(m: Measurement) -> dict[str, object]:
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


def _ipcs(measurements: Iterable[Measurement]) -> list[int]:
    return sorted({m.ipc for m in measurements if m.ipc is not None})


def _distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
