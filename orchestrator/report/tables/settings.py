"""The settings table: what each method was computed with, read from the plan's units.

A run that is shorter than the published one is visible here.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from distill_core.settings import DistillationSettings, EvaluationSettings, LossTerm
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
"""Up to this many distinct values are listed; more are given as a range."""

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
"""Columns that are always shown, with the name of their values."""


class _Optional(NamedTuple):
    """A column that is shown only where a value is not the usual one."""

    heading: str
    name: str
    usual: Any


_OPTIONAL = (
    _Optional("lr_net", "lr_net", EvaluationSettings().lr_net),
    _Optional("own loss", "custom_loss", ""),
    _Optional("sets made in", "distillation_precision", DistillationSettings().precision),
    _Optional("networks trained in", "evaluation_precision", EvaluationSettings().precision),
    _Optional("files read as", "reading", ""),
)
_TEXT_HEADINGS = (
    "Experiment",
    "Data set",
    "Method",
    "matching network",
    "own loss",
    "files read as",
)

Values = dict[str, dict[Any, None]]
"""Distinct values by name, in the order in which they come."""


def build_settings_table(plan: Plan) -> Table | None:
    """Return the settings that decide length and strength; None without cells.

    A row is an experiment, data set, method and IPC.
    """
    groups: dict[tuple[object, ...], list[Cell]] = {}
    for cell in plan.cells:
        size = "all" if cell.ipc is None else cell.ipc
        groups.setdefault((cell.experiment, cell.dataset, cell.method, size), []).append(cell)
    if not groups:
        return None
    found = {place: _collect_values(plan, cells) for place, cells in groups.items()}
    columns = _ALWAYS | _select_optional(found.values())
    rows = []
    for place, values in found.items():
        texts = [format_distinct(values.get(name, ())) for name in columns.values()]
        rows.append(build_row(*place, *texts))
    caption = (
        "Names are those of the search space. extractors: networks in the pool × epochs that"
        " each is trained; num_eval: networks trained on each set. Several values come from swept"
        " settings, or from sets that experiments share."
    )
    header = ("Experiment", "Data set", "Method", "IPC", *columns)
    return Table(
        slug="settings",
        title="Settings",
        header=header,
        rows=tuple(rows),
        caption=caption,
        text_columns=tuple(i for i, heading in enumerate(header) if heading in _TEXT_HEADINGS),
    )


def format_distinct(values: Iterable[Any]) -> str:
    """Return the distinct values as one text: a list of a few, otherwise their range and number."""
    unique = list(dict.fromkeys(values))
    # Numbers are sorted for the range; other values stay in the order of the plan.
    if all(isinstance(value, int | float) for value in unique):
        unique.sort()
    texts = [_format_value(value) for value in unique]
    if len(texts) <= _LISTED:
        return ", ".join(texts)
    return f"{texts[0]} … {texts[-1]} ({len(texts)} values)"


def _format_value(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _select_optional(found: Iterable[Values]) -> dict[str, str]:
    """Return the optional columns that are shown, with the name of their values."""
    rows = list(found)
    chosen = {}
    for column in _OPTIONAL:
        if any(set(values.get(column.name, ())) - {column.usual} for values in rows):
            chosen[column.heading] = column.name
    return chosen


def _collect_values(plan: Plan, cells: Iterable[Cell]) -> Values:
    """Return the values of the settings behind some cells."""
    keys: dict[str, None] = {}
    for cell in cells:
        keys.update(dict.fromkeys(_list_unit_keys(plan, cell)))
    found: Values = {}
    for key in keys:
        for name, value in _list_values(plan, plan.units[key]):
            found.setdefault(name, {})[value] = None
    return found


def _list_unit_keys(plan: Plan, cell: Cell) -> Iterator[str]:
    """Yield the unit that answers a cell, and the sets that it reads."""
    yield cell.evaluation_key
    if cell.set_key is not None:
        yield cell.set_key
    elif isinstance(plan.units[cell.evaluation_key], Continual):
        yield from plan.units[cell.evaluation_key].parents


def _list_values(plan: Plan, unit: Unit) -> Iterator[tuple[str, Any]]:
    if isinstance(unit, Evaluate | Continual):
        settings = unit.settings
        yield "num_eval", settings.num_eval
        yield "epoch_eval_train", settings.epoch_eval_train
        yield "lr_net", settings.lr_net
        yield "evaluation_precision", settings.precision
    if isinstance(unit, ImportSet):
        yield "reading", f"{unit.reading.layout}: {unit.reading}"
    if isinstance(unit, Distill):
        yield from _list_distillation_values(plan, unit)


def _format_term(term: LossTerm) -> str:
    options = ", ".join(f"{name} {value}" for name, value in term.options)
    return f"{term.weight:g} × {term.name}{f' ({options})' if options else ''}"


def _list_distillation_values(plan: Plan, unit: Distill) -> Iterator[tuple[str, Any]]:
    settings = unit.settings
    yield "distillation_precision", settings.precision
    if settings.loss is not None:
        yield "custom_loss", " + ".join(map(_format_term, settings.loss_terms))
    if settings.lambda_mean != 1:
        yield "lambda_mean", settings.lambda_mean
    if settings.optimizer_img != "sgd":
        yield "optimizer_img", settings.optimizer_img
    for name in ("network", "iterations", "batch_real"):
        yield name, getattr(settings, name)
    for name in ("lr_img", "lambda_cc", "lambda_cm"):
        # As float, because 1 and 1.0 are one value.
        yield name, float(getattr(settings, name))
    if unit.parents:
        yield "extractors", _describe_pool(plan, unit.parents)


def _describe_pool(plan: Plan, keys: tuple[str, ...]) -> str:
    first = plan.units[keys[0]]
    if isinstance(first, ImportExtractor):
        return f"{len(keys)} × {first.network}, imported as {first.pool}"
    if not isinstance(first, TrainExtractor):
        return str(len(keys))
    epochs = first.settings.epochs
    counted = f"{epochs} {'epoch' if epochs == 1 else 'epochs'}"
    return f"{len(keys)} × {first.settings.network}, {counted}"
