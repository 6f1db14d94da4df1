"""What readers return: images and labels in the order of the files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill_core.datasets.info import DatasetError
from distill_core.datasets.record import NOTHING, DataRecord

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class RawSplit:
    """Decoded images uint8 (N, C, H, W) and labels int64 (N,)."""

    images: Pixels
    labels: Labels


@dataclass(frozen=True, eq=False, slots=True)
class RawData:
    """A decoded data set."""

    train: RawSplit
    test: RawSplit
    classes: tuple[str, ...]
    record: DataRecord = NOTHING
    """What reading it involved."""


@dataclass(frozen=True, eq=False, slots=True)
class EncodedImage:
    """An image file or its content, and its name in messages."""

    content: bytes | Path | None
    where: str


@dataclass(frozen=True, eq=False, slots=True)
class EncodedSplit:
    """Images that are not decoded yet, and labels int64 (N,)."""

    images: Sequence[EncodedImage]
    labels: Labels


@dataclass(frozen=True, eq=False, slots=True)
class EncodedData:
    """A data set of encoded images."""

    train: EncodedSplit
    test: EncodedSplit
    classes: tuple[str, ...]
    record: DataRecord = NOTHING
    """What finding them involved."""


def check_labels(labels: NDArray[Any], classes: int, where: Callable[[int], str]) -> None:
    """Raise a DatasetError for the first label outside 0 … classes − 1.

    `where` returns the name of an image, given its index.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise DatasetError(
            f"{where(int(wrong[0]))}: label {labels[wrong[0]]} is not one of 0 … {classes - 1}; "
            "correct the labels or get the file again"
        )
