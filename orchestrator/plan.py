"""The plan: a search space expanded into units of work and the cells of its grid.

Units form a graph, extractor pool → set → evaluation; equal work, in one experiment or in several, is one unit. Cells
say which units answer which question, and are what a report looks up. Planning reads no data and imports no torch.

Herding and K-Center choose by the features of one network trained on the real data, another one for each seed: it has
the architecture of the experiment's matching network and the training settings of its extractors.
"""

import dataclasses
import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from distill_core.settings import DatasetRef, ExtractorSettings, Protocol
from orchestrator.methods import CORESETS, specialise
from orchestrator.units import KINDS, Distill, Evaluate, ImportExtractor, Select, TrainExtractor, Unit
from search_spaces.errors import SpaceError
from search_spaces.leaves import ExtractorPool
from search_spaces.methods import WHOLE
from search_spaces.resolution import ResolvedSettings, resolve
from search_spaces.rules import Case
from search_spaces.schema import SAME
from search_spaces.space import Experiment, Space

MAX_CELLS = 200_000

Sweep = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One question of a grid, and the units that answer it."""

    experiment: str
    dataset: str
    protocol: Protocol
    method: str
    """As the search space names it; see `note` where the unit is another method's."""
    ipc: int | None
    """Stored images a class; None for the whole training set."""
    seed: int
    network: str
    """The network that is trained and tested."""
    sweep: Sweep = ()
    """Swept settings by path, with this cell's values."""
    set_key: str | None
    """Unit that makes the set; None for the whole training set."""
    evaluation_key: str
    note: str = ""
    """What a report has to say about the cell."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Units by key, parents before their children, and the cells they answer."""

    units: dict[str, Unit]
    cells: tuple[Cell, ...]

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
    cells = sum(_count(experiment) for experiment in space.experiments)
    if cells > MAX_CELLS:
        raise SpaceError(
            f"search space {space.name} has {cells:,} cells; more than {MAX_CELLS:,} cannot be planned at once"
        )
    planner = _Planner()
    return Plan(units=planner.units, cells=tuple(cell for e in space.experiments for cell in planner.experiment(e)))


def pending(plan: Plan, done: frozenset[str] | set[str]) -> list[str]:
    """Return the units that have to run, parents first.

    A unit is needed if it is not done and a cell names it or a unit that has to run reads it: extractors whose sets are
    all done are left alone.
    """
    needed = {cell.evaluation_key for cell in plan.cells} | {cell.set_key for cell in plan.cells if cell.set_key}
    for key, unit in reversed(plan.units.items()):
        if key in needed and key not in done:
            needed.update(unit.parents)
    return [key for key in plan.units if key in needed and key not in done]


class Schedule:
    """A plan while it is carried out: hands out the units that still have to run, each once.

    A unit is ready when its parents are done. Of the ready ones the kind with more work behind it goes first
    (extractors, then sets, then evaluations), so that evaluations never hold back the sets that others wait for. Within
    a kind the longest goes first, so that none is left for the end, and of equals the plan's order decides. Every step
    costs a few heap operations, whatever the size of the plan.

    Args:
        plan: what to do.
        done: keys of units that need not run; those that nobody needs any more are left out too.
        seconds: how long units are expected to take; none are known if left out.
    """

    def __init__(self, plan: Plan, done: Iterable[str] = (), seconds: Mapping[str, float] | None = None) -> None:
        done = frozenset(done)
        order = pending(plan, done)
        self.units = {key: plan.units[key] for key in order}
        self.running: set[str] = set()
        self.succeeded: set[str] = set()
        self.failed: set[str] = set()
        self.blocked: set[str] = set()
        """Units that cannot run because a unit they depend on failed."""
        self._children: dict[str, list[str]] = {key: [] for key in order}
        self._missing = dict.fromkeys(order, 0)
        kinds = {kind: rank for rank, kind in enumerate(KINDS)}
        seconds = seconds or {}
        self._rank = {
            key: (kinds[unit.kind], -seconds.get(key, 0.0), place)
            for place, (key, unit) in enumerate(self.units.items())
        }
        for key, unit in self.units.items():
            for parent in unit.parents:
                if parent in self.units:
                    self._children[parent].append(key)
                    self._missing[key] += 1
        self._ready = [(self._rank[key], key) for key in order if not self._missing[key]]
        heapq.heapify(self._ready)

    def next(self) -> Unit | None:
        """Hand out the next unit; None while nothing is ready (see `exhausted`)."""
        if not self._ready:
            return None
        key = heapq.heappop(self._ready)[1]
        self.running.add(key)
        return self.units[key]

    def settle(self, key: str, ok: bool) -> None:
        """Take note that a unit that was handed out is done, or failed for good."""
        self.running.remove(key)
        if not ok:
            self.failed.add(key)
            self._block(key)
            return
        self.succeeded.add(key)
        for child in self._children[key]:
            self._missing[child] -= 1
            if not self._missing[child] and child not in self.blocked:
                heapq.heappush(self._ready, (self._rank[child], child))

    def exhausted(self) -> bool:
        """Tell whether everything is handed out, or blocked, and settled."""
        return not self._ready and not self.running

    def _block(self, key: str) -> None:
        reached = [key]
        while reached:
            for child in self._children[reached.pop()]:
                if child not in self.blocked:
                    self.blocked.add(child)
                    reached.append(child)


def _count(experiment: Experiment) -> int:
    axes = [experiment.datasets, experiment.methods, experiment.seeds, experiment.architectures]
    count = max(1, len(experiment.ipc), len(experiment.ratio))
    for values in (*axes, *(values for _, values in experiment.sweep)):
        count *= len(values)
    return count


class _Planner:
    """Collects units; the memory of what it has planned makes equal work one unit."""

    def __init__(self) -> None:
        self.units: dict[str, Unit] = {}
        self.pools: dict[Any, tuple[str, ...]] = {}

    def add(self, unit: Unit) -> str:
        key = unit.key
        self.units.setdefault(key, unit)
        return key

    def experiment(self, experiment: Experiment) -> Iterator[Cell]:
        names = [name for name, _ in experiment.sweep]
        for dataset, values in product(experiment.datasets, product(*(values for _, values in experiment.sweep))):
            sweep = tuple(zip(names, values, strict=True))
            for method in experiment.methods:
                for ipc in (None,) if method == WHOLE else experiment.images_per_class(dataset):
                    yield from self.cells(experiment, dataset, sweep, method, ipc)

    def cells(
        self, experiment: Experiment, dataset: DatasetRef, sweep: Sweep, method: str, ipc: int | None
    ) -> Iterator[Cell]:
        case = Case(dataset=dataset.name, method=method, ipc=ipc, protocol=experiment.protocol)
        settings = resolve(experiment, case, dict(sweep))
        matching = settings.distillation.network
        networks = dict.fromkeys(matching if name == SAME else name for name in experiment.architectures)
        for seed in experiment.seeds:
            set_key, note = self.set(experiment, dataset, method, ipc, seed, settings)
            for network in networks:
                evaluation = Evaluate(
                    dataset=dataset,
                    protocol=experiment.protocol,
                    split="test",
                    network=network,
                    settings=settings.evaluation,
                    seed=seed,
                    parents=() if set_key is None else (set_key,),
                )
                yield Cell(
                    experiment=experiment.name,
                    dataset=dataset.name,
                    protocol=experiment.protocol,
                    method=method,
                    ipc=ipc,
                    seed=seed,
                    network=network,
                    sweep=sweep,
                    set_key=set_key,
                    evaluation_key=self.add(evaluation),
                    note=note,
                )

    def set(
        self,
        experiment: Experiment,
        dataset: DatasetRef,
        method: str,
        ipc: int | None,
        seed: int,
        settings: ResolvedSettings,
    ) -> tuple[str | None, str]:
        """Plan the set that a network is trained on; None for the whole training set."""
        protocol = experiment.protocol
        if ipc is None:
            return None, ""
        if method in CORESETS:
            parents: tuple[str, ...] = ()
            if method != "Random":
                features = dataclasses.replace(settings.extractors, network=settings.distillation.network)
                extractor = TrainExtractor(dataset=dataset, protocol=protocol, settings=features, index=seed)
                parents = (self.add(extractor),)
            coreset = CORESETS[method]
            unit = Select(dataset=dataset, protocol=protocol, method=coreset, ipc=ipc, seed=seed, parents=parents)
            return self.add(unit), ""
        distillation, note = specialise(settings.distillation, method, ipc)
        drawn = self.pool(dataset, protocol, settings.extractors, settings.pool) if distillation.lambda_cc > 0 else ()
        distill = Distill(dataset=dataset, protocol=protocol, ipc=ipc, settings=distillation, seed=seed, parents=drawn)
        return self.add(distill), note

    def pool(
        self, dataset: DatasetRef, protocol: Protocol, training: ExtractorSettings, pool: ExtractorPool
    ) -> tuple[str, ...]:
        """Plan a pool of extractors, trained or the user's own."""
        if pool.folder is not None and protocol == "strict":
            raise SpaceError(
                "extractors.folder cannot be used with protocol strict: networks trained elsewhere may have seen the "
                "images that are held out; leave folder out, or use protocol paper"
            )
        identity = (dataset, protocol, training, pool)
        if identity not in self.pools:
            units = _pool_units(dataset, protocol, training, pool)
            self.pools[identity] = tuple(self.add(unit) for unit in units)
        return self.pools[identity]


def _pool_units(
    dataset: DatasetRef, protocol: Protocol, training: ExtractorSettings, pool: ExtractorPool
) -> Iterator[Unit]:
    for index in range(pool.count):
        if pool.folder is None or pool.pool is None:
            yield TrainExtractor(dataset=dataset, protocol=protocol, settings=training, index=index)
        else:
            yield ImportExtractor(
                dataset=dataset, network=training.network, pool=pool.pool, index=index, folder=pool.folder
            )
