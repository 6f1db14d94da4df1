"""Plans of evaluations: sets that exist already, from files or in the store, and methods to compare
them with.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from distill_core.settings import DatasetRef, EvaluationSettings, Protocol, SettingsError
from orchestrator.planning.plan import Cell, Plan, make_plan, name_networks
from orchestrator.units import Evaluate, ImportSet, SetUnit, Unit
from search_spaces.experiments import Experiment, Space
from search_spaces.resolve import resolve
from search_spaces.rules import Case
from search_spaces.setting_sources import load_published_rules

EXPERIMENT = "evaluate"


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenSet:
    """A set to evaluate."""

    unit: SetUnit
    """What makes it."""
    method: str
    """The name it goes by."""
    ancestors: tuple[Unit, ...] = ()
    """What that unit reads, parents first."""
    lr_net: float | None = None
    """Learning rate of the evaluation in place of the protocol's."""
    note: str = ""
    """What a report has to say about it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRequest:
    """What to do with the sets."""

    dataset: DatasetRef
    protocol: Protocol
    architectures: tuple[str, ...]
    """Networks to train; `same` is the one that the published settings match with on this data
    set.
    """
    methods: tuple[str, ...] = ()
    """Methods to compare with, at the IPCs and seeds of the sets."""
    overrides: dict[str, object] = dataclasses.field(default_factory=dict)
    """Settings by path."""


class _PlannedEvaluation(NamedTuple):
    unit: Evaluate
    cell: Cell


def plan_evaluation(sets: Sequence[GivenSet], request: EvaluationRequest) -> Plan:
    """Plan to import what is not in the store, and to evaluate every set and the other methods.

    Raises:
        SettingsError: two different sets would have the same name, IPC and number.
        SpaceError: the methods to compare with cannot be planned.
    """
    experiment = _build_experiment(sets, request)
    space = Space(name=EXPERIMENT, description="", experiments=(experiment,))
    compared = make_plan(space) if request.methods else Plan(units={}, cells=())
    units, cells = dict(compared.units), list(compared.cells)
    for given in sets:
        for unit in (*given.ancestors, given.unit):
            units[unit.key] = unit
        for evaluation, cell in _plan_given_set(given, experiment):
            units.setdefault(evaluation.key, evaluation)
            cells.append(cell)
    distinct = tuple(dict.fromkeys(cells))  # the same set may be given twice
    _check_names(distinct)
    return Plan(units=units, cells=distinct)


def _build_experiment(sets: Sequence[GivenSet], request: EvaluationRequest) -> Experiment:
    return Experiment(
        name=EXPERIMENT,
        where="iid evaluate",
        measure="accuracy",
        datasets=(request.dataset,),
        methods=request.methods,
        ipc=tuple(dict.fromkeys(given.unit.ipc for given in sets)),
        ratio=(),
        seeds=tuple(dict.fromkeys(given.unit.seed for given in sets)),
        architectures=request.architectures,
        steps=(),
        protocol=request.protocol,
        sweep=(),
        rules=load_published_rules(),
        overrides=request.overrides,
    )


def _plan_given_set(given: GivenSet, experiment: Experiment) -> Iterator[_PlannedEvaluation]:
    """Yield the evaluation of a set on each network."""
    unit, protocol = given.unit, experiment.protocol
    (dataset,) = experiment.datasets
    # A name that a user gave says nothing about how to train networks, even if a rule is about a
    # method of that name.
    method = "imported" if isinstance(unit, ImportSet) else given.method
    case = Case(dataset=dataset.name, method=method, ipc=unit.ipc, protocol=protocol)
    settings = resolve(experiment, case, {})
    for network in name_networks(experiment, settings.distillation.network):
        evaluation = Evaluate(
            dataset=dataset,
            protocol=protocol,
            split="test",
            network=network,
            settings=_replace_rate(settings.evaluation, given.lr_net),
            seed=unit.seed,
            parents=(unit.key,),
        )
        cell = Cell(
            experiment=experiment.name,
            dataset=dataset.name,
            protocol=protocol,
            method=given.method,
            ipc=unit.ipc,
            seed=unit.seed,
            network=network,
            set_key=unit.key,
            evaluation_key=evaluation.key,
            note=given.note,
        )
        yield _PlannedEvaluation(evaluation, cell)


def _replace_rate(settings: EvaluationSettings, lr_net: float | None) -> EvaluationSettings:
    return settings if lr_net is None else dataclasses.replace(settings, lr_net=lr_net)


def _check_names(cells: Sequence[Cell]) -> None:
    """Check that a report can tell the sets apart."""
    evaluations: dict[tuple[object, ...], str] = {}
    for cell in cells:
        name = (cell.method, cell.ipc, cell.seed, cell.network)
        if evaluations.setdefault(name, cell.evaluation_key) != cell.evaluation_key:
            raise SettingsError(
                f"two different sets would be {cell.method}, IPC {cell.ipc}, number {cell.seed};"
                " give the imported ones another name with --name"
            )
