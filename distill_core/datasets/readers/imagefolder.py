"""Custom images as files: `train/<class>/<image>`, and the same in `test/` or `val/`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distill_core.datasets.files import TEST_NAMES
from distill_core.datasets.info import DatasetError
from distill_core.datasets.raw import EncodedData, EncodedImage, EncodedSplit
from distill_core.datasets.splits import split_off_test

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp"))
"""Files with other suffixes are ignored."""


def read_imagefolder(folder: Path, name: str) -> EncodedData:
    """List the image files of a folder; classes are the folders of `train` in alphabetical order.

    Args:
        folder: where the files are.
        name: name of the data set; it seeds the test split if there is none.

    Raises:
        DatasetError: a split has no images, or the test folder has a class that is missing in the
            training folder.
    """
    classes = _list_folders(folder / "train")
    train = _list_images(folder / "train", classes)
    test = next((folder / split for split in TEST_NAMES if (folder / split).is_dir()), None)
    if test is None:
        return EncodedData(*split_off_test(train, name), tuple(classes))
    if unknown := set(_list_folders(test)) - set(classes):
        raise DatasetError(f"{test / min(unknown)}: {folder / 'train'} has no class of that name")
    return EncodedData(train, _list_images(test, classes), tuple(classes))


def _list_folders(folder: Path) -> list[str]:
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _list_images(folder: Path, classes: Sequence[str]) -> EncodedSplit:
    images, labels = [], []
    for label, name in enumerate(classes):
        for path in sorted((folder / name).rglob("*")):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                images.append(EncodedImage(path, str(path)))
                labels.append(label)
    if not images:
        raise DatasetError(
            f"{folder}: no images in its class folders; add some, or remove it if there is no such"
            " split"
        )
    return EncodedSplit(images, np.array(labels, dtype=np.int64))
