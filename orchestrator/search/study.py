"""A study: what is searched, for one data set, IPC and method, and the units that a choice of
settings stands for.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from distill_core.settings import DatasetRef
from orchestrator.planning.plan import Cell, Plan, make_plan
from orchestrator.search.dimensions import Dimension
from orchestrator.search.rungs import choose_rung_iterations
from orchestrator.units import KEY_LENGTH, Distill, Evaluate, Unit, canonicalize
from search_spaces.errors import SpaceError, nearest
from search_spaces.experiments import Experiment, Space
from search_spaces.resolve import ResolvedSettings, resolve
from search_spaces.rules import Case

Sampler = Literal["tpe", "random", "grid"]
Scheduler = Literal["asha", "none"]
Parameters = Mapping[str, float]
"""Searched settings by path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RungUnits:
    """The work of one seed at one rung."""

    distill: Distill
    evaluations: tuple[Evaluate, ...]
    """One a network; all on held-out images."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A search on one data set, at one IPC, for one method."""

    experiment: Experiment
    """Narrowed to that data set, IPC and method."""
    dimensions: tuple[Dimension, ...]
    sampler: Sampler
    scheduler: Scheduler

    @property
    def dataset(self) -> DatasetRef:
        """Its data set."""
        return self.experiment.datasets[0]

    @property
    def method(self) -> str:
        """Its method."""
        return self.experiment.methods[0]

    @property
    def ipc(self) -> int:
        """Its images a class."""
        return self.experiment.ipc[0]

    @property
    def title(self) -> str:
        """What people call it."""
        return _title(self.experiment)

    @cached_property
    def iterations(self) -> tuple[int, ...]:
        """Iterations of each rung; without a scheduler there is one, the whole length."""
        whole = self.resolved({}).distillation.iterations
        return (
            choose_rung_iterations(whole, self.experiment.rungs)
            if self.scheduler == "asha"
            else (whole,)
        )

    @cached_property
    def published(self) -> Parameters:
        """The searched settings as published, or as the search space gives them."""
        return {d.path: float(_at(self.resolved({}), d.path)) for d in self.dimensions}

    @cached_property
    def key(self) -> str:
        """Name of the study: 16 hex digits, a hash of all that decides which trials there are,
        except their number.
        """
        fixed = self.resolved({d.path: d.range.low for d in self.dimensions})
        identity = {
            "study": 1,
            "dataset": self.dataset,
            "method": self.method,
            "ipc": self.ipc,
            "seeds": self.experiment.seeds,
            "networks": self.experiment.architectures,
            "protocol": self.experiment.protocol,
            "fixed": fixed,
            "published": dict(self.published),
            "search": {d.path: d.range.model_dump(exclude={"optional"}) for d in self.dimensions},
            "rungs": self.experiment.rungs.model_dump(),
            "sampler": self.sampler,
            "scheduler": self.scheduler,
        }
        text = json.dumps(
            canonicalize(identity, "study"),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
        )
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]

    def hash_trial_key(self, number: int) -> str:
        """Return the name of a trial, which its file in table `trials` has."""
        return hashlib.sha256(f"{self.key} {number}".encode()).hexdigest()[:KEY_LENGTH]

    def resolved(self, parameters: Parameters) -> ResolvedSettings:
        """Return all settings of a choice; those not chosen are the search space's."""
        case = Case(
            dataset=self.dataset.name,
            method=self.method,
            ipc=self.ipc,
            protocol=self.experiment.protocol,
        )
        return resolve(self.experiment, case, parameters)

    def build_rung_units(self, parameters: Parameters, rung: int) -> dict[int, RungUnits]:
        """Return the units of a choice at a rung, by seed: a set of so many iterations, evaluated
        cheaply.
        """
        rungs, iterations = self.experiment.rungs, self.iterations[rung]
        found = {}
        for seed, units in self.build_full_units(parameters).items():
            settings = dataclasses.replace(units.distill.settings, iterations=iterations)
            distill = dataclasses.replace(units.distill, settings=settings)
            found[seed] = RungUnits(
                distill=distill,
                evaluations=tuple(
                    dataclasses.replace(
                        unit,
                        settings=dataclasses.replace(
                            unit.settings,
                            num_eval=min(rungs.num_eval, unit.settings.num_eval),
                            epoch_eval_train=min(
                                rungs.epoch_eval_train, unit.settings.epoch_eval_train
                            ),
                        ),
                        parents=(distill.key,),
                    )
                    for unit in units.evaluations
                ),
            )
        return found

    def build_full_units(self, parameters: Parameters) -> dict[int, RungUnits]:
        """Return the units of a choice at full length, by seed: finished sets, evaluated in full on
        held-out images.
        """
        plan = self._plan(parameters)
        found: dict[int, RungUnits] = {}
        for cell in plan.cells:
            distill, evaluate = plan.units[str(cell.set_key)], plan.units[cell.evaluation_key]
            if not isinstance(distill, Distill) or not isinstance(evaluate, Evaluate):
                raise SpaceError(f"{self.experiment.where}: {self.title} has nothing to search")
            before = found[cell.seed].evaluations if cell.seed in found else ()
            unseen = dataclasses.replace(evaluate, split="validation")
            found[cell.seed] = RungUnits(distill=distill, evaluations=(*before, unseen))
        return found

    def extractors(self) -> dict[str, Unit]:
        """Return the units that make the extractors which any trial may need, by key."""
        highest = {d.path: d.range.high for d in self.dimensions}
        plans = (self._plan(choice) for choice in (self.published, highest))
        return {
            key: unit
            for plan in plans
            for key, unit in plan.units.items()
            if unit.kind.endswith("_extractors")
        }

    def build_plan(self, units: Mapping[str, Unit], wanted: Sequence[str]) -> Plan:
        """Return a plan that computes some of the units, and what these need."""
        shared: dict[str, Any] = {
            "protocol": self.experiment.protocol,
            "method": self.method,
            "ipc": self.ipc,
        }
        cells = tuple(
            Cell(
                experiment=self.experiment.name,
                dataset=self.dataset.name,
                seed=getattr(units[key], "seed", 0),
                network="",
                set_key=None,
                evaluation_key=key,
                **shared,
            )
            for key in wanted
        )
        return Plan(units=dict(units), cells=cells)

    def _plan(self, parameters: Parameters) -> Plan:
        sweep = tuple((path, (value,)) for path, value in parameters.items())
        chosen = dataclasses.replace(self.experiment, sweep=sweep)
        return make_plan(Space(name="study", description="", experiments=(chosen,)))


def build_studies(
    space: Space, *, sampler: Sampler, scheduler: Scheduler, also: Sequence[str] = ()
) -> list[Study]:
    """Return the studies of a search space: one for each data set, IPC and method of its
    experiments with `search`.

    Args:
        space: the search space.
        sampler: what suggests settings.
        scheduler: whether trials are stopped early.
        also: optional settings that are searched too, by path or last name.

    Raises:
        SpaceError: there is nothing to search, or `also` names a setting that is not optional
            there.
    """
    experiments = [experiment for experiment in space.experiments if experiment.search]
    if not experiments:
        raise SpaceError(
            f"search space {space.name} has no experiment with a block search; see docs/search.md"
        )
    found = [
        Study(experiment=narrow, dimensions=dimensions, sampler=sampler, scheduler=scheduler)
        for experiment in experiments
        for narrow in _narrowed(experiment)
        if (dimensions := _dimensions(narrow, also))
    ]
    if not found:
        raise SpaceError(
            f"search space {space.name}: nothing is left to search; its settings are fixed, or no"
            " method uses them (with one training image a class, IPC 1 without partition, both"
            " losses of IID have no gradient)"
        )
    return found


def find_unsearched(space: Space, also: Sequence[str] = ()) -> list[str]:
    """Return in words what has a block `search` and yet no study, as its method and IPC use nothing
    of it.
    """
    experiments = [
        narrow
        for experiment in space.experiments
        if experiment.search
        for narrow in _narrowed(experiment)
    ]
    return [_title(narrow) for narrow in experiments if not _dimensions(narrow, also)]


def format_settings(parameters: Parameters) -> str:
    """Write searched settings for people: "lambda_cc 0.05, lambda_cm 0"."""
    return ", ".join(f"{path.rpartition('.')[2]} {value:g}" for path, value in parameters.items())


def _title(narrow: Experiment) -> str:
    """Name an experiment that has one data set, IPC and method."""
    return f"{narrow.datasets[0].name}, IPC {narrow.ipc[0]}, {narrow.methods[0]}"


def _narrowed(experiment: Experiment) -> Iterator[Experiment]:
    for dataset in experiment.datasets:
        for ipc in experiment.images_per_class(dataset):
            for method in experiment.methods:
                yield dataclasses.replace(
                    experiment, datasets=(dataset,), methods=(method,), ipc=(ipc,), ratio=()
                )


def _dimensions(experiment: Experiment, also: Sequence[str]) -> tuple[Dimension, ...]:
    optional = [path for path, values in experiment.search if values.optional]
    names = {name: path for path in optional for name in (path, path.rpartition(".")[2])}
    for name in also:
        if name not in names:
            raise SpaceError(
                f"--also {name[:80]}: {experiment.name} has no such optional"
                f" setting{nearest(name, names)}"
            )
    asked = {names[name] for name in also}
    alone = _training_images(experiment) == 1
    return tuple(
        Dimension(path, values)
        for path, values in experiment.search
        if (not values.optional or path in asked) and _matters(path, experiment.methods[0], alone)
    )


def _training_images(experiment: Experiment) -> int:
    """Return the images a class that a set decodes to."""
    (dataset,), (method,), (ipc,) = experiment.datasets, experiment.methods, experiment.ipc
    case = Case(dataset=dataset.name, method=method, ipc=ipc, protocol=experiment.protocol)
    return int(ipc * resolve(experiment, case, {}).distillation.partition ** 2)


def _matters(path: str, method: str, alone: bool) -> bool:
    """Tell whether a method reads a setting; a single image is its own mean and has no covariance,
    so that both losses of IID have no gradient."""
    base, _, addition = method.partition("+")
    match path.split("."):
        case [_, "queue", _]:
            return base == "IDM"
        case [_, "lambda_cc" | "cc_beta"]:
            return addition in ("IID", "CC") and not alone
        case [_, "lambda_cm"]:
            return addition in ("IID", "CM") and not alone
        case _:
            return True


def _at(settings: ResolvedSettings, path: str) -> Any:
    value: Any = settings
    for name in path.split("."):
        value = getattr(value, name)
    return value
