"""How the settings of a measurement differ from the published protocol.

Also what a reader has to know in addition, such as settings that the protocol leaves open.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from distill_core.settings import DatasetRef, ExtractorSettings
from orchestrator.planning.methods import specialize
from orchestrator.planning.plan import Plan
from orchestrator.report.results import Measurement
from orchestrator.units import Distill, Evaluate, ImportExtractor, Select, TrainExtractor, Unit
from search_spaces.experiments import Experiment
from search_spaces.method_names import WHOLE
from search_spaces.resolve import ResolvedSettings, resolve
from search_spaces.rules import Case, Rule
from search_spaces.setting_sources import load_published_rules

RELEASED_POOL = "1000 × ResNet18, 40 epochs"

_SHOWN = 3
"""Differences that are listed; the others are counted."""

_NOT_PUBLISHED = "not published"
"""How the source of a value begins that stands in for an unpublished one."""


def resolve_published_settings(
    dataset: DatasetRef, method: str, ipc: int | None
) -> ResolvedSettings:
    """Return what the papers and their released code use for a cell, as far as it is known."""
    experiment = Experiment(
        name="published",
        where="published settings",
        measure="accuracy",
        datasets=(dataset,),
        methods=(method,),
        ipc=() if ipc is None else (ipc,),
        ratio=(),
        seeds=(0,),
        architectures=(),
        steps=(),
        protocol="paper",
        sweep=(),
        rules=load_published_rules(),
    )
    return resolve(experiment, _build_case(dataset.name, method, ipc), {})


def describe_differences(plan: Plan, m: Measurement, *, is_transfer: bool = False) -> str:
    """Return how a measurement's settings differ from the published ones; empty if they do not.

    The first few differences are listed. The numbers of sets and networks and the extractor pool
    are not differences: the interval shows the former, `collect_remarks` names the latter.

    Args:
        plan: the plan that the measurement belongs to.
        m: the measurement.
        is_transfer: whether another evaluation network is intended, so that it is no difference.
    """
    found = list(dict.fromkeys(_list_differences(plan, m, is_transfer)))
    shown = found[:_SHOWN]
    if len(found) > _SHOWN:
        shown.append(f"{len(found) - _SHOWN} more")
    return ", ".join(shown)


def collect_remarks(plan: Plan, m: Measurement) -> list[str]:
    """Return what a reader has to know of a comparison, other than differing settings."""
    found = []
    if m.scope.dataset.endswith("-jpeg"):
        found.append("JPEG images, compared with the published result of the original images")
    if len(m.accuracies) == 1 and m.ipc is not None:
        found.append("one set: the interval says nothing about other sets")
    pool = _describe_pool(plan, m.cells[0].set_key)
    if pool not in ("", RELEASED_POOL):
        found.append(f"extractors: {pool}; the release has {RELEASED_POOL}")
    found += dict.fromkeys(cell.note for cell in m.cells if cell.note)
    unpublished = _describe_unpublished(plan, m)
    return [*found, unpublished] if unpublished else found


def _list_differences(plan: Plan, m: Measurement, is_transfer: bool) -> Iterator[str]:
    """Yield every difference: of the distillation, the selection, the network, the evaluation."""
    evaluation = plan.units[m.cells[0].evaluation_key]
    published = resolve_published_settings(evaluation.dataset, m.method, m.ipc)
    made = plan.units.get(m.cells[0].set_key or "")
    if isinstance(made, Distill) and m.ipc is not None:
        expected = specialize(published.distillation, m.method, m.ipc)[0]
        yield from compare_settings(made.settings, expected)
    if isinstance(made, Select) and made.parents:
        yield from _compare_selection(plan.units[made.parents[0]], published)
    if m.network != published.distillation.network and not is_transfer:
        yield f"network {m.network}, not {published.distillation.network}"
    if isinstance(evaluation, Evaluate):
        # The interval shows how many networks there are, so their number is no difference.
        num_eval = evaluation.settings.num_eval
        as_many = dataclasses.replace(published.evaluation, num_eval=num_eval)
        yield from compare_settings(evaluation.settings, as_many)


def _compare_selection(extractor: Unit, published: ResolvedSettings) -> Iterator[str]:
    """Yield how the network that a set was selected with differs from the published one."""
    if isinstance(extractor, TrainExtractor):
        network = published.distillation.network
        expected = dataclasses.replace(published.extractors, network=network)
        for text in compare_settings(extractor.settings, expected):
            yield f"extractor {text}"


def compare_settings(ours: Any, theirs: Any) -> Iterator[str]:
    """Yield "iterations 80, not 20,000" for every setting that differs."""
    for field in dataclasses.fields(ours):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        if dataclasses.is_dataclass(a) and dataclasses.is_dataclass(b):
            yield from compare_settings(a, b)
        elif a != b:
            yield f"{field.name} {_format_value(a)}, not {_format_value(b)}"


def _format_value(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _describe_pool(plan: Plan, set_key: str | None) -> str:
    """Describe the extractors behind a distilled set; empty where there are none."""
    made = plan.units.get(set_key or "")
    if not isinstance(made, Distill):
        return ""
    texts = [_describe_extractor(plan.units[key]) for key in made.parents]
    return "; ".join(dict.fromkeys(f"{len(texts)} × {text}" for text in texts))


def _describe_extractor(unit: Unit) -> str:
    if isinstance(unit, ImportExtractor):
        return f"{unit.network}, imported"
    settings = unit.settings if isinstance(unit, TrainExtractor) else ExtractorSettings()
    return f"{settings.network}, {settings.epochs} {'epoch' if settings.epochs == 1 else 'epochs'}"


def _describe_unpublished(plan: Plan, m: Measurement) -> str:
    """Describe the settings that the paper of a method does not give; empty where it gives all.

    A setting counts only if the measurement uses the value that stands in for it.
    """
    rules: dict[str, Rule] = {}
    case = _build_case(m.cells[0].dataset, m.method, m.ipc)
    for rule in load_published_rules():
        if rule.matches(case):
            rules.update(dict.fromkeys(rule.set, rule))
    names, sources = [], []
    for path, value in _list_open_settings(plan, m).items():
        found = rules.get(path)
        if found and found.set[path] == value and found.source.startswith(_NOT_PUBLISHED):
            names.append(_name_open_setting(path))
            sources.append(found.source)
    return f"{' and '.join(names)}: {sources[0]}" if names else ""


def _name_open_setting(path: str) -> str:
    names = {"distillation.lambda_cc": "λ_CC", "distillation.lambda_cm": "λ_CM"}
    return names.get(path, path.rpartition(".")[2])


def _list_open_settings(plan: Plan, m: Measurement) -> dict[str, object]:
    """Return settings that papers may leave open and that a measurement depends on, by path."""
    evaluation = plan.units[m.cells[0].evaluation_key]
    if m.method == WHOLE and isinstance(evaluation, Evaluate):
        return {"evaluation.epoch_eval_train": evaluation.settings.epoch_eval_train}
    made = plan.units.get(m.cells[0].set_key or "")
    if not isinstance(made, Distill):
        return {}
    weights = {"lambda_cc": made.settings.lambda_cc, "lambda_cm": made.settings.lambda_cm}
    # A loss with weight 0 is not computed, so nothing depends on that weight.
    return {f"distillation.{name}": value for name, value in weights.items() if value}


def _build_case(dataset: str, method: str, ipc: int | None) -> Case:
    return Case(dataset=dataset, method=method, ipc=ipc, protocol="paper")
