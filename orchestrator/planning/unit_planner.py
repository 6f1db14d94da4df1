"""Plans the units behind the points of a grid: extractor pools, sets and what measures the sets.

Herding and K-Center choose by the features of one network trained on the real data, another one for
each seed. It has the architecture of the experiment's matching network and the training settings of
its extractors.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from distill_core.datasets.info import REGISTRY
from distill_core.evaluation.class_order import split_class_order
from distill_core.settings import (
    HOLD_OUT_FRACTION,
    DatasetRef,
    ExtractorSettings,
    Protocol,
    SettingsError,
)
from orchestrator.planning.methods import CORESETS, specialize
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
from search_spaces.experiments import Experiment
from search_spaces.resolve import ResolvedSettings
from search_spaces.setting_paths import PoolSettings, shorten


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One point of a grid, before seeds and networks."""

    experiment: Experiment
    dataset: DatasetRef
    method: str
    ipc: int | None
    settings: ResolvedSettings

    def check_size(self, images: int) -> None:
        """Check that a set can start from so many images of each class.

        Raises:
            SpaceError: there are fewer to train on.
        """
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

    def count_classes(self) -> int:
        """Return the number of classes of the data set.

        Raises:
            SpaceError: it is a custom data set that does not say.
        """
        info, dataset = REGISTRY.get(self.dataset.name), self.dataset
        if info is not None:
            return len(info.classes)
        if dataset.num_classes is None:
            raise SpaceError(
                f"{self.experiment.where}: class-incremental learning needs the number of classes,"
                f" which is not known of {dataset.name!r} before it is read; add num_classes to it:"
                f" {{name: {dataset.name}, format: {dataset.format}, path: {shorten(dataset.path)},"
                " num_classes: …}"
            )
        return dataset.num_classes


class PlannedSet(NamedTuple):
    """What a network trains on."""

    key: str | None
    """Unit that makes the set; None for the whole training set."""
    note: str = ""
    """What a report has to say about it."""


class PlannedMeasurement(NamedTuple):
    """A unit that answers a question about a set, or about the sets of all steps."""

    unit: Unit
    network: str
    set_key: str | None
    """None for the whole training set, and where there is a set for each step."""
    note: str
    steps: int | None = None


class UnitPlanner:
    """Collects units. It remembers what it has planned, so that equal work becomes one unit."""

    def __init__(self) -> None:
        self.units: dict[str, Unit] = {}
        """By key, parents before their children."""
        self._pools: dict[object, tuple[str, ...]] = {}

    def add(self, unit: Unit) -> str:
        """Add a unit whose parents are there, and return its key."""
        self.units.setdefault(unit.key, unit)
        return unit.key

    def plan_measurements(
        self, point: GridPoint, seed: int, networks: tuple[str, ...]
    ) -> Iterator[PlannedMeasurement]:
        """Plan the sets of one seed, and yield the units that measure them on each network."""
        match point.experiment.measure:
            case "continual":
                return self._plan_continual(point, seed, networks)
            case "features":
                return self._plan_features(point, seed, networks)
            case "accuracy":
                return self._plan_accuracy(point, seed, networks)

    def _plan_accuracy(
        self, point: GridPoint, seed: int, networks: tuple[str, ...]
    ) -> Iterator[PlannedMeasurement]:
        made = self.plan_set(point, point.dataset, seed)
        for network in networks:
            unit = Evaluate(
                dataset=point.dataset,
                protocol=point.experiment.protocol,
                split="test",
                network=network,
                settings=point.settings.evaluation,
                seed=seed,
                parents=() if made.key is None else (made.key,),
            )
            yield PlannedMeasurement(unit, network, made.key, made.note)

    def _plan_features(
        self, point: GridPoint, seed: int, networks: tuple[str, ...]
    ) -> Iterator[PlannedMeasurement]:
        made = self.plan_set(point, point.dataset, seed)
        if made.key is None:  # the whole training set has an accuracy alone
            yield from self._plan_accuracy(point, seed, networks)
            return
        for network in networks:
            # The first network outside the pool: a set is not described by an extractor that it
            # was distilled with.
            extractor = TrainExtractor(
                dataset=point.dataset,
                protocol=point.experiment.protocol,
                settings=dataclasses.replace(point.settings.extractors, network=network),
                index=point.settings.pool.count,
            )
            unit = Embed(
                dataset=point.dataset,
                protocol=point.experiment.protocol,
                settings=point.settings.features,
                seed=seed,
                parents=(made.key, self.add(extractor)),
            )
            yield PlannedMeasurement(unit, network, made.key, made.note)

    def _plan_continual(
        self, point: GridPoint, seed: int, networks: tuple[str, ...]
    ) -> Iterator[PlannedMeasurement]:
        for steps in point.experiment.steps:
            parents, note = self._plan_step_sets(point, seed, steps)
            for network in networks:
                unit = Continual(
                    dataset=point.dataset,
                    protocol=point.experiment.protocol,
                    split="test",
                    network=network,
                    settings=point.settings.evaluation,
                    seed=seed,
                    parents=parents,
                )
                yield PlannedMeasurement(unit, network, None, note, steps)

    def _plan_step_sets(
        self, point: GridPoint, seed: int, steps: int
    ) -> tuple[tuple[str, ...], str]:
        """Plan the sets of class-incremental learning, and return their keys and a note.

        There is one per step, made from the classes of that step alone, extractors included.
        """
        try:
            orders = split_class_order(point.count_classes(), steps, seed)
        except SettingsError as error:
            raise SpaceError(f"{point.experiment.where}: {point.dataset.name}: {error}") from error
        keys, notes = [], []
        for classes in orders:
            made = self.plan_set(point, dataclasses.replace(point.dataset, classes=classes), seed)
            notes.append(made.note)
            if made.key is not None:
                keys.append(made.key)
        return tuple(keys), notes[0]

    def plan_set(self, point: GridPoint, dataset: DatasetRef, seed: int) -> PlannedSet:
        """Plan the set that a network is trained on."""
        if point.ipc is None:
            return PlannedSet(None)
        if point.method in CORESETS:
            return self._plan_coreset(point, point.ipc, dataset, seed)
        return self._plan_distillation(point, point.ipc, dataset, seed)

    def _plan_coreset(
        self, point: GridPoint, ipc: int, dataset: DatasetRef, seed: int
    ) -> PlannedSet:
        point.check_size(ipc)
        parents: tuple[str, ...] = ()
        if point.method != "Random":
            network = point.settings.distillation.network
            extractor = TrainExtractor(
                dataset=dataset,
                protocol=point.experiment.protocol,
                settings=dataclasses.replace(point.settings.extractors, network=network),
                index=seed,
            )
            parents = (self.add(extractor),)
        unit = Select(
            dataset=dataset,
            protocol=point.experiment.protocol,
            method=CORESETS[point.method],
            ipc=ipc,
            seed=seed,
            parents=parents,
        )
        return PlannedSet(self.add(unit))

    def _plan_distillation(
        self, point: GridPoint, ipc: int, dataset: DatasetRef, seed: int
    ) -> PlannedSet:
        settings, note = specialize(point.settings.distillation, point.method, ipc)
        if settings.init == "real":
            point.check_size(ipc * settings.partition**2)
        protocol = point.experiment.protocol
        parents: tuple[str, ...] = ()
        if settings.lambda_cc > 0:
            parents = self._plan_pool(
                dataset, protocol, point.settings.extractors, point.settings.pool
            )
        unit = Distill(
            dataset=dataset,
            protocol=protocol,
            ipc=ipc,
            settings=settings,
            seed=seed,
            parents=parents,
        )
        return PlannedSet(self.add(unit), note)

    def _plan_pool(
        self,
        dataset: DatasetRef,
        protocol: Protocol,
        training: ExtractorSettings,
        pool: PoolSettings,
    ) -> tuple[str, ...]:
        """Plan a pool of extractors, trained here or the user's."""
        if pool.folder is not None and protocol == "strict":
            raise SpaceError(
                "extractors.folder cannot be used with protocol strict: networks trained elsewhere"
                " may have seen the images that are held out; leave folder out, or use protocol"
                " paper"
            )
        # Most sets of a plan share a pool, and the published ones have 5,000 networks.
        identity = (dataset, protocol, training, pool)
        if identity not in self._pools:
            units = _list_pool_units(dataset, protocol, training, pool)
            self._pools[identity] = tuple(self.add(unit) for unit in units)
        return self._pools[identity]


def _list_pool_units(
    dataset: DatasetRef, protocol: Protocol, training: ExtractorSettings, pool: PoolSettings
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
