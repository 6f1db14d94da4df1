"""The tables around the results: what ran and on which machine, what failed, what is missing.

The overview comes from the provenance of all rows, failures from `failures`, and missing cells
from the plan.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import shorten
from typing import NamedTuple

import pandas as pd

from orchestrator.planning.plan import Plan
from orchestrator.report.model import MISSING, Table, build_row
from orchestrator.report.results import Results, Scope
from orchestrator.store.tables import PROVENANCE
from orchestrator.text import format_duration
from orchestrator.units import KINDS, SetUnit, Unit, list_tables

_REASON_LENGTH = 300


class CellCounts(NamedTuple):
    """Numbers of cells of a plan."""

    planned: int
    missing: int
    """Those without a result."""


class _MissingPoint(NamedTuple):
    """A row of the table of missing cells."""

    title: str
    what: str
    method: str
    ipc: str
    network: str


def build_overview(results: Results, space: str, overrides: Sequence[str] = ()) -> Table:
    """Return what ran, a row per fact: counts, data, protocol, machine, versions, dates, time."""
    rows = collect_provenance(results)
    facts = {
        "Search space": space,
        "Changed on the command line": ", ".join(overrides),
        "Finished": _format_finished(results),
        "Data": _join_distinct(_list_datasets(rows)),
        "Protocol": _join_distinct(cell.protocol for cell in results.plan.cells),
        "Arithmetic": _join_distinct(rows["dtype"].dropna()),
        "Device": _join_distinct(rows["device"].dropna()),
        "Versions": _join_distinct(map(_format_versions, rows["versions"].dropna().unique())),
        "Code": _join_distinct(str(commit)[:12] for commit in rows["git_commit"].dropna().unique()),
        "Computed": _format_dates(rows),
        "Compute time of all units": format_duration(float(rows["seconds"].sum())),
    }
    return Table(
        slug="overview",
        title="What ran",
        header=("", ""),
        rows=tuple(build_row(name, value) for name, value in facts.items() if value),
        text_columns=(0, 1),
    )


def select_failed_rows(results: Results) -> pd.DataFrame:
    """Return the last failure of each unit that failed and is not done since."""
    frame = results.rows["failures"]
    unfinished = frame[~frame["key"].isin(results.done)]
    return unfinished.sort_values("finished").drop_duplicates("key", keep="last")


def build_failures_table(results: Results) -> Table | None:
    """Return the units of the plan that failed and are not done since; None without any."""
    rows = []
    columns = select_failed_rows(results)[["key", "error", "reason"]]
    for key, error, reason in columns.itertuples(index=False, name=None):
        description = describe_planned_unit(results.plan, results.plan.units[key])
        rows.append(build_row(key, description, error, shorten(reason or "", _REASON_LENGTH)))
    if not rows:
        return None
    return Table(
        slug="failures",
        title="Failures",
        header=("Unit", "What", "Error", "Reason"),
        rows=tuple(rows),
        text_columns=(0, 1, 2, 3),
    )


def build_missing_table(results: Results) -> Table | None:
    """Return the number of missing cells of each method and point; None without any."""
    counts = Counter[_MissingPoint]()
    for point, missing in _count_missing(results):
        counts[point] += missing
    rows = [build_row(*point, count) for point, count in counts.items() if count]
    if not rows:
        return None
    return Table(
        slug="missing",
        title="Still missing",
        header=("Experiment", "What", "Method", "IPC", "Network", "Missing"),
        rows=tuple(rows),
        text_columns=(0, 1, 2, 4),
    )


def count_cells(results: Results) -> CellCounts:
    """Return how many cells are planned, and how many of them have no result."""
    groups = [*results.measurements, *results.trajectories]
    planned = sum(len(group.cells) for group in groups) + len(results.views)
    missing = sum(group.missing for group in groups)
    missing += sum(view.rows.empty for view in results.views)
    return CellCounts(planned=planned, missing=missing)


def describe_planned_unit(plan: Plan, unit: Unit) -> str:
    """Return a unit in a few words, such as "distill digits, DM+IID, IPC 10, seed 0".

    What identifies the set of a measurement comes before what identifies the measurement.
    """
    kind = KINDS[unit.kind]
    words = list(kind.describe(unit))
    parent = plan.units[unit.parents[0]] if unit.parents else None
    if isinstance(parent, SetUnit):
        of_set = KINDS[parent.kind].describe(parent)
        words = [*(word for word in of_set if word not in words), *words]
    return ", ".join([f"{kind.action} {unit.dataset.name}", *words])


def collect_provenance(results: Results) -> pd.DataFrame:
    """Return the provenance of all rows: the columns that the tables of units share."""
    shared = [results.rows[name][list(PROVENANCE)] for name in list_tables()]
    # pandas warns where empty frames are concatenated, whose columns have no types.
    filled = [frame for frame in shared if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else shared[0]


def _count_missing(results: Results) -> Iterator[tuple[_MissingPoint, int]]:
    """Yield the number of missing cells of each measurement, trajectory and view."""
    for m in results.measurements:
        yield _build_point(_name_scope(m.scope), "accuracy", m.method, m.ipc, m.network), m.missing
    for t in results.trajectories:
        what = f"accuracy over {t.steps} {'step' if t.steps == 1 else 'steps'}"
        yield _build_point(_name_scope(t.scope), what, t.method, t.ipc, t.network), t.missing
    for view in results.views:
        cell, title = view.cell, _name_scope(view.scope)
        point = _build_point(title, "features", cell.method, cell.ipc, cell.network)
        yield point, int(view.rows.empty)


def _build_point(
    title: str, what: str, method: str, ipc: int | None, network: str
) -> _MissingPoint:
    return _MissingPoint(title, what, method, MISSING if ipc is None else str(ipc), network)


def _format_finished(results: Results) -> str:
    planned = Counter(unit.kind for unit in results.plan.units.values())
    done = Counter(results.plan.units[key].kind for key in results.done)
    return ", ".join(
        f"{done[kind]} of {planned[kind]} {KINDS[kind].label}" for kind in KINDS if planned[kind]
    )


def _list_datasets(rows: pd.DataFrame) -> Iterator[str]:
    columns = ["dataset", "dataset_version", "fingerprint"]
    distinct = rows[columns].drop_duplicates().sort_values(columns)
    for name, version, fingerprint in distinct.itertuples(index=False, name=None):
        yield f"{name} version {version} (fingerprint {str(fingerprint)[:16]})"


def _format_versions(text: str) -> str:
    versions: Mapping[str, str] = json.loads(text)
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _join_distinct(values: Iterable[object]) -> str:
    return "; ".join(dict.fromkeys(str(value) for value in values))


def _format_dates(rows: pd.DataFrame) -> str:
    finished = rows["finished"].dropna()
    if finished.empty:
        return ""
    first, last = f"{finished.min():%Y-%m-%d %H:%M}", f"{finished.max():%Y-%m-%d %H:%M}"
    return f"{first} UTC" if first == last else f"{first} to {last} UTC"


def _name_scope(scope: Scope) -> str:
    return f"{scope.experiment}: {scope.place}"
