"""Where the settings behind a measurement differ from the published protocol, and what that
protocol leaves open.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from distill_core.settings import DatasetRef, ExtractorSettings
from orchestrator.planning.methods import specialise
from orchestrator.planning.plan import Plan
from orchestrator.report.results import Measurement
from orchestrator.units import Distill, Evaluate, ImportExtractor, Select, TrainExtractor, Unit
from search_spaces.experiments import Experiment
from search_spaces.method_names import WHOLE
from search_spaces.resolve import ResolvedSettings, resolve
from search_spaces.rules import Case, Rule
from search_spaces.setting_sources import published_rules

RELEASED_POOL = "1000 × ResNet18, 40 epochs"

_SHOWN = 3


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
        rules=published_rules(),
    )
    return resolve(experiment, _case(dataset.name, method, ipc), {})


def describe_deviations(plan: Plan, measurement: Measurement) -> str:
    """Return how a measurement's settings differ from the published ones, the first few; empty
    where they do not.

    The numbers of sets and networks and the extractor pool are no deviations: the interval shows
    the ones, `remarks` names the other.
    """
    m = measurement
    evaluation = plan.units[m.cells[0].evaluation_key]
    published = resolve_published_settings(evaluation.dataset, m.method, m.ipc)
    found = list(dict.fromkeys(_deviations(plan, m, evaluation, published)))
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return ", ".join([*found[:_SHOWN], *more])


def collect_remarks(plan: Plan, measurement: Measurement) -> list[str]:
    """Return what a reader has to know of a comparison that is no deviation from what was
    published.
    """
    m, found = measurement, []
    if m.scope.dataset.endswith("-jpeg"):
        found.append("JPEG images, compared with the figure of the original ones")
    if len(m.accuracies) == 1 and m.ipc is not None:
        found.append("one set: the interval says nothing about other sets")
    pool = _pool(plan, m.cells[0].set_key)
    if pool not in ("", RELEASED_POOL):
        found.append(f"extractors: {pool}; the release has {RELEASED_POOL}")
    notes = dict.fromkeys(cell.note for cell in m.cells if cell.note)
    return [*found, *notes, *_unknown(plan, m)]


def _deviations(
    plan: Plan, m: Measurement, evaluation: Unit, published: ResolvedSettings
) -> Iterator[str]:
    made = plan.units.get(m.cells[0].set_key or "")
    if isinstance(made, Distill) and m.ipc is not None:
        yield from _differences(
            made.settings, specialise(published.distillation, m.method, m.ipc)[0]
        )
    if isinstance(made, Select) and made.parents:
        chooser = plan.units[made.parents[0]]
        expected = dataclasses.replace(published.extractors, network=published.distillation.network)
        if isinstance(chooser, TrainExtractor):
            yield from (f"extractor {text}" for text in _differences(chooser.settings, expected))
    if m.network != published.distillation.network:
        yield f"network {m.network}, not {published.distillation.network}"
    if isinstance(evaluation, Evaluate):
        as_many = dataclasses.replace(published.evaluation, num_eval=evaluation.settings.num_eval)
        yield from _differences(evaluation.settings, as_many)


def _differences(ours: Any, theirs: Any) -> Iterator[str]:
    """Yield "iterations 80, not 20,000" for every setting that differs."""
    for field in dataclasses.fields(ours):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        if dataclasses.is_dataclass(a) and dataclasses.is_dataclass(b):
            yield from _differences(a, b)
        elif a != b:
            yield f"{field.name} {_text(a)}, not {_text(b)}"


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _pool(plan: Plan, set_key: str | None) -> str:
    """Describe the extractors behind a distilled set; empty where there are none."""
    made = plan.units.get(set_key or "")
    pool = [plan.units[key] for key in made.parents] if isinstance(made, Distill) else []
    return "; ".join(dict.fromkeys(f"{len(pool)} × {_extractor(unit)}" for unit in pool))


def _extractor(unit: Unit) -> str:
    if isinstance(unit, ImportExtractor):
        return f"{unit.network}, imported"
    settings = unit.settings if isinstance(unit, TrainExtractor) else ExtractorSettings()
    return f"{settings.network}, {settings.epochs} epoch{'s' * (settings.epochs != 1)}"


def _unknown(plan: Plan, m: Measurement) -> Iterable[str]:
    """Yield the settings of a method that its paper does not give and that have the value that
    stands in for it.
    """
    rules: dict[str, Rule] = {}
    case = _case(m.cells[0].dataset, m.method, m.ipc)
    for rule in published_rules():
        if rule.matches(case):
            rules.update(dict.fromkeys(rule.set, rule))
    used = {
        path: rules[path].source
        for path, value in _used(plan, m).items()
        if path in rules
        and rules[path].set[path] == value
        and rules[path].source.startswith("not published")
    }
    if used:
        names = {"distillation.lambda_cc": "λ_CC", "distillation.lambda_cm": "λ_CM"}
        listed = " and ".join(names.get(path, path.rpartition(".")[2]) for path in used)
        yield f"{listed}: {next(iter(used.values()))}"


def _used(plan: Plan, m: Measurement) -> dict[str, object]:
    """Return the values, by path, of settings that papers may leave open and that this measurement
    depends on.
    """
    evaluation = plan.units[m.cells[0].evaluation_key]
    if m.method == WHOLE and isinstance(evaluation, Evaluate):
        return {"evaluation.epoch_eval_train": evaluation.settings.epoch_eval_train}
    made = plan.units.get(m.cells[0].set_key or "")
    if not isinstance(made, Distill):
        return {}
    weights = {"lambda_cc": made.settings.lambda_cc, "lambda_cm": made.settings.lambda_cm}
    return {f"distillation.{name}": value for name, value in weights.items() if value}


def _case(dataset: str, method: str, ipc: int | None) -> Case:
    return Case(dataset=dataset, method=method, ipc=ipc, protocol="paper")
