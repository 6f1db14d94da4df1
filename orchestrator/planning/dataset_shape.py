"""The size of a data set, as far as it is known before the data set is read."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from distill_core.datasets.info import REGISTRY
from distill_core.settings import DatasetRef


@dataclass(frozen=True, slots=True)
class DatasetShape:
    """The size of a data set."""

    channels: int
    image_size: int
    classes: int
    train_images: int
    test_images: int


ASSUMED_SHAPE = DatasetShape(
    channels=3, image_size=32, classes=10, train_images=10_000, test_images=2_000
)
"""Stands in for a custom data set, whose size is not known before it is read."""


def find_shape(
    dataset: DatasetRef, known: Mapping[str, DatasetShape] | None = None
) -> DatasetShape:
    """Return the size of a data set, or of the classes that are used of it.

    What a reference does not say of a custom data set is taken from `ASSUMED_SHAPE`.

    Args:
        dataset: the data set.
        known: sizes of data sets that were read, by name.
    """
    whole = (known or {}).get(dataset.name) or _find_whole_shape(dataset)
    if not dataset.classes:
        return whole
    share = len(dataset.classes) / whole.classes
    train, test = round(share * whole.train_images), round(share * whole.test_images)
    return dataclasses.replace(
        whole, classes=len(dataset.classes), train_images=train, test_images=test
    )


def _find_whole_shape(dataset: DatasetRef) -> DatasetShape:
    info = REGISTRY.get(dataset.name)
    if info is None:
        return dataclasses.replace(
            ASSUMED_SHAPE,
            image_size=dataset.image_size or ASSUMED_SHAPE.image_size,
            classes=dataset.num_classes or ASSUMED_SHAPE.classes,
        )
    return DatasetShape(
        channels=info.channels,
        image_size=info.image_size,
        classes=len(info.classes),
        train_images=info.train_images,
        test_images=info.test_images,
    )
