"""What unit functions read: what a unit may see of its data set, and artifacts of its parents."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.info import DatasetInfo
from distill_core.datasets.load import Dataset, load_dataset, restrict
from distill_core.datasets.splits import hold_out
from distill_core.settings import DatasetRef, Protocol, SettingsError, Split
from distill_core.training.extractors import ExtractorPool
from orchestrator.execution.context import UnitContext
from orchestrator.units import ExtractorUnit, Unit

PARAMETERS_FILE = "parameters.safetensors"
SET_FILE = "synthetic_set.safetensors"


def hide_test_split(dataset: Dataset, unit: Unit) -> Dataset:
    """Return the data set without its test images, unless the unit measures an accuracy on them.

    A unit does not get what it must not see: nothing that distills, selects, trains extractors or
    searches can read a test image or label.
    """
    if unit.reads_test_images:
        return dataset
    return replace(dataset, test=dataset.test.subset(torch.arange(0, device=dataset.test.device)))


def get_training_data(dataset: Dataset, unit: Unit) -> Dataset:
    """Return the data set as a unit that trains may see it.

    The strict protocol holds out a part of the training images. They are the same ones whatever
    classes the unit is about, so they are taken out before the classes are restricted.
    """
    if getattr(unit, "protocol", None) == "strict":
        dataset = replace(dataset, train=hold_out(dataset.train)[0])
    return restrict(dataset, unit.dataset.classes)


def get_evaluation_images(dataset: Dataset, protocol: Protocol, split: Split) -> ImageSet:
    """Return the images that measure the accuracy.

    Raises:
        SettingsError: the protocol has no such images.
    """
    if split == "test":
        return dataset.test
    if protocol == "paper":
        raise SettingsError("protocol paper has no validation images; use protocol strict")
    return hold_out(dataset.train)[1]


@lru_cache(maxsize=2)
def load_cached_dataset(ref: DatasetRef, root: Path, device: str) -> Dataset:
    """Load a data set; the last ones stay in memory, as a worker computes many units on each."""
    return load_dataset(ref, root, device=device)


def load_extractors(keys: tuple[str, ...], dataset: Dataset, context: UnitContext) -> ExtractorPool:
    """Return the networks that some units made, on the data set's device."""
    files = tuple(context.parent_folder(key) / PARAMETERS_FILE for key in keys)
    return _load_pool(
        files,
        get_architecture(context.load_parent_unit(keys[0])),
        dataset.info,
        str(dataset.train.device),
    )


@lru_cache(maxsize=1)
def _load_pool(
    files: tuple[Path, ...], network: str, info: DatasetInfo, device: str
) -> ExtractorPool:
    """Load a pool; the last one stays in memory, as a worker distills many sets with it."""
    return ExtractorPool.load(files, network, info, device)


def get_architecture(unit: Unit) -> str:
    """Return the architecture that a unit of the extractor pool makes.

    Raises:
        SettingsError: the unit makes no extractor.
    """
    if not isinstance(unit, ExtractorUnit):
        raise SettingsError(f"unit {unit.key} is of kind {unit.kind}, which makes no extractor")
    return unit.architecture


def make_progress_callback(
    context: UnitContext, *, before: int = 0, total: int | None = None
) -> Callable[[int, int, dict[str, float]], None]:
    """Return a callback for the progress of one part of a unit.

    Args:
        context: takes the reports, and says whether to stop.
        before: steps of the unit before this part.
        total: steps of the whole unit; those of the part if left out.
    """

    def progress(step: int, of: int, values: dict[str, float]) -> None:
        context.report_progress(before + step, of if total is None else total, values)
        context.raise_if_stopping()

    return progress
