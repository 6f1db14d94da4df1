"""Result tables: methods × IPC, methods × architectures, swept settings, and the spread and differences behind them."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from orchestrator.report.entries import accuracy_entry, difference_entry, footnotes, ranks, spread_texts
from orchestrator.report.model import MISSING, Entry, Section, Table, row, slug
from orchestrator.report.results import Measurement, Results, Scope, scopes

T = TypeVar("T", bound=Hashable)

REFERENCE = "Random"

_ACCURACY = (
    "Accuracy in %: mean ± population standard deviation over all networks of all sets, as published tables give it; "
    "best bold, second underlined."
)
_SPREAD = (
    "In %. Interval: 95 %, two-level bootstrap over sets and the networks within them; "
    "with one set it says nothing about other sets. "
    "Between sets, within sets: sample standard deviation of the sets' means, and of the networks on one set."
)
_DIFFERENCE = (
    "Difference of accuracy in points, paired by seed and network, with its 95 % interval (two-level bootstrap); "
    "bold where there are several sets and the interval excludes zero."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Methods × one other axis, everything else fixed; from it come the accuracies, their spread and differences."""

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
        _section(scope, [m for m in results.measurements if m.scope == scope]) for scope in scopes(results.measurements)
    )


def results_frame(results: Results) -> pd.DataFrame:
    """Return every statistic of every measurement in long format, accuracies as fractions, unrounded."""
    return pd.DataFrame([_long_row(m) for m in results.measurements])


def setting(name: str) -> str:
    """Return a swept setting's name as people write it."""
    short = name.rpartition(".")[2]
    return {"lambda_cc": "λ_CC", "lambda_cm": "λ_CM"}.get(short, short)


def _section(scope: Scope, measurements: Sequence[Measurement]) -> Section:
    plain = [m for m in measurements if not m.sweep]
    swept = [m for m in measurements if m.sweep]
    grids = [*_ipc_grids(scope, plain), *_architecture_grids(scope, plain)]
    details = [table for grid in grids for table in (_spread(grid), _differences(grid)) if table.rows]
    tables = [*map(_accuracies, grids), *_sweeps(scope, swept)]
    return Section(title=scope.title, tables=tuple(tables), details=tuple(details))


def _ipc_grids(scope: Scope, measurements: Sequence[Measurement]) -> Iterable[Grid]:
    """Methods × IPC a network; a single column is left to the table of architectures where there is one."""
    networks = _distinct(m.network for m in measurements)
    for network in networks:
        chosen = [m for m in measurements if m.network == network]
        columns = [f"IPC {ipc}" for ipc in _ipcs(chosen)] or ["all images"]
        if len(columns) > 1 or len(networks) == 1:
            name, title = slug(*scope.name, network), f"Methods × IPC on {network}"
            yield _grid(name, title, "IPC", columns, chosen, lambda m: f"IPC {m.ipc}")


def _architecture_grids(scope: Scope, measurements: Sequence[Measurement]) -> Iterable[Grid]:
    for ipc in _ipcs(measurements):
        networks = _distinct(m.network for m in measurements if m.ipc == ipc)
        if len(networks) > 1:
            chosen = [m for m in measurements if m.ipc == ipc or (m.ipc is None and m.network in networks)]
            name, title = slug(*scope.name, "architectures", f"ipc{ipc}"), f"Methods × architectures at IPC {ipc}"
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
    return Grid(slug=name, title=title, axis=axis, columns=tuple(columns), methods=tuple(methods), cells=cells)


def _accuracies(grid: Grid) -> Table:
    emphasis = {c: ranks({m: grid.cells[m, c] for m in grid.methods if (m, c) in grid.cells}) for c in grid.columns}
    notes = footnotes(grid.cells.values())
    rows = []
    for method in grid.methods:
        entries = (accuracy_entry(grid.cells.get((method, c)), emphasis[c].get(method), notes) for c in grid.columns)
        rows.append((Entry(text=method), *entries))
    header = ("Method", *grid.columns)
    return Table(slug=grid.slug, title=grid.title, header=header, rows=tuple(rows), caption=_ACCURACY, notes=notes)


def _spread(grid: Grid) -> Table:
    header = ("Method", grid.axis, "mean ± std", "95 % interval", "between sets", "within sets", "sets × networks")
    rows = []
    for method in grid.methods:
        shown = {grid.cells[method, c].keys: c for c in reversed(grid.columns) if (method, c) in grid.cells}
        for column in reversed(shown.values()):
            m = grid.cells[method, column]
            if m.summary:
                place = "all" if grid.axis == "IPC" and m.ipc is None else column.removeprefix("IPC ")
                rows.append(row(method, place, *spread_texts(m, m.summary)))
    title = f"{grid.title}: spread"
    return Table(
        slug=f"{grid.slug}-spread", title=title, header=header, rows=tuple(rows), caption=_SPREAD, text_columns=(0, 1)
    )


def _differences(grid: Grid) -> Table:
    rows = []
    for first, second in _comparisons(grid.methods):
        entries = [difference_entry(grid.cells.get((first, c)), grid.cells.get((second, c))) for c in grid.columns]
        if any(entry.text != MISSING for entry in entries):
            rows.append((Entry(text=f"{first} − {second}"), *entries))
    title, header = f"{grid.title}: differences", ("Difference", *grid.columns)
    return Table(slug=f"{grid.slug}-differences", title=title, header=header, rows=tuple(rows), caption=_DIFFERENCE)


def _comparisons(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Every method against Random, and every method with added losses ("DM+IID") against its base ("DM")."""
    to_reference = [(m, REFERENCE) for m in methods if m != REFERENCE and REFERENCE in methods]
    to_base = [(m, m.split("+")[0]) for m in methods if "+" in m and m.split("+")[0] in methods]
    return to_reference + to_base


def _sweeps(scope: Scope, measurements: Sequence[Measurement]) -> Iterable[Table]:
    groups: dict[tuple[str, int | None, str, tuple[str, ...]], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.method, m.ipc, m.network, tuple(name for name, _ in m.sweep)), []).append(m)
    for (method, ipc, network, names), chosen in groups.items():
        size = "all images" if ipc is None else f"IPC {ipc}"
        short = [setting(name) for name in names]
        name = slug(*scope.name, method, size, network, *names)
        yield _sweep(name, f"{method}, {size}, {network}: {' × '.join(short)}", short, chosen)


def _sweep(name: str, title: str, names: Sequence[str], measurements: Sequence[Measurement]) -> Table:
    """One swept setting: a row a value. Two or more: the last one gives the columns, the others the rows."""
    leading = len(names) - 1 or 1
    cells = {(_values(m)[:leading], _values(m)[leading:]): m for m in measurements}
    rows, columns = _distinct(left for left, _ in cells), _distinct(across for _, across in cells)
    emphasis = ranks({repr(point): m for point, m in cells.items()})
    notes = footnotes(measurements)
    lines = tuple(
        (*row(*left), *(accuracy_entry(cells.get((left, c)), emphasis.get(repr((left, c))), notes) for c in columns))
        for left in rows
    )
    header = (*names[:leading], *(f"{names[-1]} {c[0]}" if c else "accuracy" for c in columns))
    return Table(slug=name, title=title, header=header, rows=lines, caption=_ACCURACY, notes=notes)


def _values(measurement: Measurement) -> tuple[str, ...]:
    return tuple(str(value) for _, value in measurement.sweep)


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
    numbers = {"sets": s.sets, "networks": s.networks, "mean": s.mean, "std": s.std, "low": low, "high": high}
    return {**point, **numbers, "std_sets": s.std_sets, "std_networks": s.std_networks, "keys": " ".join(m.keys)}


def _ipcs(measurements: Iterable[Measurement]) -> list[int]:
    return sorted({m.ipc for m in measurements if m.ipc is not None})


def _distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
