"""What each method was computed with, read off the plan's units: a run that is shorter than published shows here."""

from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator.plan import Cell, Plan
from orchestrator.report.model import Table, row
from orchestrator.units import Continual, Distill, Evaluate, ImportExtractor, TrainExtractor, Unit

_LISTED = 4
"""Distinct values up to this many are listed, more are given as a range."""

_COLUMNS = {
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


def settings(plan: Plan) -> Table | None:
    """Return the settings that decide length and strength, a row an experiment, data set, method and IPC."""
    groups: dict[tuple[object, ...], list[Cell]] = {}
    for cell in plan.cells:
        size = "all" if cell.ipc is None else cell.ipc
        groups.setdefault((cell.experiment, cell.dataset, cell.method, size), []).append(cell)
    lines = []
    for place, cells in groups.items():
        units = dict.fromkeys(key for cell in cells for key in _unit_keys(plan, cell))
        found: dict[str, dict[Any, None]] = {}
        for name, value in (pair for key in units for pair in _values(plan, plan.units[key])):
            found.setdefault(name, {})[value] = None
        lines.append(row(*place, *(distinct(found.get(name, ())) for name in _COLUMNS.values())))
    caption = (
        "Names as in the search space. extractors: networks of the pool × epochs that they are trained; num_eval: "
        "networks trained on each set. Several values: those of swept settings, or of sets that experiments share."
    )
    header = ("Experiment", "Data set", "Method", "IPC", *_COLUMNS)
    table = Table(
        slug="settings", title="Settings", header=header, rows=tuple(lines), caption=caption, text_columns=(0, 1, 2, 4)
    )
    return table if lines else None


def distinct(values: Iterable[Any]) -> str:
    """Return values as one text: listed if they are few, otherwise their range and number."""
    unique = list(dict.fromkeys(values))
    if all(isinstance(value, int | float) for value in unique):
        unique.sort()
    texts = [f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else value
             for value in unique]  # fmt: skip
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
    if isinstance(unit, Distill):
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
    return f"{len(keys)} × {first.settings.network}, {epochs} {'epoch' if epochs == 1 else 'epochs'}"
