"""The experiments of a file, each built from its entry, what the whole file says, and the command
line.

Every space has a small version (`smoke`) that runs within minutes on scikit-learn's digits. For it
`smoke_settings.yaml` wins over the file, and what an experiment says about its small version wins
over that.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from distill_core.settings import Protocol
from search_spaces.errors import InvalidValue
from search_spaces.experiments import Experiment
from search_spaces.method_names import WHOLE
from search_spaces.overrides import Overrides
from search_spaces.rules import Rule
from search_spaces.schema import SAME, Axes, ExperimentEntry, SpaceEntry
from search_spaces.setting_sources import (
    build_block_rule,
    build_listed_rules,
    load_published_rules,
    load_smoke_defaults,
    merge_axes,
)
from search_spaces.varied_settings import Sweep, check_search, check_sweep
from search_spaces.yaml_document import Document, YamlPath

STEPS = "only class-incremental learning has steps; give measure: continual, or leave steps out"


@dataclass(frozen=True, slots=True)
class Changes:
    """What the command line says about a space."""

    overrides: Overrides
    smoke: bool
    """Whether to read its small version."""


class _Sources(NamedTuple):
    """Where the grid and the settings of an experiment come from."""

    axes: tuple[Axes, ...]
    """The first that has an axis wins."""
    rules: tuple[Rule, ...]
    """Later ones win."""
    sweep: Sweep


def build_experiments(document: Document, entry: SpaceEntry, changes: Changes) -> list[Experiment]:
    """Return the experiments of a file.

    Raises:
        InvalidValue: something does not fit, at its path within the document.
        SpaceError: a data set has too few images for its IPCs, or a ratio needs its size, which is
            unknown.
    """
    measures = {item.measure for item in entry.experiments}
    if entry.settings.steps and "continual" not in measures:
        raise InvalidValue(f"no experiment has measure continual; {STEPS}", ("settings", "steps"))
    shared = (
        *load_published_rules(),
        build_block_rule(entry.settings, ("settings",), f"settings of {entry.name}"),
        *build_listed_rules(entry.rules, ("rules",), entry, changes.overrides),
    )
    experiments: list[Experiment] = []
    for i, item in enumerate(entry.experiments):
        path = ("experiments", i)
        if item.name in [experiment.name for experiment in experiments]:
            raise InvalidValue(f"there are two experiments {item.name!r}", (*path, "name"))
        sources = _collect_sources(item, entry, shared, changes, path)
        where = f"{document.name}:{document.line(path)}: experiment {item.name}"
        experiment = _build_experiment(item, sources, changes.overrides, where, path)
        rungs = (changes.smoke and item.smoke.rungs) or item.rungs
        searched = check_search(item.search, experiment, path)
        experiments.append(dataclasses.replace(experiment, search=searched, rungs=rungs))
    return experiments


def _collect_sources(
    item: ExperimentEntry,
    entry: SpaceEntry,
    shared: tuple[Rule, ...],
    changes: Changes,
    path: YamlPath,
) -> _Sources:
    """Check everything that an experiment says, and return what applies."""
    overrides = changes.overrides
    sweep = check_sweep(item.sweep, overrides.settings, (*path, "sweep"))
    rules = (
        *shared,
        build_block_rule(item, path, f"settings of experiment {item.name}"),
        *build_listed_rules(item.rules, (*path, "rules"), entry, overrides),
    )
    # The small version is checked even if it is not asked for: an error in it should not wait.
    smoke, smoke_path = item.smoke, (*path, "smoke")
    smoke_sweep = check_sweep(smoke.sweep, overrides.settings, (*smoke_path, "sweep"))
    smoke_rules = (
        build_block_rule(smoke, smoke_path, f"small version of {item.name}"),
        *build_listed_rules(smoke.rules, (*smoke_path, "rules"), entry, overrides),
    )
    if not changes.smoke:
        return _Sources((overrides.axes, item, entry.settings), rules, sweep)
    default_axes, default_rules = load_smoke_defaults()
    return _Sources(
        axes=(overrides.axes, smoke, default_axes, item, entry.settings),
        rules=(*rules, *default_rules, *smoke_rules),
        sweep=smoke_sweep if smoke.sweep else sweep,
    )


def _build_experiment(
    item: ExperimentEntry, sources: _Sources, overrides: Overrides, where: str, path: YamlPath
) -> Experiment:
    axes = merge_axes(*sources.axes)
    _check_axes(item, axes, overrides, path)
    overridden = [name for name in Axes.model_fields if getattr(overrides.axes, name)]
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
        sweep=sources.sweep,
        rules=sources.rules,
        overrides=overrides.settings,
        overridden_axes=frozenset(overridden),
    )
    for dataset in experiment.datasets:
        experiment.list_images_per_class(dataset)  # raises where a data set is too small
    return experiment


def _check_axes(
    item: ExperimentEntry, axes: dict[str, Any], overrides: Overrides, path: YamlPath
) -> None:
    """Check that the axes are complete and fit what is measured."""
    for axis in ("datasets", "methods"):
        if not axes[axis]:
            raise InvalidValue(f"give {axis}, here or under settings", path)
    if not axes["ipc"] and not axes["ratio"] and set(axes["methods"]) != {WHOLE}:
        raise InvalidValue("give ipc (images per class) or ratio, here or under settings", path)
    if item.measure != "continual" and (item.steps or item.smoke.steps):
        given = (*path, "steps") if item.steps else (*path, "smoke", "steps")
        raise InvalidValue(f"measure is {item.measure}; {STEPS}", given)
    if item.measure == "continual" and not axes["steps"]:
        raise InvalidValue(
            "measure continual needs steps, the number of steps in which classes arrive", path
        )
    if item.measure != "accuracy" and WHOLE in axes["methods"]:
        origin = "; it was given by --set methods" if overrides.axes.methods else ""
        raise InvalidValue(
            f"method {WHOLE} makes no set, which measure {item.measure} needs{origin}",
            (*path, "methods"),
        )
