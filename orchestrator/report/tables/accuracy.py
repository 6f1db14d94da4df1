"""The sections of accuracies: methods × IPC, methods × architectures, swept settings.

All come from the rows of `evaluations`. `grids` and `sweeps` build the tables.
"""

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from orchestrator.report.model import Section, Table, make_slug
from orchestrator.report.results import Measurement, Results, Scope, format_ipc, list_scopes
from orchestrator.report.swept_settings import format_point, name_setting
from orchestrator.report.tables.grids import (
    Grid,
    build_accuracies,
    build_changes,
    build_differences,
    build_grid,
    build_spread,
    build_swept_accuracies,
    list_distinct,
)
from orchestrator.report.tables.sweeps import (
    build_sweep_details,
    build_sweep_table,
    find_reference_point,
)


def build_accuracy_sections(results: Results) -> tuple[Section, ...]:
    """Return the accuracies of each scope as tables."""
    sections = []
    for scope in list_scopes(results.measurements):
        chosen = [m for m in results.measurements if m.scope == scope]
        sections.append(_build_section(scope, chosen))
    return tuple(sections)


def build_results_frame(results: Results) -> pd.DataFrame:
    """Return every statistic of every measurement in long format, as unrounded fractions."""
    return pd.DataFrame([_build_long_row(m) for m in results.measurements])


def _build_section(scope: Scope, measurements: Sequence[Measurement]) -> Section:
    plain = [m for m in measurements if not m.sweep]
    tables: list[Table] = []
    details: list[Table] = []
    for grid in (*_build_ipc_grids(scope, plain), *_build_architecture_grids(scope, plain)):
        tables.append(build_accuracies(grid))
        details += [build_spread(grid), build_differences(grid)]
    joint, alone = _split_sweeps([m for m in measurements if m.sweep])
    grids = [_build_swept_grid(scope, chosen) for chosen in joint]
    for grid in grids:
        tables.append(build_swept_accuracies(grid))
        details += [build_spread(grid), build_differences(grid)]
    for grid, chosen in zip(grids, joint, strict=True):
        (reference,) = find_reference_point(chosen)
        details.append(build_changes(grid, reference))
    for chosen in alone:
        tables.append(build_sweep_table(scope, chosen))
        details += build_sweep_details(scope, chosen)
    return Section(
        experiment=scope.experiment,
        title=scope.title,
        place=scope.place,
        tables=tuple(tables),
        details=tuple(table for table in details if table.rows),
        facts=_describe_images(measurements),
    )


def _describe_images(measurements: Sequence[Measurement]) -> str:
    """Return what the accuracies of a scope are over; empty where no row says."""
    facts = list_distinct(m.tested.describe() for m in measurements if m.tested)
    return f"Accuracy is over {' and '.join(facts)}." if facts else ""


def _build_ipc_grids(scope: Scope, measurements: Sequence[Measurement]) -> Iterator[Grid]:
    """Yield methods × IPC for each network.

    Where a scope has several networks, a network with a single column is left to the table of
    architectures.
    """
    networks = list_distinct(m.network for m in measurements)
    for network in networks:
        chosen = [m for m in measurements if m.network == network]
        sized = sorted((m for m in chosen if m.ipc is not None), key=lambda m: m.ipc or 0)
        columns = list_distinct(map(_build_heading, sized)) or ["all images"]
        if len(columns) > 1 or len(networks) == 1:
            name = make_slug(*scope.name, network)
            title = f"Methods × IPC on {network}"
            yield build_grid(name, title, "IPC", columns, chosen, _build_heading)


def _build_heading(measurement: Measurement) -> str:
    """Return a set's size as a column's heading, with the ratio that asked for it."""
    heading = f"IPC {measurement.ipc}"
    ratio = measurement.cells[0].ratio
    return heading if ratio is None else f"{heading} ({100 * ratio:g} %)"


def _build_architecture_grids(scope: Scope, measurements: Sequence[Measurement]) -> Iterator[Grid]:
    """Yield methods × networks for each IPC that has several networks."""
    for ipc in sorted({m.ipc for m in measurements if m.ipc is not None}):
        sized = [m for m in measurements if m.ipc == ipc]
        networks = list_distinct(m.network for m in sized)
        if len(networks) < 2:
            continue
        chosen = [m for m in measurements if m.ipc in (ipc, None) and m.network in networks]
        name = make_slug(*scope.name, "architectures", f"ipc{ipc}")
        title = f"Methods × architectures at IPC {ipc}"
        yield build_grid(name, title, "Network", networks, chosen, lambda m: m.network)


def _split_sweeps(
    measurements: Iterable[Measurement],
) -> tuple[list[list[Measurement]], list[list[Measurement]]]:
    """Return the sweeps that several methods share, and the sweeps of one method.

    One setting that was swept for several methods has the shape of methods × IPC and is shown as
    such a grid. Every other sweep has a table per method.
    """
    joint: list[list[Measurement]] = []
    alone: list[list[Measurement]] = []
    for chosen in _group_sweeps(measurements):
        by_method = _group_by_method(chosen)
        if len(chosen[0].sweep) == 1 and len(by_method) > 1:
            joint.append(chosen)
        else:
            alone += by_method
    return joint, alone


def _group_sweeps(measurements: Iterable[Measurement]) -> list[list[Measurement]]:
    """Group swept measurements by IPC, network and the names of the settings."""
    groups: dict[tuple[int | None, str, tuple[str, ...]], list[Measurement]] = {}
    for m in measurements:
        names = tuple(name for name, _ in m.sweep)
        groups.setdefault((m.ipc, m.network, names), []).append(m)
    return list(groups.values())


def _group_by_method(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    groups: dict[str, list[Measurement]] = {}
    for m in measurements:
        groups.setdefault(m.method, []).append(m)
    return list(groups.values())


def _build_swept_grid(scope: Scope, measurements: Sequence[Measurement]) -> Grid:
    """Return methods × the values of one setting."""
    first = measurements[0]
    ((path, _),) = first.sweep
    size = format_ipc(first.ipc)
    name = make_slug(*scope.name, size, first.network, path)
    title = f"Methods × {name_setting(path)}, {size}, {first.network}"
    columns = list_distinct(_name_column(m) for m in measurements)
    return build_grid(name, title, name_setting(path), columns, measurements, _name_column)


def _name_column(m: Measurement) -> str:
    (column,) = format_point(m.sweep)
    return column


def _build_long_row(m: Measurement) -> dict[str, object]:
    row: dict[str, object] = {
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
    summary = m.summary
    if summary is None:
        return row
    low, high = summary.interval or (None, None)
    return row | {
        "sets": summary.sets,
        "networks": summary.networks,
        "mean": summary.mean,
        "std": summary.std,
        "low": low,
        "high": high,
        "std_sets": summary.std_sets,
        "std_networks": summary.std_networks,
        "keys": " ".join(m.keys),
    }
