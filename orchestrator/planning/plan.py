"""The plan: a search space expanded into units of work and the cells of its grid.

Units form a graph, extractor pool → set → evaluation; equal work, in one experiment or in several,
is one unit. Cells say which units answer which question, and are what a report looks up. Planning
reads no data and imports no torch.

Class-incremental learning has a set for each step, made from the classes of that step alone,
extractors included.

Herding and K-Center choose by the features of one network trained on the real data, another one for
each seed: it has the architecture of the experiment's matching network and the training settings of
its extractors.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from distill_core.datasets.info import REGISTRY
from distill_core.evaluation.class_order import split_class_order
from distill_core.settings import (
    HOLD_OUT_FRACTION,
    DatasetRef,
    ExtractorSettings,
    Protocol,
    SettingsError,
)
from orchestrator.planning.methods import CORESETS, specialise
from orchestrator.units import (
    Continual,
    Distill,
    Embed,
    Evaluate,
    ImportExtractor,
    Select,
    TrainExtractor,
    Unit,
)
from search_spaces.errors import SpaceError
from search_spaces.experiments import Experiment, Space
from search_spaces.method_names import WHOLE
from search_spaces.resolve import ResolvedSettings, resolve
from search_spaces.rules import Case
from search_spaces.schema import SAME, Measure
from search_spaces.setting_paths import ExtractorPool, shorten

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
    """Stored images a class; None for the whole training set."""
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
    """Unit that makes the set; None for the whole training set, and where there is a set for each
    step.
    """
    evaluation_key: str
    """Unit whose rows answer the question: evaluate, continual or embed."""
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
            f"search space {space.name} has {cells:,} cells; more than {MAX_CELLS:,} cannot be"
            " planned at once"
        )
    planner = _Planner()
    return Plan(
        units=planner.units,
        cells=tuple(cell for e in space.experiments for cell in planner.experiment(e)),
    )


def _count(experiment: Experiment) -> int:
    axes = [experiment.datasets, experiment.methods, experiment.seeds, experiment.architectures]
    count = max(1, len(experiment.ipc), len(experiment.ratio)) * max(1, sum(experiment.steps))
    for values in (*axes, *(values for _, values in experiment.sweep)):
        count *= len(values)
    return count


@dataclass(frozen=True, slots=True)
class _Question:
    """One point of a grid, before seeds and networks, and the units that measure its sets."""

    experiment: Experiment
    dataset: DatasetRef
    method: str
    ipc: int | None
    settings: ResolvedSettings

    def check_size(self, images: int) -> None:
        """Refuse sets that start from more images of a class than there are; SpaceError."""
        info = REGISTRY.get(self.dataset.name)
        if info is None:
            return
        kept = 1 - HOLD_OUT_FRACTION if self.experiment.protocol == "strict" else 1.0
        most = int(kept * info.train_images / len(info.classes))
        if images > most:
            raise SpaceError(
                f"{self.experiment.where}: {self.method} at IPC {self.ipc} starts from {images}"
                f" images of each class, and {info.name} has about {most} of each to train on;"
                " lower ipc"
            )

    def evaluate(self, network: str, seed: int, set_key: str | None) -> Evaluate:
        return Evaluate(
            dataset=self.dataset,
            protocol=self.experiment.protocol,
            split="test",
            network=network,
            settings=self.settings.evaluation,
            seed=seed,
            parents=() if set_key is None else (set_key,),
        )

    def continual(self, network: str, seed: int, parts: tuple[str, ...]) -> Continual:
        return Continual(
            dataset=self.dataset,
            protocol=self.experiment.protocol,
            split="test",
            network=network,
            settings=self.settings.evaluation,
            seed=seed,
            parents=parts,
        )

    def embed(self, seed: int, parents: tuple[str, str]) -> Embed:
        features, protocol = self.settings.features, self.experiment.protocol
        return Embed(
            dataset=self.dataset, protocol=protocol, settings=features, seed=seed, parents=parents
        )

    def extractor(
        self, dataset: DatasetRef, training: ExtractorSettings, *, index: int
    ) -> TrainExtractor:
        return TrainExtractor(
            dataset=dataset, protocol=self.experiment.protocol, settings=training, index=index
        )


_Answer = tuple[str | None, str, int | None, str, Unit]
"""Key of the set (None where there is none, or one a step), note, steps, network, and the unit that
measures.
"""


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
        for dataset, values in product(
            experiment.datasets, product(*(values for _, values in experiment.sweep))
        ):
            sweep = tuple(zip(names, values, strict=True))
            for method in experiment.methods:
                for ipc in (None,) if method == WHOLE else experiment.images_per_class(dataset):
                    yield from self.cells(experiment, dataset, sweep, method, ipc)

    def cells(
        self,
        experiment: Experiment,
        dataset: DatasetRef,
        sweep: Sweep,
        method: str,
        ipc: int | None,
    ) -> Iterator[Cell]:
        case = Case(dataset=dataset.name, method=method, ipc=ipc, protocol=experiment.protocol)
        settings = resolve(experiment, case, dict(sweep))
        question = _Question(experiment, dataset, method, ipc, settings)
        matching = settings.distillation.network
        networks = dict.fromkeys(
            matching if name == SAME else name for name in experiment.architectures
        )
        ratio = None if ipc is None else experiment.ratios(dataset).get(ipc)
        for seed in experiment.seeds:
            for set_key, note, steps, network, unit in self.answers(
                question, seed, tuple(networks)
            ):
                yield Cell(
                    experiment=experiment.name,
                    measure=experiment.measure,
                    dataset=dataset.name,
                    protocol=experiment.protocol,
                    method=method,
                    ipc=ipc,
                    ratio=ratio,
                    seed=seed,
                    network=network,
                    steps=steps,
                    sweep=sweep,
                    set_key=set_key,
                    evaluation_key=self.add(unit),
                    note=note,
                )

    def answers(
        self, question: "_Question", seed: int, networks: tuple[str, ...]
    ) -> Iterator["_Answer"]:
        """Plan the sets of one seed and the units that measure them."""
        measure = question.experiment.measure
        if measure == "continual":
            for steps in question.experiment.steps:
                parts, note = self.parts(question, seed, steps)
                for network in networks:
                    yield None, note, steps, network, question.continual(network, seed, parts)
            return
        set_key, note = self.set(question, question.dataset, seed)
        for network in networks:
            if measure == "features" and set_key is not None:
                # The first network outside the pool: a set is not described by an extractor that it
                # was distilled with.
                training, outside = (
                    dataclasses.replace(question.settings.extractors, network=network),
                    question.settings.pool.count,
                )
                extractor = self.add(question.extractor(question.dataset, training, index=outside))
                yield set_key, note, None, network, question.embed(seed, (set_key, extractor))
            else:
                yield set_key, note, None, network, question.evaluate(network, seed, set_key)

    def parts(self, question: "_Question", seed: int, steps: int) -> tuple[tuple[str, ...], str]:
        """Plan the sets of class-incremental learning, one a step, each distilled from the new
        classes alone.
        """
        experiment, dataset = question.experiment, question.dataset
        info = REGISTRY.get(dataset.name)
        classes = dataset.num_classes if info is None else len(info.classes)
        if classes is None:
            raise SpaceError(
                f"{experiment.where}: class-incremental learning needs the number of classes, which"
                f" is not known of {dataset.name!r} before it is read; add num_classes to it:"
                f" {{name: {dataset.name}, format: {dataset.format}, path: {shorten(dataset.path)},"
                " num_classes: …}"
            )
        try:
            orders = split_class_order(classes, steps, seed)
        except SettingsError as error:
            raise SpaceError(f"{experiment.where}: {dataset.name}: {error}") from error
        sets = [
            self.set(question, dataclasses.replace(dataset, classes=new), seed) for new in orders
        ]
        return tuple(key for key, _ in sets if key is not None), sets[0][1]

    def set(self, question: "_Question", dataset: DatasetRef, seed: int) -> tuple[str | None, str]:
        """Plan the set that a network is trained on; None for the whole training set."""
        protocol, settings = question.experiment.protocol, question.settings
        method, ipc = question.method, question.ipc
        if ipc is None:
            return None, ""
        if method in CORESETS:
            question.check_size(ipc)
            parents: tuple[str, ...] = ()
            if method != "Random":
                features = dataclasses.replace(
                    settings.extractors, network=settings.distillation.network
                )
                parents = (self.add(question.extractor(dataset, features, index=seed)),)
            coreset = CORESETS[method]
            unit = Select(
                dataset=dataset,
                protocol=protocol,
                method=coreset,
                ipc=ipc,
                seed=seed,
                parents=parents,
            )
            return self.add(unit), ""
        distillation, note = specialise(settings.distillation, method, ipc)
        if distillation.init == "real":
            question.check_size(ipc * distillation.partition**2)
        drawn = (
            self.pool(dataset, protocol, settings.extractors, settings.pool)
            if distillation.lambda_cc > 0
            else ()
        )
        distill = Distill(
            dataset=dataset,
            protocol=protocol,
            ipc=ipc,
            settings=distillation,
            seed=seed,
            parents=drawn,
        )
        return self.add(distill), note

    def pool(
        self,
        dataset: DatasetRef,
        protocol: Protocol,
        training: ExtractorSettings,
        pool: ExtractorPool,
    ) -> tuple[str, ...]:
        """Plan a pool of extractors, trained or the user's own."""
        if pool.folder is not None and protocol == "strict":
            raise SpaceError(
                "extractors.folder cannot be used with protocol strict: networks trained elsewhere"
                " may have seen the images that are held out; leave folder out, or use protocol"
                " paper"
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
                dataset=dataset,
                network=training.network,
                pool=pool.pool,
                index=index,
                folder=pool.folder,
            )
