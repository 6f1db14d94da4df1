"""What each method was computed with, read off the plan's units: a run that is shorter than
published shows here.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from distill_core.settings import DistillationSettings, EvaluationSettings
from orchestrator.planning.plan import Cell, Plan
from orchestrator.report.model import Table, build_row
from orchestrator.units import (
    Continual,
    Distill,
    Evaluate,
    ImportExtractor,
    ImportSet,
    TrainExtractor,
    Unit,
)

_LISTED = 4
"""Distinct values up to this many are listed, more are given as a range."""

_ALWAYS = {
    "matching network": "network",
    "iterations": "iterations",
    "batch_real": "batch_real",
    "lr_img": "lr_img",
    "λ_CC": "lambda_cc",
    "λ_CM": "lambda_cm",
    "extractors": "extractors",
    "num_eval": "num_eval",
    "epoch_eval_train": "epoch_eval_train",
}
_WHERE_CHANGED: dict[str, tuple[str, Any]] = {
    "lr_net": ("lr_net", EvaluationSettings().lr_net),
    "own loss": ("own_loss", ""),
    "sets made in": ("distillation_precision", DistillationSettings().precision),
    "networks trained in": ("evaluation_precision", EvaluationSettings().precision),
    "files read as": ("reading", ""),
}
"""Columns that are there if a value is not the usual one."""
_WORDS = ("Experiment", "Data set", "Method", "matching network", "own loss", "files read as")


def build_settings_table(plan: Plan) -> Table | None:
    """Return the settings that decide length and strength, a row an experiment, data set, method
    and IPC.
    """
    groups: dict[tuple[object, ...], list[Cell]] = {}
    for cell in plan.cells:
        size = "all" if cell.ipc is None else cell.ipc
        groups.setdefault((cell.experiment, cell.dataset, cell.method, size), []).append(cell)
    found = {place: _found(plan, cells) for place, cells in groups.items()}
    changed = {
        heading: name
        for heading, (name, usual) in _WHERE_CHANGED.items()
        if any(set(values.get(name, ())) - {usual} for values in found.values())
    }
    columns = _ALWAYS | changed
    lines = [
        build_row(*place, *(format_distinct(values.get(name, ())) for name in columns.values()))
        for place, values in found.items()
    ]
    caption = (
        "Names as in the search space. extractors: networks of the pool × epochs that they are"
        " trained; num_eval: networks trained on each set. Several values: those of swept settings,"
        " or of sets that experiments share."
    )
    header = ("Experiment", "Data set", "Method", "IPC", *columns)
    words = tuple(place for place, heading in enumerate(header) if heading in _WORDS)
    table = Table(
        slug="settings",
        title="Settings",
        header=header,
        rows=tuple(lines),
        caption=caption,
        text_columns=words,
    )
    return table if lines else None


def _found(plan: Plan, cells: Iterable[Cell]) -> dict[str, dict[Any, None]]:
    """Return the distinct values of each setting of some cells, in the order in which they come."""
    found: dict[str, dict[Any, None]] = {}
    units = dict.fromkeys(key for cell in cells for key in _unit_keys(plan, cell))
    for name, value in (pair for key in units for pair in _values(plan, plan.units[key])):
        found.setdefault(name, {})[value] = None
    return found


def format_distinct(values: Iterable[Any]) -> str:
    """Return values as one text: listed if they are few, otherwise their range and number."""
    unique = list(dict.fromkeys(values))
    if all(isinstance(value, int | float) for value in unique):
        unique.sort()
    texts = [
        f"{value:,}"
        if isinstance(value, int)
        else f"{value:g}"
        if isinstance(value, float)
        else value
        for value in unique
    ]
    if len(texts) <= _LISTED:
        return ", ".join(texts)
    return f"{texts[0]} … {texts[-1]} ({len(texts)} values)"


def _unit_keys(plan: Plan, cell: Cell) -> Iterator[str]:
    yield cell.evaluation_key
    if cell.set_key is not None:
        yield cell.set_key
    elif isinstance(plan.units[cell.evaluation_key], Continual):
        yield from plan.units[cell.evaluation_key].parents


def _values(plan: Plan, unit: Unit) -> Iterator[tuple[str, Any]]:
    if isinstance(unit, Evaluate | Continual):
        for name in ("num_eval", "epoch_eval_train"):
            yield name, getattr(unit.settings, name)
        yield "lr_net", unit.settings.lr_net
        yield "evaluation_precision", unit.settings.precision
    if isinstance(unit, ImportSet):
        yield "reading", f"{unit.reading.layout}: {unit.reading}"
    if isinstance(unit, Distill):
        yield "distillation_precision", unit.settings.precision
        if unit.settings.loss is not None:
            yield "own_loss", f"{unit.settings.lambda_loss:g} × {unit.settings.loss}"
        for name in ("network", "iterations", "batch_real"):
            yield name, getattr(unit.settings, name)
        for name in ("lr_img", "lambda_cc", "lambda_cm"):
            yield name, float(getattr(unit.settings, name))
        if unit.parents:
            yield "extractors", _pool(plan, unit.parents)


def _pool(plan: Plan, keys: tuple[str, ...]) -> str:
    first = plan.units[keys[0]]
    if isinstance(first, ImportExtractor):
        return f"{len(keys)} × {first.network}, imported as {first.pool}"
    if not isinstance(first, TrainExtractor):
        return str(len(keys))
    epochs = first.settings.epochs
    return (
        f"{len(keys)} × {first.settings.network}, {epochs} {'epoch' if epochs == 1 else 'epochs'}"
    )
