"""Search spaces as experiments: read from a file, checked, with the command line's overrides.

The settings of an experiment are a list of rules, in the order in which later ones win: published settings, the file's
settings and rules, the experiment's settings and rules. `resolution.resolve` adds the sweep and the overrides.

Every space has a small version that runs within minutes on scikit-learn's digits (`smoke`): `smoke_settings.yaml` wins
over the file, and what an experiment says of its small version over that.
"""

import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from distill_core.datasets.info import REGISTRY
from distill_core.settings import DatasetRef, Protocol
from search_spaces.document import Document, YamlPath, read_document
from search_spaces.errors import Misfit, SpaceError, nearest
from search_spaces.leaves import SECTIONS, brief, find_leaf, flatten
from search_spaces.methods import BASES, WHOLE
from search_spaces.overrides import Overrides, parse_overrides
from search_spaces.rules import Rule
from search_spaces.schema import (
    SAME,
    Axes,
    ExperimentEntry,
    Measure,
    Range,
    RuleEntry,
    RuleList,
    Rungs,
    Settings,
    SmokeDefaults,
    SpaceEntry,
    validate,
)

FOLDER = Path(__file__).parent
PUBLISHED = FOLDER / "published_settings.yaml"
SMOKE = FOLDER / "smoke_settings.yaml"
STEPS = "steps are of class-incremental learning alone; give measure: continual, or leave steps out"


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """One grid: every data set × method × IPC × seed × architecture, and every combination of swept values."""

    name: str
    where: str
    """File and line, for messages."""
    measure: Measure
    datasets: tuple[DatasetRef, ...]
    methods: tuple[str, ...]
    ipc: tuple[int, ...]
    ratio: tuple[float, ...]
    """Stored images as fractions of the training images; used where `ipc` is empty."""
    seeds: tuple[int, ...]
    architectures: tuple[str, ...]
    steps: tuple[int, ...]
    """Steps of class-incremental learning; empty where something else is measured."""
    protocol: Protocol
    sweep: tuple[tuple[str, tuple[Any, ...]], ...]
    """Settings by path, each with its values."""
    rules: tuple[Rule, ...]
    search: tuple[tuple[str, Range], ...] = ()
    """Settings by path that `iid search` chooses, each with what it tries; empty where there is nothing to choose."""
    rungs: Rungs = field(default_factory=Rungs)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings by path."""
    overridden_axes: frozenset[str] = frozenset()

    def set_by(self, *axes: str) -> str:
        """Return the end of a message about some axes: that the command line gave them, where it did."""
        given = [axis for axis in axes if axis in self.overridden_axes]
        return f"; it was given by --set {given[0]}" if given else ""

    def ratios(self, dataset: DatasetRef) -> dict[int, float]:
        """Return, for each IPC that a ratio asks for on a known data set, that ratio; empty where `ipc` is given."""
        info = REGISTRY.get(dataset.name)
        if info is None or self.ipc:
            return {}
        size = info.train_images / len(info.classes)
        found: dict[int, float] = {}
        for ratio in self.ratio:
            found.setdefault(max(1, round(ratio * size)), ratio)
        return found

    def images_per_class(self, dataset: DatasetRef) -> tuple[int, ...]:
        """Return the IPCs of the grid on a data set, ratios turned into whole images a class (at least one).

        Raises:
            SpaceError: the data set has too few images, or its size is unknown and a ratio needs it.
        """
        info = REGISTRY.get(dataset.name)
        if not self.ratio and info is None:
            return self.ipc
        if info is None:
            raise SpaceError(
                f"{self.where}: ratio needs the number of training images and classes, which is not known of "
                f"{dataset.name!r} before it is read; give ipc"
            )
        classes, images = len(info.classes), info.train_images
        chosen = self.ipc or tuple(self.ratios(dataset))
        for ipc in chosen:
            if ipc * classes > images:
                raise SpaceError(
                    f"{self.where}: {ipc} images a class are more than {dataset.name} has ({images:,} in all)"
                    f"{self.set_by('ipc', 'ratio')}"
                )
        return chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """A search space: a list of experiments."""

    name: str
    description: str
    experiments: tuple[Experiment, ...]


def list_spaces() -> list[tuple[str, str]]:
    """Return name and description of the shipped search spaces."""
    return [(name, _entry(read_document(path)).description) for name, path in _shipped().items()]


@dataclass(frozen=True, slots=True)
class _Changes:
    """How a space is read: what the command line sets, and whether in its small version."""

    overrides: Overrides
    smoke: bool


def load_space(space: str | Path, overrides: Iterable[str] = (), *, smoke: bool = False) -> Space:
    """Read a search space.

    Args:
        space: a shipped name (see `list_spaces`) or the path of a YAML file.
        overrides: `path=value` each, as `--set` takes them; they win over everything.
        smoke: take the small version.

    Raises:
        SpaceError: something is wrong in the file or in an override; one message says what and where.
    """
    changes = _Changes(parse_overrides(overrides), smoke)
    document = read_document(_find(str(space)))
    loaded = _load(document, changes, ())
    if not loaded.experiments:
        raise SpaceError(f"{document.name}: there are no experiments")
    if changes.overrides.axes.steps and not any(e.measure == "continual" for e in loaded.experiments):
        raise SpaceError(f"--set steps: no experiment of {loaded.name} has measure continual, which alone has steps")
    _check_places(loaded)
    return loaded


def _find(space: str) -> Path:
    shipped = _shipped()
    if space in shipped:
        return shipped[space]
    if space.endswith((".yaml", ".yml")) or os.path.exists(space):  # noqa: PTH110 (of any text, without an error)
        return Path(space)
    raise SpaceError(
        f"there is no search space {space[:200]!r}{nearest(space, shipped)} (or give the path of a YAML file)"
    )


def _shipped() -> dict[str, Path]:
    files = (path for path in sorted(FOLDER.rglob("*.yaml")) if path not in (PUBLISHED, SMOKE))
    return {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in files}


def _entry(document: Document) -> SpaceEntry:
    if not isinstance(document.value, Mapping):
        raise SpaceError(f"{document.name}: expected a mapping with name and experiments, got {brief(document.value)}")
    try:
        return validate(SpaceEntry, document.value)
    except Misfit as misfit:
        raise document.error(misfit) from misfit


def _load(document: Document, changes: _Changes, above: tuple[str, ...]) -> Space:
    entry = _entry(document)
    try:
        included = [
            e for i, name in enumerate(entry.include) for e in _include(name, i, changes, (*above, document.name))
        ]
        own = _experiments(document, entry, changes)
    except Misfit as misfit:
        raise document.error(misfit) from misfit
    return Space(name=entry.name, description=entry.description, experiments=(*included, *own))


def _include(name: str, index: int, changes: _Changes, above: tuple[str, ...]) -> list[Experiment]:
    shipped = _shipped()
    if name not in shipped:
        raise Misfit(f"there is no search space {name[:80]!r}{nearest(name, shipped)}", ("include", index))
    if str(shipped[name]) in above:
        raise Misfit(f"{name} includes itself", ("include", index))
    space = _load(read_document(shipped[name]), changes, above)
    return [_renamed(experiment, f"{name}/{experiment.name}") for experiment in space.experiments]


def _renamed(experiment: Experiment, name: str) -> Experiment:
    return dataclasses.replace(experiment, name=name)


def _experiments(document: Document, entry: SpaceEntry, changes: _Changes) -> list[Experiment]:
    own = changes.overrides
    if entry.settings.steps and not any(item.measure == "continual" for item in entry.experiments):
        raise Misfit(f"no experiment has measure continual; {STEPS}", ("settings", "steps"))
    shared = (
        *published_rules(),
        _always(entry.settings, ("settings",), f"settings of {entry.name}"),
        *_rules(entry.rules, ("rules",), entry, own),
    )
    experiments: list[Experiment] = []
    for i, item in enumerate(entry.experiments):
        path = ("experiments", i)
        if item.name in [experiment.name for experiment in experiments]:
            raise Misfit(f"there are two experiments {item.name!r}", (*path, "name"))
        rules = (
            *shared,
            _always(item, path, f"settings of experiment {item.name}"),
            *_rules(item.rules, (*path, "rules"), entry, own),
        )
        small = (
            _always(item.smoke, (*path, "smoke"), f"small version of {item.name}"),
            *_rules(item.smoke.rules, (*path, "smoke", "rules"), entry, own),
        )
        layers: tuple[Axes, ...] = (own.axes, item, entry.settings)
        sweep = _sweep(item.sweep, own.settings, (*path, "sweep"))
        small_sweep = _sweep(item.smoke.sweep, own.settings, (*path, "smoke", "sweep"))
        if changes.smoke:
            defaults, general = smoke_defaults()
            rules = (*rules, *general, *small)
            layers = (own.axes, item.smoke, defaults, item, entry.settings)
            sweep = small_sweep if item.smoke.sweep else sweep
        where = f"{document.name}:{document.line(path)}: experiment {item.name}"
        experiment = _experiment(item, _merge_axes(*layers), sweep, rules, own, where, path)
        rungs = (changes.smoke and item.smoke.rungs) or item.rungs
        searched = _search(item.search, experiment, path)
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
            raise Misfit(f"give {axis}, here or under settings", path)
    if not axes["ipc"] and not axes["ratio"] and set(axes["methods"]) != {WHOLE}:
        raise Misfit("give ipc (images a class) or ratio, here or under settings", path)
    if item.measure != "continual" and (item.steps or item.smoke.steps):
        where_given = (*path, "steps") if item.steps else (*path, "smoke", "steps")
        raise Misfit(f"measure is {item.measure}; {STEPS}", where_given)
    if item.measure == "continual" and not axes["steps"]:
        raise Misfit("measure continual needs steps, the number of steps in which classes arrive", path)
    if item.measure != "accuracy" and WHOLE in axes["methods"]:
        given = "; it was given by --set methods" if overrides.axes.methods else ""
        raise Misfit(
            f"method {WHOLE} has no set of its own, which measure {item.measure} needs{given}", (*path, "methods")
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
        overridden_axes=frozenset(name for name in Axes.model_fields if getattr(overrides.axes, name)),
    )
    for dataset in experiment.datasets:
        experiment.images_per_class(dataset)
    return experiment


def _merge_axes(*layers: Axes) -> dict[str, Any]:
    """Take every axis from the first layer that has it; `ipc` and `ratio` are one axis with two spellings."""
    merged: dict[str, Any] = {}
    for axis in Axes.model_fields:
        merged[axis] = next((value for layer in layers if (value := getattr(layer, axis))), ())
    for layer in layers:
        if layer.ipc or layer.ratio:
            return merged | {"ipc": layer.ipc, "ratio": layer.ratio}
    return merged


def _sweep(
    sweep: Mapping[str, Any], fixed: Mapping[str, Any], path: YamlPath
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Check the swept values; a setting that the command line fixes is not swept."""
    swept: dict[str, tuple[Any, ...]] = {}
    for name, values in sweep.items():
        place = (*path, name)
        if name in Axes.model_fields:
            raise Misfit(f"{name} is an axis of its own; give it beside sweep", place)
        try:
            leaf = find_leaf(name)
        except Misfit as misfit:
            raise Misfit(misfit.message, place) from misfit
        if not isinstance(values, list) or not values:
            raise Misfit(f"expected a list of values, got {brief(values)}", place)
        if leaf.path in swept:
            raise Misfit(f"{leaf.path} is swept twice", place)
        checked: list[Any] = []
        for i, value in enumerate(values):
            try:
                checked.append(leaf.check(value))
            except Misfit as misfit:
                raise Misfit(misfit.message, (*place, i)) from misfit
            if checked[-1] in checked[:-1]:
                raise Misfit(f"{brief(value)} is listed twice", (*place, i))
        swept[leaf.path] = tuple(checked)
    return tuple((name, values) for name, values in swept.items() if name not in fixed)


def _search(search: Mapping[str, Range], experiment: Experiment, path: YamlPath) -> tuple[tuple[str, Range], ...]:
    """Check what is searched; a setting that the command line fixes is not."""
    found: dict[str, Range] = {}
    for name, values in search.items():
        place = (*path, "search", name)
        try:
            leaf = find_leaf(name)
            if not leaf.path.startswith("distillation.") or not leaf.takes_fractions:
                raise Misfit(f"{leaf.path} cannot be searched; it has to be a number with fractions of distillation")
            for value in (values.low, values.high, *[0.0] * values.zero):
                leaf.check(value)
        except Misfit as misfit:
            raise Misfit(misfit.message, place) from misfit
        if leaf.path in found:
            raise Misfit(f"{leaf.path} is searched twice", place)
        found[leaf.path] = values
    if found and experiment.sweep:
        raise Misfit("an experiment has either search or sweep", (*path, "search"))
    if found and experiment.protocol != "strict":
        raise Misfit("search needs protocol strict, which holds images out to choose by", (*path, "search"))
    if found and experiment.measure != "accuracy":
        raise Misfit("search needs measure accuracy", (*path, "search"))
    for method in experiment.methods if found else ():
        if method.partition("+")[0] not in BASES:
            raise Misfit(f"method {method} distils nothing, so there is nothing to search", (*path, "methods"))
    return tuple((name, values) for name, values in found.items() if name not in experiment.overrides)


def _always(settings: Settings, path: YamlPath, source: str) -> Rule:
    """Turn a block of settings into a rule without conditions."""
    sections = {name: getattr(settings, name) for name in SECTIONS if name in Settings.model_fields}
    return Rule(set=_flatten({name: values for name, values in sections.items() if values}, path), source=source)


def _rules(entries: list[RuleEntry], path: YamlPath, space: SpaceEntry, changes: Overrides) -> list[Rule]:
    layers = (changes.axes, space.settings, *space.experiments)
    known = dict.fromkeys([*REGISTRY, *(ref.name for layer in layers for ref in layer.refs())])
    for i, entry in enumerate(entries):
        for name in entry.when.dataset:
            if name not in known:
                raise Misfit(f"unknown data set {name[:80]!r}{nearest(name, known)}", (*path, i, "when", "dataset"))
    return [entry.rule(_flatten(entry.set, (*path, i, "set"))) for i, entry in enumerate(entries)]


def _flatten(values: Mapping[str, Any], path: YamlPath) -> dict[str, Any]:
    try:
        return flatten(values)
    except Misfit as misfit:
        raise Misfit(misfit.message, (*path, *misfit.path)) from misfit


@functools.cache
def published_rules() -> tuple[Rule, ...]:
    """Return the rules of `published_settings.yaml`."""
    document = read_document(PUBLISHED)
    try:
        entries = validate(RuleList, document.value).rules
        return tuple(_rules(entries, ("rules",), SpaceEntry(name="published"), Overrides()))
    except Misfit as misfit:
        raise document.error(misfit) from misfit


@functools.cache
def smoke_defaults() -> tuple[Axes, tuple[Rule, ...]]:
    """Return what `smoke_settings.yaml` says of axes and of settings."""
    document = read_document(SMOKE)
    try:
        entry = validate(SmokeDefaults, document.value)
        always = _always(entry.settings, ("settings",), "small version")
        return entry.settings, (always, *_rules(entry.rules, ("rules",), SpaceEntry(name="smoke"), Overrides()))
    except Misfit as misfit:
        raise document.error(misfit) from misfit


def _check_places(space: Space) -> None:
    """A data set's name and version stand for one place and one size: units are named by them."""
    seen: dict[tuple[str, int], DatasetRef] = {}
    for experiment in space.experiments:
        for ref in experiment.datasets:
            other = seen.setdefault((ref.name, ref.version), ref)
            if other != ref:
                names = [f.name for f in dataclasses.fields(ref) if getattr(ref, f.name) != getattr(other, f.name)]
                raise SpaceError(
                    f"{experiment.where}: {ref.name!r} stands for two data sets: other {' and '.join(names)}; "
                    "write it the same way everywhere, or give one another name or version"
                )
