"""The methods of an experiment on all its data sets in one table, as papers print their main
one.
"""

from collections.abc import Iterable, Sequence

from orchestrator.report.entries import build_accuracy_entry, collect_footnotes, rank_summaries
from orchestrator.report.model import Table, TableEntry, build_row, make_slug
from orchestrator.report.results import Measurement, Results, Scope, list_scopes
from orchestrator.report.tables.captions import JOINT_ACCURACY

_Row = tuple[str, int | None]
"""Data set and IPC."""


def build_all_datasets_tables(results: Results) -> tuple[Table, ...]:
    """Return a table for each experiment on several data sets: a row a data set and IPC, a column a
    method.

    Experiments that have several networks on one data set are left out: their tables are about
        architectures.
    """
    groups: dict[tuple[str, str, str], list[Measurement]] = {}
    for m in results.measurements:
        if not m.sweep:
            groups.setdefault((m.scope.experiment, m.scope.protocol, m.scope.split), []).append(m)
    return tuple(_table(group) for group in groups.values() if _spans_data_sets(group))


def _spans_data_sets(measurements: Sequence[Measurement]) -> bool:
    networks = {(m.scope.dataset, m.network) for m in measurements}
    several = len(list_scopes(measurements)) == len(networks) > 1
    return several and any(m.summary for m in measurements)


def _table(measurements: Sequence[Measurement]) -> Table:
    cells = dict(_cells(measurements))
    rows, methods = (dict.fromkeys(places) for places in zip(*cells, strict=True))
    notes = collect_footnotes(cells.values())
    lines = tuple(
        _line(place, {method: cells.get((place, method)) for method in methods}, notes)
        for place in rows
    )
    scope: Scope = measurements[0].scope
    unusual = [part for part in (scope.protocol, scope.split) if part not in ("paper", "test")]
    return Table(
        slug=make_slug("across", scope.experiment, *unusual, "data sets"),
        title=(
            f"Methods on all data sets: {scope.experiment} ({scope.split} accuracy, protocol"
            f" {scope.protocol})"
        ),
        header=("Data set", "IPC", *methods),
        rows=lines,
        caption=JOINT_ACCURACY,
        notes=notes,
    )


def _cells(measurements: Sequence[Measurement]) -> Iterable[tuple[tuple[_Row, str], Measurement]]:
    """Yield the measurements by place and method; the whole training set is in every row of its
    data set.
    """
    for scope in list_scopes(measurements):
        here = [m for m in measurements if m.scope == scope]
        sizes: list[int | None] = [*sorted({m.ipc for m in here if m.ipc is not None})] or [None]
        for size in sizes:
            for m in here:
                if m.ipc in (size, None):
                    yield ((scope.dataset, size), m.method), m


def _line(
    place: _Row, methods: dict[str, Measurement | None], notes: Sequence[str]
) -> tuple[TableEntry, ...]:
    dataset, ipc = place
    # the whole training set does not compete with synthetic sets
    emphasis = rank_summaries(
        {method: m.summary for method, m in methods.items() if m is not None and m.ipc is not None}
    )
    entries = (
        build_accuracy_entry(m, emphasis.get(method), notes) for method, m in methods.items()
    )
    return (*build_row(dataset, "all" if ipc is None else ipc), *entries)
