"""All data sets of an experiment in one table, as papers print their main one.

It shows the measurements without swept settings, which come from `evaluations`.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from orchestrator.report.entries import build_accuracy_entry, collect_footnotes, rank_measurements
from orchestrator.report.model import Table, TableEntry, build_row, make_slug
from orchestrator.report.results import Measurement, Results, list_scopes
from orchestrator.report.tables.grids import JOINT_ACCURACY


class _Place(NamedTuple):
    """A row of the table."""

    dataset: str
    ipc: int | None


def build_all_datasets_tables(results: Results) -> tuple[Table, ...]:
    """Return a table for each experiment on several data sets: data sets and IPCs × methods.

    Experiments with several networks on one data set are left out: their tables are about
    architectures.
    """
    groups: dict[tuple[str, str, str], list[Measurement]] = {}
    for m in results.measurements:
        if not m.sweep:
            groups.setdefault((m.scope.experiment, m.scope.protocol, m.scope.split), []).append(m)
    return tuple(_build_table(group) for group in groups.values() if _spans_data_sets(group))


def _spans_data_sets(measurements: Sequence[Measurement]) -> bool:
    networks = {(m.scope.dataset, m.network) for m in measurements}
    has_one_network_each = len(list_scopes(measurements)) == len(networks)
    has_results = any(m.summary for m in measurements)
    return has_one_network_each and len(networks) > 1 and has_results


def _build_table(measurements: Sequence[Measurement]) -> Table:
    placed = dict(_place_measurements(measurements))
    places = dict.fromkeys(place for place, _ in placed)
    methods = dict.fromkeys(method for _, method in placed)
    notes = collect_footnotes(placed.values())
    rows = []
    for place in places:
        in_row = {method: placed.get((place, method)) for method in methods}
        rows.append(_build_table_row(place, in_row, notes))
    scope = measurements[0].scope
    return Table(
        slug=make_slug("across", scope.experiment, *scope.unusual_parts, "data sets"),
        title=(
            f"Methods on all data sets: {scope.experiment} ({scope.split} accuracy, protocol"
            f" {scope.protocol})"
        ),
        header=("Data set", "IPC", *methods),
        rows=tuple(rows),
        caption=JOINT_ACCURACY,
        notes=notes,
    )


def _place_measurements(
    measurements: Sequence[Measurement],
) -> Iterator[tuple[tuple[_Place, str], Measurement]]:
    """Yield the measurements by place and method.

    The whole training set is in every row of its data set.
    """
    for scope in list_scopes(measurements):
        here = [m for m in measurements if m.scope == scope]
        sizes: list[int | None] = [*sorted({m.ipc for m in here if m.ipc is not None})]
        for ipc in sizes or [None]:
            for m in here:
                if m.ipc in (ipc, None):
                    yield (_Place(scope.dataset, ipc), m.method), m


def _build_table_row(
    place: _Place, methods: dict[str, Measurement | None], notes: Sequence[str]
) -> tuple[TableEntry, ...]:
    # The whole training set does not compete with synthetic sets.
    competing = {method: m for method, m in methods.items() if m is not None and m.ipc is not None}
    emphasis = rank_measurements(competing)
    entries = [
        build_accuracy_entry(m, emphasis.get(method), notes) for method, m in methods.items()
    ]
    return (*build_row(place.dataset, "all" if place.ipc is None else place.ipc), *entries)
