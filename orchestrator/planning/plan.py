"""The plan: a search space expanded into units of work and the cells of its grid.

Units form a graph, extractor pool → set → evaluation; equal work, in one experiment or in several,
is one unit. Cells say which units answer which question, and are what a report reads results by.
Planning reads no data and imports no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from distill_core.settings import DatasetRef, Protocol
from orchestrator.planning.unit_planner import GridPoint, UnitPlanner
from orchestrator.units import Unit
from search_spaces.claims import Claim
from search_spaces.errors import SpaceError
from search_spaces.experiments import Experiment, Space
from search_spaces.method_names import WHOLE
from search_spaces.resolve import resolve
from search_spaces.rules import Case
from search_spaces.schema import SAME, Measure

MAX_CELLS = 200_000

Sweep = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One question of a grid, and the units that answer it."""

    experiment: str
    measure: Measure = "accuracy"
    """What the evaluation unit measures."""
    dataset: str
    protocol: Protocol
    method: str
    """As the search space names it; see `note` where the unit is another method's."""
    ipc: int | None
    """Stored images per class; None for the whole training set."""
    ratio: float | None = None
    """Share of the training images that asked for this IPC; None where IPC itself was given."""
    seed: int
    network: str
    """The network that is trained and tested; for features, the one whose features they are."""
    steps: int | None = None
    """Steps of class-incremental learning; None elsewhere."""
    sweep: Sweep = ()
    """Swept settings by path, with this cell's values."""
    set_key: str | None
    """Unit that makes the set; None for the whole training set, and where each step has a set."""
    evaluation_key: str
    """Unit whose rows answer the question: evaluate, continual or embed."""
    note: str = ""
    """What a report has to say about the cell."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Units by key, parents before their children, and the cells they answer."""

    units: dict[str, Unit]
    cells: tuple[Cell, ...]
    claims: tuple[Claim, ...] = ()
    """What the search space claims, for reports to test."""

    def experiments_of(self) -> dict[str, set[str]]:
        """Return, for every unit, the names of the experiments that need it."""
        users: dict[str, set[str]] = {key: set() for key in self.units}
        for cell in self.cells:
            users[cell.evaluation_key].add(cell.experiment)
        for key, unit in reversed(self.units.items()):
            for parent in unit.parents:
                users[parent] |= users[key]
        return users


def make_plan(space: Space) -> Plan:
    """Expand a search space.

    Raises:
        SpaceError: the grid is too large, or settings contradict each other.
    """
    count = sum(_count_cells(experiment) for experiment in space.experiments)
    if count > MAX_CELLS:
        raise SpaceError(
            f"search space {space.name} has {count:,} cells; more than {MAX_CELLS:,} cannot be"
            " planned at once"
        )
    planner = UnitPlanner()
    cells: list[Cell] = []
    for experiment in space.experiments:
        cells.extend(_plan_experiment(planner, experiment))
    return Plan(units=planner.units, cells=tuple(cells), claims=space.claims)


def _count_cells(experiment: Experiment) -> int:
    """Return an upper bound of an experiment's cells."""
    axes: list[tuple[Any, ...]] = [
        experiment.datasets,
        experiment.methods,
        experiment.seeds,
        experiment.architectures,
        *(values for _, values in experiment.sweep),
    ]
    count = max(1, len(experiment.ipc), len(experiment.ratio)) * max(1, sum(experiment.steps))
    for axis in axes:
        count *= len(axis)
    return count


def _plan_experiment(planner: UnitPlanner, experiment: Experiment) -> Iterator[Cell]:
    names = [name for name, _ in experiment.sweep]
    combinations = list(product(*(values for _, values in experiment.sweep)))
    for dataset, values in product(experiment.datasets, combinations):
        sweep = tuple(zip(names, values, strict=True))
        sizes: tuple[int | None, ...] = experiment.list_images_per_class(dataset)
        for method in experiment.methods:
            for ipc in (None,) if method == WHOLE else sizes:
                yield from _plan_cells(planner, experiment, dataset, sweep, method, ipc)


def _plan_cells(
    planner: UnitPlanner,
    experiment: Experiment,
    dataset: DatasetRef,
    sweep: Sweep,
    method: str,
    ipc: int | None,
) -> Iterator[Cell]:
    """Plan one point of the grid with all its seeds and networks."""
    case = Case(dataset=dataset.name, method=method, ipc=ipc, protocol=experiment.protocol)
    settings = resolve(experiment, case, dict(sweep))
    point = GridPoint(experiment, dataset, method, ipc, settings)
    networks = name_networks(experiment, settings.distillation.network)
    ratio = None if ipc is None else experiment.find_ratios(dataset).get(ipc)
    for seed in experiment.seeds:
        for measurement in planner.plan_measurements(point, seed, networks):
            yield Cell(
                experiment=experiment.name,
                measure=experiment.measure,
                dataset=dataset.name,
                protocol=experiment.protocol,
                method=method,
                ipc=ipc,
                ratio=ratio,
                seed=seed,
                network=measurement.network,
                steps=measurement.steps,
                sweep=sweep,
                set_key=measurement.set_key,
                evaluation_key=planner.add(measurement.unit),
                note=measurement.note,
            )


def name_networks(experiment: Experiment, matching: str) -> tuple[str, ...]:
    """Return the networks that are trained and tested, each once; `same` is the matching one."""
    names = [matching if name == SAME else name for name in experiment.architectures]
    return tuple(dict.fromkeys(names))
