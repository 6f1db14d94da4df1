"""The tables around the results: what ran and on what, what failed, and what is still missing."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from textwrap import shorten

import pandas as pd

from orchestrator.planning.methods import unit_method
from orchestrator.planning.plan import Plan
from orchestrator.report.model import MISSING, Table, build_row
from orchestrator.report.results import Measurement, Results, Trajectory
from orchestrator.store.tables import PROVENANCE, TABLE_OF_KIND
from orchestrator.text import duration
from orchestrator.units import (
    KINDS,
    Continual,
    Distill,
    Embed,
    Evaluate,
    ImportExtractor,
    ImportSet,
    Select,
    TrainExtractor,
    Unit,
)

KIND_LABELS = {
    "train_extractors": "extractors trained",
    "import_extractors": "extractors imported",
    "import_set": "sets imported",
    "select": "sets selected",
    "distill": "sets distilled",
    "evaluate": "sets evaluated",
    "continual": "class-incremental runs",
    "embed": "sets embedded",
}

_REASON_LENGTH = 300


def build_overview(results: Results, space: str, overrides: Sequence[str] = ()) -> Table:
    """Return what ran: counts, data, protocol, machine, versions, dates and time, a line each."""
    rows = collect_provenance(results)
    facts = {
        "Search space": space,
        "Changed on the command line": ", ".join(overrides),
        "Finished": _finished(results),
        "Data": _joined(
            _dataset(*point) for point in _pairs(rows, "dataset", "dataset_version", "fingerprint")
        ),
        "Protocol": _joined(cell.protocol for cell in results.plan.cells),
        "Arithmetic": _joined(rows["dtype"].dropna()),
        "Device": _joined(rows["device"].dropna()),
        "Versions": _joined(_versions(text) for text in rows["versions"].dropna().unique()),
        "Code": _joined(str(commit)[:12] for commit in rows["git_commit"].dropna().unique()),
        "Computed": _dates(rows),
        "Compute time, all units together": duration(float(rows["seconds"].sum())),
    }
    lines = [build_row(name, value) for name, value in facts.items() if value]
    return Table(
        slug="overview", title="What ran", header=("", ""), rows=tuple(lines), text_columns=(0, 1)
    )


def select_failed_rows(results: Results) -> pd.DataFrame:
    """Return the rows of units that failed and are not done since; the last failure of each."""
    frame = results.rows["failures"]
    return (
        frame[~frame["key"].isin(results.done)]
        .sort_values("finished")
        .drop_duplicates("key", keep="last")
    )


def build_failures_table(results: Results) -> Table | None:
    """Return the units of the plan that failed and are not done since."""
    lines = [
        build_row(
            key,
            describe_unit(results.plan, results.plan.units[key]),
            error,
            shorten(reason or "", _REASON_LENGTH),
        )
        for key, error, reason in select_failed_rows(results)[
            ["key", "error", "reason"]
        ].itertuples(index=False, name=None)
    ]
    header = ("Unit", "What", "Error", "Reason")
    table = Table(
        slug="failures",
        title="Failures",
        header=header,
        rows=tuple(lines),
        text_columns=(0, 1, 2, 3),
    )
    return table if lines else None


def build_missing_table(results: Results) -> Table | None:
    """Return the cells of the plan without results, counted a method."""
    counts = Counter[tuple[str, ...]]()
    for m in results.measurements:
        counts[_place(m.scope.title, "accuracy", m.method, m.ipc, m.network)] += m.missing
    for t in results.trajectories:
        what = f"accuracy over {t.steps} {'step' if t.steps == 1 else 'steps'}"
        counts[_place(t.scope.title, what, t.method, t.ipc, t.network)] += t.missing
    for view in results.views:
        cell = view.cell
        counts[
            _place(view.scope.features_title, "features", cell.method, cell.ipc, cell.network)
        ] += int(view.rows.empty)
    lines = [build_row(*point, count) for point, count in counts.items() if count]
    header = ("Experiment", "What", "Method", "IPC", "Network", "Missing")
    table = Table(
        slug="missing",
        title="Still missing",
        header=header,
        rows=tuple(lines),
        text_columns=(0, 1, 2, 4),
    )
    return table if lines else None


def count_cells(results: Results) -> tuple[int, int]:
    """Return how many cells are planned, and how many of them have no result."""
    answers: list[Measurement | Trajectory] = [*results.measurements, *results.trajectories]
    planned = sum(len(answer.cells) for answer in answers) + len(results.views)
    return planned, sum(answer.missing for answer in answers) + sum(
        int(view.rows.empty) for view in results.views
    )


def describe_unit(plan: Plan, unit: Unit) -> str:
    """Return a unit in a few words, such as "distill digits, DM+IID, IPC 10, seed 0"."""
    words = [f"{unit.kind.replace('_', ' ')} {unit.dataset.name}"]
    made = (
        plan.units[unit.parents[0]]
        if isinstance(unit, Evaluate | Continual | Embed) and unit.parents
        else unit
    )
    if isinstance(made, Distill | Select | ImportSet):
        words += [
            made.method if isinstance(made, ImportSet) else unit_method(made),
            f"IPC {made.ipc}",
        ]
    if isinstance(unit, Evaluate | Continual):
        words.append(unit.network)
    if isinstance(unit, Continual):
        words.append(f"{len(unit.parents)} steps")
    place = (
        f"number {unit.index}"
        if isinstance(unit, TrainExtractor | ImportExtractor)
        else f"seed {unit.seed}"
    )
    return ", ".join([*words, place])


def collect_provenance(results: Results) -> pd.DataFrame:
    """Return where the rows of all units come from: the columns that the tables of units share."""
    shared = [
        results.rows[name][list(PROVENANCE)] for name in dict.fromkeys(TABLE_OF_KIND.values())
    ]
    filled = [frame for frame in shared if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else shared[0]


def _place(title: str, what: str, method: str, ipc: int | None, network: str) -> tuple[str, ...]:
    return title, what, method, MISSING if ipc is None else str(ipc), network


def _finished(results: Results) -> str:
    planned = Counter(unit.kind for unit in results.plan.units.values())
    done = Counter(results.plan.units[key].kind for key in results.done)
    return ", ".join(
        f"{done[kind]} of {planned[kind]} {KIND_LABELS[kind]}" for kind in KINDS if planned[kind]
    )


def _pairs(frame: pd.DataFrame, *columns: str) -> Iterable[tuple[object, ...]]:
    return (
        frame[list(columns)]
        .drop_duplicates()
        .sort_values(list(columns))
        .itertuples(index=False, name=None)
    )


def _dataset(name: object, version: object, fingerprint: object) -> str:
    return f"{name} version {version} (fingerprint {str(fingerprint)[:16]})"


def _versions(text: str) -> str:
    versions: Mapping[str, str] = json.loads(text)
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _joined(values: Iterable[object]) -> str:
    return "; ".join(dict.fromkeys(str(value) for value in values))


def _dates(rows: pd.DataFrame) -> str:
    finished = rows["finished"].dropna()
    if finished.empty:
        return ""
    first, last = (moment.strftime("%Y-%m-%d %H:%M") for moment in (finished.min(), finished.max()))
    return f"{first} UTC" if first == last else f"{first} to {last} UTC"
