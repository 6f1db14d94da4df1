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
from orchestrator.report.tables.overview import describe
from orchestrator.store.tables import TABLE_OF_KIND
from orchestrator.text import duration
from orchestrator.units import to_json

_Column = tuple[str, str, Callable[[Any], str]]
"""Heading, column of the table, and how its values are written."""


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _whole(value: float) -> str:
    return str(int(value))


def _short(value: float) -> str:
    return f"{value:.4g}"


_FACTS: tuple[_Column, ...] = (
    ("Data set", "dataset", str),
    ("Method", "method", str),
    ("IPC", "ipc", _whole),
    ("Seed", "seed", _whole),
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
        ("network", "network_index", _whole),
        ("its seed", "network_seed", _whole),
        ("accuracy in %", "accuracy", _percent),
        ("in training", "train_accuracy", _percent),
    ),
    "continual": (
        ("step", "step", _whole),
        ("classes seen", "classes", lambda value: str(len(value))),
        ("network", "network_index", _whole),
        ("its seed", "network_seed", _whole),
        ("accuracy in %", "accuracy", _percent),
    ),
    "features": (
        ("class", "class_name", str),
        ("images", "origin", str),
        ("number", "images", _whole),
        ("spread", "spread", _short),
        ("covariance distance", "covariance_distance", _short),
    ),
    "distillations": (
        ("iterations", "iterations", _whole),
        ("λ_CC", "lambda_cc", _short),
        ("λ_CM", "lambda_cm", _short),
        ("s / iteration", "seconds_per_iteration", _short),
        ("last loss", "loss", _short),
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


def evidence(report: Report, results: Results) -> dict[str, Any]:
    """Return what a page shows behind a number, as JSON.

    Returns:
        `units` by key, each with `what`, `facts` (texts, in the order of `names`), `rows` (texts,
        in the order of `heads` of its `table`), the `sets` that it was made from, and its
        specification: entry `spec` of `specs` with `seed` and entry `parents` of `parents`. Only
        units that a number of the report comes from are in it, and the sets that these read.
    """
    specs, parents = _Shared({}), _Shared({})
    keys = _keys(report, results)
    tables = {name: _Behind(results.rows[name], keys, _ROWS[name]) for name in _ROWS}
    units = {}
    for key in keys:
        unit = results.plan.units[key]
        behind = tables[TABLE_OF_KIND[unit.kind]]
        spec = json.loads(behind.specs.get(key) or to_json(unit))
        units[key] = {
            "what": describe(results.plan, unit),
            "table": TABLE_OF_KIND[unit.kind],
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
        for key, line in _texts(ordered, columns):
            self.rows.setdefault(key, []).append(line)
        totals = frame.groupby("key").agg({"seconds": "sum", "peak_memory": "max"})
        first = frame.drop_duplicates("key").drop(columns=list(totals)).join(totals, on="key")
        self.facts = dict(_texts(first, _FACTS))
        self.specs = dict(zip(first["key"], first["spec"], strict=True))


def _keys(report: Report, results: Results) -> list[str]:
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
    return TABLE_OF_KIND[results.plan.units[key].kind] == "distillations"


def _texts(frame: pd.DataFrame, columns: Sequence[_Column]) -> Iterator[tuple[str, list[str]]]:
    """Yield each row's unit and texts; a column that the table lacks, or a value that a row lacks,
    is empty.
    """
    texts = [
        [_text(value, write) for value in frame[name]]
        if name in frame.columns
        else [""] * len(frame)
        for _, name, write in columns
    ]
    for key, *line in zip(frame["key"], *texts, strict=True):
        yield str(key), line


def _text(value: Any, write: Callable[[Any], str]) -> str:
    missing = value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
    return "" if missing else write(value)
