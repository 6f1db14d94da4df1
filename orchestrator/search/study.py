"""A study: a search for one data set, IPC and method, and the units of a choice of settings.

`build_studies` makes the studies of a search space.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from distill_core.settings import DatasetRef
from orchestrator.planning.plan import Cell, Plan, make_plan
from orchestrator.search.dimensions import Dimension
from orchestrator.search.rungs import choose_rung_iterations
from orchestrator.store.storage.names import hash_trial_key
from orchestrator.units import KEY_LENGTH, Distill, Evaluate, Unit, canonicalize
from search_spaces.errors import SpaceError
from search_spaces.experiments import Experiment, Space
from search_spaces.resolve import ResolvedSettings, resolve
from search_spaces.rules import Case
from search_spaces.setting_paths import OPTIONS

Sampler = Literal["tpe", "random", "grid"]
Scheduler = Literal["asha", "none"]
Parameters = Mapping[str, float]
"""Searched settings by path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RungUnits:
    """The work of one seed at one rung."""

    distill: Distill
    evaluations: tuple[Evaluate, ...]
    """One per network, all on held-out images."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A search for one data set, IPC and method."""

    experiment: Experiment
    """Narrowed to that data set, IPC and method."""
    dimensions: tuple[Dimension, ...]
    sampler: Sampler
    scheduler: Scheduler

    @property
    def dataset(self) -> DatasetRef:
        """The data set."""
        return self.experiment.datasets[0]

    @property
    def method(self) -> str:
        """The method."""
        return self.experiment.methods[0]

    @property
    def ipc(self) -> int:
        """Images per class."""
        return self.experiment.ipc[0]

    @property
    def title(self) -> str:
        """Name for people."""
        return format_title(self.experiment)

    @cached_property
    def iterations(self) -> tuple[int, ...]:
        """Iterations of each rung; without a scheduler there is one, at full length."""
        full = self.resolve_settings({}).distillation.iterations
        if self.scheduler == "none":
            return (full,)
        return choose_rung_iterations(full, self.experiment.rungs)

    @cached_property
    def published(self) -> Parameters:
        """The searched settings as published, or as the search space gives them."""
        settings = self.resolve_settings({})
        return {d.path: float(_read_setting(settings, d.path)) for d in self.dimensions}

    @cached_property
    def key(self) -> str:
        """Name of the study: 16 hex digits.

        It is a hash of everything that decides what the trials are, except their number.
        """
        fixed = self.resolve_settings({d.path: d.range.low for d in self.dimensions})
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
        """Return the name of a trial's file in table `trials`."""
        return hash_trial_key(self.key, number)

    def resolve_settings(self, parameters: Parameters) -> ResolvedSettings:
        """Return all settings of a choice; those that are not searched are the search space's."""
        case = Case(
            dataset=self.dataset.name,
            method=self.method,
            ipc=self.ipc,
            protocol=self.experiment.protocol,
        )
        return resolve(self.experiment, case, parameters)

    def build_rung_units(self, parameters: Parameters, rung: int) -> dict[int, RungUnits]:
        """Return the units of a choice at a rung, by seed.

        They are those of the full length, with fewer iterations and cheaper evaluations.
        """
        found = {}
        for seed, units in self.build_full_units(parameters).items():
            settings = dataclasses.replace(units.distill.settings, iterations=self.iterations[rung])
            distill = dataclasses.replace(units.distill, settings=settings)
            evaluations = [self._reduce(unit, distill.key) for unit in units.evaluations]
            found[seed] = RungUnits(distill=distill, evaluations=tuple(evaluations))
        return found

    def build_full_units(self, parameters: Parameters) -> dict[int, RungUnits]:
        """Return the units of a choice at full length, by seed.

        The evaluations are in full too, on held-out images.

        Raises:
            SpaceError: the method distills nothing.
        """
        plan = self._plan(parameters)
        found: dict[int, RungUnits] = {}
        for cell in plan.cells:
            distill, evaluate = plan.units[str(cell.set_key)], plan.units[cell.evaluation_key]
            if not isinstance(distill, Distill) or not isinstance(evaluate, Evaluate):
                raise SpaceError(f"{self.experiment.where}: {self.title} has nothing to search")
            others = found[cell.seed].evaluations if cell.seed in found else ()
            # A plan tests on the test images, which a search must never see.
            held_out = dataclasses.replace(evaluate, split="validation")
            found[cell.seed] = RungUnits(distill=distill, evaluations=(*others, held_out))
        return found

    def extractors(self) -> dict[str, Unit]:
        """Return the units that make the extractors which any trial may need, by key."""
        # A weight of 0 needs no extractors, and the published one may be 0.
        highest = {d.path: d.range.high for d in self.dimensions}
        found = {}
        for choice in (self.published, highest):
            for key, unit in self._plan(choice).units.items():
                if unit.kind.endswith("_extractors"):
                    found[key] = unit
        return found

    def build_plan(self, units: Mapping[str, Unit], wanted: Sequence[str]) -> Plan:
        """Return a plan that computes some of the units, and what these need.

        Args:
            units: the units by key.
            wanted: keys of those to compute.
        """
        shared: dict[str, Any] = {
            "protocol": self.experiment.protocol,
            "method": self.method,
            "ipc": self.ipc,
        }
        cells = []
        for key in wanted:
            cell = Cell(
                experiment=self.experiment.name,
                dataset=self.dataset.name,
                seed=getattr(units[key], "seed", 0),
                network="",
                set_key=None,
                evaluation_key=key,
                **shared,
            )
            cells.append(cell)
        return Plan(units=dict(units), cells=tuple(cells))

    def _reduce(self, unit: Evaluate, set_key: str) -> Evaluate:
        """Return the evaluation of a rung's set, with at most the networks and epochs of a rung."""
        rungs, full = self.experiment.rungs, unit.settings
        settings = dataclasses.replace(
            full,
            num_eval=min(rungs.num_eval, full.num_eval),
            epoch_eval_train=min(rungs.epoch_eval_train, full.epoch_eval_train),
        )
        return dataclasses.replace(unit, settings=settings, parents=(set_key,))

    def _plan(self, parameters: Parameters) -> Plan:
        sweep = tuple((path, (value,)) for path, value in parameters.items())
        chosen = dataclasses.replace(self.experiment, sweep=sweep)
        return make_plan(Space(name="study", description="", experiments=(chosen,)))


def format_settings(parameters: Parameters) -> str:
    """Write searched settings for people: "lambda_cc 0.05, lambda_cm 0"."""
    return ", ".join(f"{path.rpartition('.')[2]} {value:g}" for path, value in parameters.items())


def format_title(narrow: Experiment) -> str:
    """Name an experiment that has one data set, IPC and method."""
    return f"{narrow.datasets[0].name}, IPC {narrow.ipc[0]}, {narrow.methods[0]}"


def _read_setting(settings: ResolvedSettings, path: str) -> Any:
    if path.startswith(OPTIONS):
        option = path.removeprefix(OPTIONS)
        options = dict(settings.distillation.loss_options)
        if option not in options:
            raise SpaceError(
                f"search of loss_options.{option}: its usual value is not known; give it, as in"
                f" distillation: {{loss_options: {{{option}: 1.0}}}}"
            )
        return options[option]
    value: Any = settings
    for name in path.split("."):
        value = getattr(value, name)
    return value
