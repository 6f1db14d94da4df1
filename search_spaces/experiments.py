"""A search space once it is read: its experiments, each a grid with the rules of its settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distill_core.datasets.info import REGISTRY
from distill_core.settings import DatasetRef, Protocol
from search_spaces.claims import Claim
from search_spaces.errors import SpaceError
from search_spaces.rules import Rule
from search_spaces.schema import Measure, Range, Rungs


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """One grid: data sets × methods × IPCs × seeds × architectures × swept values."""

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
    """Settings by path that `iid search` chooses, each with what it tries; empty where there is
    nothing to choose.
    """
    rungs: Rungs = field(default_factory=Rungs)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings by path."""
    overridden_axes: frozenset[str] = frozenset()

    def explain_override(self, *axes: str) -> str:
        """Return the end of a message about axes: whether the command line gave one of them."""
        given = [axis for axis in axes if axis in self.overridden_axes]
        return f"; it was given by --set {given[0]}" if given else ""

    def find_ratios(self, dataset: DatasetRef) -> dict[int, float]:
        """Return the ratio that asks for each IPC on a known data set, by IPC.

        It is empty where `ipc` is given.
        """
        info = REGISTRY.get(dataset.name)
        if info is None or self.ipc:
            return {}
        size = info.train_images / len(info.classes)
        ratios: dict[int, float] = {}
        for ratio in self.ratio:
            # Whole images, and at least one: small ratios may ask for the same IPC.
            ratios.setdefault(max(1, round(ratio * size)), ratio)
        return ratios

    def list_images_per_class(self, dataset: DatasetRef) -> tuple[int, ...]:
        """Return the IPCs of the grid on a data set, with ratios turned into images per class.

        Raises:
            SpaceError: the data set has too few images, or its size is unknown and a ratio needs
                it.
        """
        info = REGISTRY.get(dataset.name)
        if not self.ratio and info is None:
            return self.ipc
        if info is None:
            raise SpaceError(
                f"{self.where}: ratio needs the number of training images and classes, which is not"
                f" known of {dataset.name!r} before it is read; give ipc"
            )
        classes, images = len(info.classes), info.train_images
        chosen = self.ipc or tuple(self.find_ratios(dataset))
        for ipc in chosen:
            if ipc * classes > images:
                raise SpaceError(
                    f"{self.where}: {ipc} images per class are more than {dataset.name} has"
                    f" ({images:,} in all){self.explain_override('ipc', 'ratio')}"
                )
        return chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """A search space: a list of experiments."""

    name: str
    description: str
    experiments: tuple[Experiment, ...]
    claims: tuple[Claim, ...] = ()
    """What its author claims, for reports to test."""
