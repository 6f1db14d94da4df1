"""What lies behind the numbers of a report: the rows of each unit that a table names, and the
unit's specification.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestrator.report.model import Report
from orchestrator.report.results import Results
from orchestrator.report.tables.overview import describe_planned_unit
from orchestrator.text import duration
from orchestrator.units import KINDS, to_json

_Column = tuple[str, str, Callable[[Any], str]]
"""Heading, column of the table, and how its values are written."""


def _format_percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _format_whole(value: float) -> str:
    return str(int(value))


def _format_short(value: float) -> str:
    return f"{value:.4g}"


_FACTS: tuple[_Column, ...] = (
    ("Data set", "dataset", str),
    ("Method", "method", str),
    ("IPC", "ipc", _format_whole),
    ("Seed", "seed", _format_whole),
    ("Network", "network", str),
    ("Split", "split", str),
    ("Protocol", "protocol", str),
    ("Arithmetic", "dtype", str),
    ("Device", "device", str),
    ("Run", "run", str),
    ("Code", "git_commit", lambda value: str(value)[:12]),
    ("Finished", "finished", lambda value: f"{value:%Y-%m-%d %H:%M} UTC"),
    ("Time", "seconds", duration),
    ("Peak memory", "peak_memory", lambda value: f"{value / 2**30:.2f} GiB"),
)
"""The same for all rows of a unit, but time and memory: their sum and their peak."""

_ROWS: dict[str, tuple[_Column, ...]] = {
    "evaluations": (
        ("network", "network_index", _format_whole),
        ("its seed", "network_seed", _format_whole),
        ("accuracy in %", "accuracy", _format_percent),
        ("in training", "train_accuracy", _format_percent),
    ),
    "continual": (
        ("step", "step", _format_whole),
        ("classes seen", "classes", lambda value: str(len(value))),
        ("network", "network_index", _format_whole),
        ("its seed", "network_seed", _format_whole),
        ("accuracy in %", "accuracy", _format_percent),
    ),
    "features": (
        ("class", "class_name", str),
        ("images", "origin", str),
        ("number", "images", _format_whole),
        ("spread", "spread", _format_short),
        ("covariance distance", "covariance_distance", _format_short),
    ),
    "distillations": (
        ("iterations", "iterations", _format_whole),
        ("λ_CC", "lambda_cc", _format_short),
        ("λ_CM", "lambda_cm", _format_short),
        ("s / iteration", "seconds_per_iteration", _format_short),
        ("last loss", "loss", _format_short),
    ),
}
_ORDER = ("step", "label", "origin", "network_index")


@dataclass
class _Shared:
    """Values that many units have in common, each kept once."""

    places: dict[str, int]

    def place(self, value: object) -> int:
        return self.places.setdefault(json.dumps(value, sort_keys=True), len(self.places))

    def all(self) -> list[Any]:
        return [json.loads(text) for text in self.places]


def collect_evidence(report: Report, results: Results) -> dict[str, Any]:
    """Return what a page shows behind a number, as JSON.

    Returns:
        `units` by key, each with `what`, `facts` (texts, in the order of `names`), `rows` (texts,
        in the order of `heads` of its `table`), the `sets` that it was made from, and its
        specification: entry `spec` of `specs` with `seed` and entry `parents` of `parents`. Only
        units that a number of the report comes from are in it, and the sets that these read.
    """
    specs, parents = _Shared({}), _Shared({})
    keys = _list_keys(report, results)
    tables = {name: _Behind(results.rows[name], keys, _ROWS[name]) for name in _ROWS}
    units = {}
    for key in keys:
        unit = results.plan.units[key]
        behind = tables[KINDS[unit.kind].table]
        spec = json.loads(behind.specs.get(key) or to_json(unit))
        units[key] = {
            "what": describe_planned_unit(results.plan, unit),
            "table": KINDS[unit.kind].table,
            "facts": behind.facts.get(key, []),
            "rows": behind.rows.get(key, []),
            "sets": [parent for parent in unit.parents if _is_set(results, parent)],
            "seed": spec.pop("seed", None),
            "parents": parents.place(spec.pop("parents", [])),
            "spec": specs.place(spec),
        }
    heads = {table: [head for head, *_ in columns] for table, columns in _ROWS.items()}
    names = [name for name, *_ in _FACTS]
    return {
        "units": units,
        "specs": specs.all(),
        "parents": parents.all(),
        "heads": heads,
        "names": names,
    }


class _Behind:
    """One table's texts, by unit."""

    def __init__(
        self, frame: pd.DataFrame, keys: Iterable[str], columns: Sequence[_Column]
    ) -> None:
        frame = frame[frame["key"].isin(list(keys))]
        self.rows: dict[str, list[list[str]]] = {}
        self.facts: dict[str, list[str]] = {}
        self.specs: dict[str, str] = {}
        if frame.empty:
            return
        ordered = frame.sort_values([name for name in _ORDER if name in frame.columns])
        for key, line in _format_rows(ordered, columns):
            self.rows.setdefault(key, []).append(line)
        totals = frame.groupby("key").agg({"seconds": "sum", "peak_memory": "max"})
        first = frame.drop_duplicates("key").drop(columns=list(totals)).join(totals, on="key")
        self.facts = dict(_format_rows(first, _FACTS))
        self.specs = dict(zip(first["key"], first["spec"], strict=True))


def _list_keys(report: Report, results: Results) -> list[str]:
    """Return the units that numbers come from, in the order of the report, then their sets."""
    named = dict.fromkeys(
        key for t in report.tables for line in t.rows for entry in line for key in entry.keys
    )
    known = [key for key in named if key in results.plan.units]
    sets = [
        parent
        for key in known
        for parent in results.plan.units[key].parents
        if _is_set(results, parent)
    ]
    return list(dict.fromkeys([*known, *sets]))


def _is_set(results: Results, key: str) -> bool:
    return KINDS[results.plan.units[key].kind].table == "distillations"


def _format_rows(
    frame: pd.DataFrame, columns: Sequence[_Column]
) -> Iterator[tuple[str, list[str]]]:
    """Yield each row's unit and texts; a column that the table lacks, or a value that a row lacks,
    is empty.
    """
    texts = [
        [_format_value(value, write) for value in frame[name]]
        if name in frame.columns
        else [""] * len(frame)
        for _, name, write in columns
    ]
    for key, *line in zip(frame["key"], *texts, strict=True):
        yield str(key), line


def _format_value(value: Any, write: Callable[[Any], str]) -> str:
    missing = value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
    return "" if missing else write(value)
