"""The tables around the results: what ran and on what, what it cost, what failed, and what is still missing."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from textwrap import shorten

import pandas as pd

from orchestrator.methods import unit_method
from orchestrator.plan import Plan
from orchestrator.report.model import MISSING, Table, row
from orchestrator.report.results import Results
from orchestrator.units import KINDS, Distill, Evaluate, ImportExtractor, Select, TrainExtractor, Unit
from orchestrator.wording import duration

_KIND_LABELS = {
    "train_extractors": "extractors trained",
    "import_extractors": "extractors imported",
    "select": "sets selected",
    "distill": "sets distilled",
    "evaluate": "sets evaluated",
}

_REASON_LENGTH = 300
_MEMORY = "Peak memory: of the device on a GPU, of the whole process on a CPU."


def overview(results: Results, space: str) -> Table:
    """Return what ran: counts, data, protocol, machine, versions, dates and time, a line each."""
    rows = _all_rows(results)
    facts = {
        "Search space": space,
        "Finished": _finished(results),
        "Data": _joined(_dataset(*point) for point in _pairs(rows, "dataset", "dataset_version", "fingerprint")),
        "Protocol": _joined(cell.protocol for cell in results.plan.cells),
        "Arithmetic": _joined(rows["dtype"].dropna()),
        "Device": _joined(rows["device"].dropna()),
        "Versions": _joined(_versions(text) for text in rows["versions"].dropna().unique()),
        "Code": _joined(str(commit)[:12] for commit in rows["git_commit"].dropna().unique()),
        "Computed": _dates(rows),
        "Compute time, all units together": duration(float(rows["seconds"].sum())),
    }
    lines = [row(name, value) for name, value in facts.items() if value]
    return Table(slug="overview", title="What ran", header=("", ""), rows=tuple(lines), text_columns=(0, 1))


def costs(results: Results) -> tuple[Table, ...]:
    """Return what sets and networks cost, in measured seconds and bytes; a table without rows is left out."""
    tables = (_set_costs(results), _network_costs(results), _extractor_costs(results))
    return tuple(table for table in tables if table.rows)


def failures(results: Results) -> Table | None:
    """Return the units of the plan that failed and are not done since; the last failure of each."""
    frame = results.rows["failures"]
    frame = frame[~frame["key"].isin(results.done)].sort_values("finished").drop_duplicates("key", keep="last")
    lines = [
        row(key, describe(results.plan, results.plan.units[key]), error, shorten(reason or "", _REASON_LENGTH))
        for key, error, reason in frame[["key", "error", "reason"]].itertuples(index=False, name=None)
    ]
    header = ("Unit", "What", "Error", "Reason")
    table = Table(slug="failures", title="Failures", header=header, rows=tuple(lines), text_columns=(0, 1, 2, 3))
    return table if lines else None


def missing(results: Results) -> Table | None:
    """Return the cells of the plan without results, counted a method."""
    counts = Counter[tuple[str, ...]]()
    for m in results.measurements:
        counts[(m.scope.title, m.method, MISSING if m.ipc is None else str(m.ipc), m.network)] += m.missing
    lines = [row(*point, count) for point, count in counts.items() if count]
    header = ("Experiment", "Method", "IPC", "Network", "Missing")
    table = Table(slug="missing", title="Still missing", header=header, rows=tuple(lines), text_columns=(0, 1, 3))
    return table if lines else None


def describe(plan: Plan, unit: Unit) -> str:
    """Return a unit in a few words, such as "distill digits, DM+IID, IPC 10, seed 0"."""
    words = [f"{unit.kind.replace('_', ' ')} {unit.dataset.name}"]
    made = plan.units[unit.parents[0]] if isinstance(unit, Evaluate) and unit.parents else unit
    if isinstance(made, Distill | Select):
        words += [unit_method(made), f"IPC {made.ipc}"]
    if isinstance(unit, Evaluate):
        words.append(unit.network)
    place = f"number {unit.index}" if isinstance(unit, TrainExtractor | ImportExtractor) else f"seed {unit.seed}"
    return ", ".join([*words, place])


def _finished(results: Results) -> str:
    planned = Counter(unit.kind for unit in results.plan.units.values())
    done = Counter(results.plan.units[key].kind for key in results.done)
    return ", ".join(f"{done[kind]} of {planned[kind]} {_KIND_LABELS[kind]}" for kind in KINDS if planned[kind])


def _all_rows(results: Results) -> pd.DataFrame:
    shared = list(results.rows["evaluations"].columns[:16])
    frames = [frame[shared] for name, frame in results.rows.items() if name != "failures" and len(frame)]
    return pd.concat(frames) if frames else results.rows["evaluations"]


def _pairs(frame: pd.DataFrame, *columns: str) -> Iterable[tuple[object, ...]]:
    return frame[list(columns)].drop_duplicates().sort_values(list(columns)).itertuples(index=False, name=None)


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


def _set_costs(results: Results) -> Table:
    order = list(dict.fromkeys(m.method for m in results.measurements))
    lines = []
    for (dataset, method, ipc), group in results.rows["distillations"].groupby(["dataset", "method", "ipc"]):
        iterations = "" if group["iterations"].isna().all() else f"{int(group['iterations'].max())}"
        times = _seconds(group["seconds_per_iteration"]), _seconds(group["seconds"])
        lines.append((dataset, method, ipc, iterations, *times, _memory(group), len(group)))
    lines.sort(key=lambda line: (line[0], order.index(line[1]) if line[1] in order else len(order), line[2]))
    header = ("Data set", "Method", "IPC", "Iterations", "s / iteration", "s / set", "peak memory", "sets")
    caption = f"Means over sets. {_MEMORY}"
    return _cost_table("cost-sets", "Synthetic sets", header, lines, caption)


def _network_costs(results: Results) -> Table:
    frame = results.rows["evaluations"]
    frame = frame.assign(ipc=frame["ipc"].fillna(0).astype("int64"))
    lines = []
    for (dataset, network, ipc), group in frame.groupby(["dataset", "network", "ipc"]):
        lines.append((dataset, network, ipc or "all", _seconds(group["seconds"]), _memory(group), len(group)))
    header = ("Data set", "Network", "IPC", "s / network", "peak memory", "networks")
    return _cost_table("cost-networks", "Evaluated networks", header, lines, f"Means over networks. {_MEMORY}")


def _extractor_costs(results: Results) -> Table:
    frame = results.rows["extractors"]
    lines = [
        (dataset, network, _seconds(group["seconds"]), _memory(group), len(group))
        for (dataset, network), group in frame.groupby(["dataset", "network"])
    ]
    header = ("Data set", "Network", "s / network", "peak memory", "networks")
    return _cost_table("cost-extractors", "Extractor pool", header, lines, f"Means over networks. {_MEMORY}")


def _cost_table(
    slug: str, title: str, header: tuple[str, ...], lines: Iterable[tuple[object, ...]], caption: str
) -> Table:
    rows = tuple(row(*line) for line in lines)
    return Table(slug=slug, title=title, header=header, rows=rows, caption=caption, text_columns=(0, 1))


def _seconds(values: pd.Series) -> str:
    mean = values.mean()
    return "" if pd.isna(mean) else f"{mean:.3g}" if mean < 1000 else f"{mean:.0f}"


def _memory(group: pd.DataFrame) -> str:
    peak = group["peak_memory"].max()
    return "" if pd.isna(peak) else f"{peak / 2**30:.2f} GiB"
