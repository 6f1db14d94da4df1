"""Checks of known data sets that come as Parquet or image files: their classes and their pixels."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from distill_core.datasets.info import DatasetError, DatasetInfo
from distill_core.datasets.raw import EncodedData, EncodedSplit, RawData
from distill_core.datasets.record import list_some

MEAN_TOLERANCE = 0.004
"""Largest difference between a channel's mean and the published one, pixels in [0, 1]; encoding as
JPEG changes it by less than a tenth of that."""


def order_known_classes(data: EncodedData, info: DatasetInfo) -> EncodedData:
    """Number the classes as the data set's record does, by name or number.

    Raises:
        DatasetError: the classes are others.
    """
    if info.name == "tinyimagenet":  # its record has no names
        return data
    numbers = _match(data.classes, info.classes)
    if numbers is None:
        raise DatasetError(
            f"{info.name}: classes are {list_some(data.classes)}; expected"
            f" {list_some(info.classes)}"
        )
    if numbers == list(range(len(numbers))):
        return replace(data, classes=info.classes)
    order = np.array(numbers, dtype=np.int64)

    def renumber(split: EncodedSplit) -> EncodedSplit:
        return replace(split, labels=order[split.labels])

    note = f"classes {list_some(data.classes, 3)}, … are numbered as {info.name} numbers them"
    record = replace(data.record, notes=(*data.record.notes, note))
    return EncodedData(renumber(data.train), renumber(data.test), info.classes, record)


def _match(found: Sequence[str], known: Sequence[str]) -> list[int] | None:
    """Return the number of each class that was found; None if they are not the known ones."""
    if len(found) != len(known):
        return None
    if all(name.isascii() and name.isdecimal() for name in found):
        numbers = [int(name) for name in found]
    else:
        names = [_squash(name) for name in known]
        numbers = [names.index(_squash(name)) if _squash(name) in names else -1 for name in found]
    return numbers if sorted(numbers) == list(range(len(known))) else None


def _squash(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def check_known_images(info: DatasetInfo, raw: RawData, folder: Path) -> None:
    """Check the pixels against the published mean of each channel, where there is one.

    Raises:
        DatasetError: these are other images, or their channels are in another order.
    """
    if not info.pixel_mean:
        return
    means = raw.train.images.mean(axis=(0, 2, 3), dtype=np.float64) / 255
    if np.abs(means - np.array(info.pixel_mean)).max() > MEAN_TOLERANCE:
        found, published = (
            ", ".join(f"{mean:.4f}" for mean in values) for values in (means, info.pixel_mean)
        )
        raise DatasetError(
            f"{info.name}: the channels of the training images in {folder} have the means {found},"
            f" published are {published}; these are other images, give them a name of their own"
        )
