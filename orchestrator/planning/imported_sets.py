"""Plans of evaluations: sets that exist already, made elsewhere or in the store, beside methods of
ours.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distill_core.settings import DatasetRef, EvaluationSettings, Protocol, SettingsError
from orchestrator.planning.plan import Cell, Plan, make_plan
from orchestrator.units import Evaluate, ImportSet, SetUnit, Unit
from search_spaces.experiments import Experiment, Space
from search_spaces.resolve import resolve
from search_spaces.rules import Case
from search_spaces.schema import SAME
from search_spaces.setting_sources import published_rules

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
    """What is asked of the sets."""

    dataset: DatasetRef
    protocol: Protocol
    architectures: tuple[str, ...]
    """Networks to train; `same` is the one that the published settings match with on this data
    set.
    """
    beside: tuple[str, ...] = ()
    """Methods to compare with, at the sets' IPCs and seeds."""
    overrides: dict[str, object] = dataclasses.field(default_factory=dict)
    """Settings by path."""


def plan_evaluation(sets: Sequence[GivenSet], question: EvaluationRequest) -> Plan:
    """Plan to import what is not in the store, to evaluate every set, and to do the same with other
    methods.

    Raises:
        SettingsError: two different sets would go by one name, IPC and number.
        SpaceError: the methods beside cannot be planned.
    """
    experiment = _experiment(sets, question)
    space = Space(name=EXPERIMENT, description="", experiments=(experiment,))
    beside = make_plan(space) if question.beside else Plan(units={}, cells=())
    units, cells = dict(beside.units), list(beside.cells)
    for given in sets:
        units |= {unit.key: unit for unit in (*given.ancestors, given.unit)}
        for evaluation, cell in _cells(given, experiment):
            units.setdefault(evaluation.key, evaluation)
            cells.append(cell)
    distinct = tuple(dict.fromkeys(cells))
    _require_names(distinct)
    return Plan(units=units, cells=distinct)


def _experiment(sets: Sequence[GivenSet], question: EvaluationRequest) -> Experiment:
    return Experiment(
        name=EXPERIMENT,
        where="iid evaluate",
        measure="accuracy",
        datasets=(question.dataset,),
        methods=question.beside,
        ipc=tuple(dict.fromkeys(given.unit.ipc for given in sets)),
        ratio=(),
        seeds=tuple(dict.fromkeys(given.unit.seed for given in sets)),
        architectures=question.architectures,
        steps=(),
        protocol=question.protocol,
        sweep=(),
        rules=published_rules(),
        overrides=question.overrides,
    )


def _cells(given: GivenSet, experiment: Experiment) -> Iterator[tuple[Evaluate, Cell]]:
    unit, protocol = given.unit, experiment.protocol
    (dataset,) = experiment.datasets
    # A name that a user gave says nothing of how networks are trained, even if a rule is about a
    # method of that name.
    method = "imported" if isinstance(unit, ImportSet) else given.method
    settings = resolve(
        experiment, Case(dataset=dataset.name, method=method, ipc=unit.ipc, protocol=protocol), {}
    )
    networks = dict.fromkeys(
        settings.distillation.network if n == SAME else n for n in experiment.architectures
    )
    for network in networks:
        evaluation = Evaluate(
            dataset=dataset,
            protocol=protocol,
            split="test",
            network=network,
            settings=_with_rate(settings.evaluation, given.lr_net),
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
        yield evaluation, cell


def _with_rate(settings: EvaluationSettings, lr_net: float | None) -> EvaluationSettings:
    return settings if lr_net is None else dataclasses.replace(settings, lr_net=lr_net)


def _require_names(cells: Sequence[Cell]) -> None:
    seen: dict[tuple[object, ...], str] = {}
    for cell in cells:
        place = (cell.method, cell.ipc, cell.seed, cell.network)
        if seen.setdefault(place, cell.evaluation_key) != cell.evaluation_key:
            raise SettingsError(
                f"two different sets would be {cell.method}, IPC {cell.ipc}, number {cell.seed}; "
                "give the imported ones another name with --name"
            )
