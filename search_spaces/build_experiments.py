"""The experiments of a file, each put together from its entry, what holds for the whole file, and
the command line.

Every space has a small version that runs within minutes on scikit-learn's digits (`smoke`):
`smoke_settings.yaml` wins over the file, and what an experiment says of its small version over
that.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, cast

from distill_core.settings import Protocol
from search_spaces.errors import InvalidValue
from search_spaces.experiments import Experiment
from search_spaces.method_names import WHOLE
from search_spaces.overrides import Overrides
from search_spaces.rules import Rule
from search_spaces.schema import SAME, Axes, ExperimentEntry, SpaceEntry
from search_spaces.setting_sources import (
    block_rule,
    listed_rules,
    merge_axes,
    published_rules,
    smoke_defaults,
)
from search_spaces.varied_settings import check_search, check_sweep
from search_spaces.yaml_document import Document, YamlPath

STEPS = "steps are of class-incremental learning alone; give measure: continual, or leave steps out"


@dataclass(frozen=True, slots=True)
class Changes:
    """How a space is read: what the command line sets, and whether in its small version."""

    overrides: Overrides
    smoke: bool


def experiments_of(document: Document, entry: SpaceEntry, changes: Changes) -> list[Experiment]:
    """Return the experiments of a file.

    Raises:
        Misfit: something does not fit, at its path within the document.
        SpaceError: a data set has too few images for its IPCs, or a ratio needs its size, which is
            unknown.
    """
    own = changes.overrides
    if entry.settings.steps and not any(item.measure == "continual" for item in entry.experiments):
        raise InvalidValue(f"no experiment has measure continual; {STEPS}", ("settings", "steps"))
    shared = (
        *published_rules(),
        block_rule(entry.settings, ("settings",), f"settings of {entry.name}"),
        *listed_rules(entry.rules, ("rules",), entry, own),
    )
    experiments: list[Experiment] = []
    for i, item in enumerate(entry.experiments):
        path = ("experiments", i)
        if item.name in [experiment.name for experiment in experiments]:
            raise InvalidValue(f"there are two experiments {item.name!r}", (*path, "name"))
        rules = (
            *shared,
            block_rule(item, path, f"settings of experiment {item.name}"),
            *listed_rules(item.rules, (*path, "rules"), entry, own),
        )
        small = (
            block_rule(item.smoke, (*path, "smoke"), f"small version of {item.name}"),
            *listed_rules(item.smoke.rules, (*path, "smoke", "rules"), entry, own),
        )
        layers: tuple[Axes, ...] = (own.axes, item, entry.settings)
        sweep = check_sweep(item.sweep, own.settings, (*path, "sweep"))
        small_sweep = check_sweep(item.smoke.sweep, own.settings, (*path, "smoke", "sweep"))
        if changes.smoke:
            defaults, general = smoke_defaults()
            rules = (*rules, *general, *small)
            layers = (own.axes, item.smoke, defaults, item, entry.settings)
            sweep = small_sweep if item.smoke.sweep else sweep
        where = f"{document.name}:{document.line(path)}: experiment {item.name}"
        experiment = _experiment(item, merge_axes(*layers), sweep, rules, own, where, path)
        rungs = (changes.smoke and item.smoke.rungs) or item.rungs
        searched = check_search(item.search, experiment, path)
        experiments.append(dataclasses.replace(experiment, search=searched, rungs=rungs))
    return experiments


def _experiment(
    item: ExperimentEntry,
    axes: dict[str, Any],
    sweep: tuple[tuple[str, tuple[Any, ...]], ...],
    rules: tuple[Rule, ...],
    overrides: Overrides,
    where: str,
    path: YamlPath,
) -> Experiment:
    for axis in ("datasets", "methods"):
        if not axes[axis]:
            raise InvalidValue(f"give {axis}, here or under settings", path)
    if not axes["ipc"] and not axes["ratio"] and set(axes["methods"]) != {WHOLE}:
        raise InvalidValue("give ipc (images a class) or ratio, here or under settings", path)
    if item.measure != "continual" and (item.steps or item.smoke.steps):
        where_given = (*path, "steps") if item.steps else (*path, "smoke", "steps")
        raise InvalidValue(f"measure is {item.measure}; {STEPS}", where_given)
    if item.measure == "continual" and not axes["steps"]:
        raise InvalidValue(
            "measure continual needs steps, the number of steps in which classes arrive", path
        )
    if item.measure != "accuracy" and WHOLE in axes["methods"]:
        given = "; it was given by --set methods" if overrides.axes.methods else ""
        raise InvalidValue(
            f"method {WHOLE} has no set of its own, which measure {item.measure} needs{given}",
            (*path, "methods"),
        )
    experiment = Experiment(
        name=item.name,
        where=where,
        measure=item.measure,
        datasets=axes["datasets"],
        methods=axes["methods"],
        ipc=axes["ipc"],
        ratio=axes["ratio"],
        seeds=axes["seeds"] or (0,),
        architectures=axes["architectures"] or (SAME,),
        steps=axes["steps"] if item.measure == "continual" else (),
        protocol=cast(Protocol, axes["protocol"] or "paper"),
        sweep=sweep,
        rules=rules,
        overrides=overrides.settings,
        overridden_axes=frozenset(
            name for name in Axes.model_fields if getattr(overrides.axes, name)
        ),
    )
    for dataset in experiment.datasets:
        experiment.images_per_class(dataset)
    return experiment
