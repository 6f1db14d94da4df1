"""The evidence behind the numbers of a report: the rows and the specification of each unit.

It holds every unit that an entry of a table names, and the sets that these units read. The HTML
page shows it when a number is clicked.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from orchestrator.report.model import Report
from orchestrator.report.results import Results
from orchestrator.report.tables.overview import describe_planned_unit
from orchestrator.text import format_duration
from orchestrator.units import KINDS, to_json


class _TextColumn(NamedTuple):
    """A column of a page's table."""

    heading: str
    name: str
    """Of the column of the Parquet table."""
    format_value: Callable[[Any], str]


def _format_percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _format_whole(value: float) -> str:
    return str(int(value))


def _format_short(value: float) -> str:
    return f"{value:.4g}"


def _format_commit(value: object) -> str:
    return str(value)[:12]


def _format_date(value: pd.Timestamp) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC"


def _format_gibibytes(value: float) -> str:
    return f"{value / 2**30:.2f} GiB"


def _format_length(value: Sequence[object]) -> str:
    return str(len(value))


_FACTS: tuple[_TextColumn, ...] = (
    _TextColumn("Data set", "dataset", str),
    _TextColumn("Method", "method", str),
    _TextColumn("IPC", "ipc", _format_whole),
    _TextColumn("Seed", "seed", _format_whole),
    _TextColumn("Network", "network", str),
    _TextColumn("Split", "split", str),
    _TextColumn("Protocol", "protocol", str),
    _TextColumn("Arithmetic", "dtype", str),
    _TextColumn("Device", "device", str),
    _TextColumn("Run", "run", str),
    _TextColumn("Code", "git_commit", _format_commit),
    _TextColumn("Finished", "finished", _format_date),
    _TextColumn("Time", "seconds", format_duration),
    _TextColumn("Peak memory", "peak_memory", _format_gibibytes),
)
"""Facts of a unit. All its rows share them, except that time is their sum and memory their peak."""

_ROWS: dict[str, tuple[_TextColumn, ...]] = {
    "evaluations": (
        _TextColumn("network", "network_index", _format_whole),
        _TextColumn("its seed", "network_seed", _format_whole),
        _TextColumn("accuracy in %", "accuracy", _format_percent),
        _TextColumn("in training", "train_accuracy", _format_percent),
    ),
    "continual": (
        _TextColumn("step", "step", _format_whole),
        _TextColumn("classes seen", "classes", _format_length),
        _TextColumn("network", "network_index", _format_whole),
        _TextColumn("its seed", "network_seed", _format_whole),
        _TextColumn("accuracy in %", "accuracy", _format_percent),
    ),
    "features": (
        _TextColumn("class", "class_name", str),
        _TextColumn("images", "origin", str),
        _TextColumn("number", "images", _format_whole),
        _TextColumn("spread", "spread", _format_short),
        _TextColumn("covariance distance", "covariance_distance", _format_short),
    ),
    "distillations": (
        _TextColumn("iterations", "iterations", _format_whole),
        _TextColumn("λ_CC", "lambda_cc", _format_short),
        _TextColumn("λ_CM", "lambda_cm", _format_short),
        _TextColumn("s / iteration", "seconds_per_iteration", _format_short),
        _TextColumn("last loss", "loss", _format_short),
    ),
}
_ORDER = ("step", "label", "origin", "network_index")


@dataclass
class _ValuePool:
    """Values that many units share, each stored once to keep the page small."""

    indices: dict[str, int] = field(default_factory=dict)

    def add(self, value: object) -> int:
        """Return the index of a value, which is added if it is new."""
        return self.indices.setdefault(json.dumps(value, sort_keys=True), len(self.indices))

    def list_values(self) -> list[Any]:
        """Return all values by index."""
        return [json.loads(text) for text in self.indices]


@dataclass
class _TableTexts:
    """The texts of one Parquet table, by unit."""

    rows: dict[str, list[list[str]]] = field(default_factory=dict)
    facts: dict[str, list[str]] = field(default_factory=dict)
    specs: dict[str, str] = field(default_factory=dict)


def collect_evidence(report: Report, results: Results) -> dict[str, Any]:
    """Return the evidence that a page shows behind its numbers, as JSON.

    Returns:
        `units` by key, each with `what`, `facts` (texts, in the order of `names`), `rows` (texts,
        in the order of `heads` of its `table`), the `sets` that it was made from, and its
        specification: entry `spec` of `specs` with `seed` and entry `parents` of `parents`. Only
        units that a number of the report comes from are in it, and the sets that these read.
    """
    specs, parents = _ValuePool(), _ValuePool()
    keys = _list_keys(report, results)
    tables = {
        name: _read_texts(results.rows[name], keys, columns) for name, columns in _ROWS.items()
    }
    units = {}
    for key in keys:
        unit = results.plan.units[key]
        table = KINDS[unit.kind].table
        texts = tables[table]
        spec = json.loads(texts.specs.get(key) or to_json(unit))
        units[key] = {
            "what": describe_planned_unit(results.plan, unit),
            "table": table,
            "facts": texts.facts.get(key, []),
            "rows": texts.rows.get(key, []),
            "sets": [parent for parent in unit.parents if _is_set(results, parent)],
            "seed": spec.pop("seed", None),
            "parents": parents.add(spec.pop("parents", [])),
            "spec": specs.add(spec),
        }
    return {
        "units": units,
        "specs": specs.list_values(),
        "parents": parents.list_values(),
        "heads": {table: _list_headings(columns) for table, columns in _ROWS.items()},
        "names": _list_headings(_FACTS),
    }


def _read_texts(
    frame: pd.DataFrame, keys: Iterable[str], columns: Sequence[_TextColumn]
) -> _TableTexts:
    found = _TableTexts()
    frame = frame[frame["key"].isin(list(keys))]
    if frame.empty:
        return found
    ordered = frame.sort_values([name for name in _ORDER if name in frame.columns])
    for key, row in _format_rows(ordered, columns):
        found.rows.setdefault(key, []).append(row)
    totals = frame.groupby("key").agg({"seconds": "sum", "peak_memory": "max"})
    first = frame.drop_duplicates("key").drop(columns=list(totals)).join(totals, on="key")
    found.facts = dict(_format_rows(first, _FACTS))
    found.specs = dict(zip(first["key"], first["spec"], strict=True))
    return found


def _list_keys(report: Report, results: Results) -> list[str]:
    """Return the units that numbers come from, in the order of the report, then their sets."""
    named: dict[str, None] = {}
    for table in report.tables:
        for row in table.rows:
            for entry in row:
                named.update(dict.fromkeys(entry.keys))
    known = [key for key in named if key in results.plan.units]
    found = dict.fromkeys(known)
    for key in known:
        for parent in results.plan.units[key].parents:
            if _is_set(results, parent):
                found[parent] = None
    return list(found)


def _is_set(results: Results, key: str) -> bool:
    return KINDS[results.plan.units[key].kind].table == "distillations"


def _list_headings(columns: Iterable[_TextColumn]) -> list[str]:
    return [column.heading for column in columns]


def _format_rows(
    frame: pd.DataFrame, columns: Sequence[_TextColumn]
) -> Iterator[tuple[str, list[str]]]:
    """Yield the unit and the texts of each row.

    A column that the table does not have, or a value that a row does not have, is empty.
    """
    texts: list[list[str]] = []
    for column in columns:
        if column.name in frame.columns:
            texts.append([_format_value(value, column) for value in frame[column.name]])
        else:
            texts.append([""] * len(frame))
    for key, *row in zip(frame["key"], *texts, strict=True):
        yield str(key), row


def _format_value(value: Any, column: _TextColumn) -> str:
    is_missing = value is None or value is pd.NaT
    is_missing = is_missing or (isinstance(value, float) and math.isnan(value))
    return "" if is_missing else column.format_value(value)
