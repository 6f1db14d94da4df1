"""A user's own images as files: `train/<class>/<image>`, and the same under `test/` or `val/`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distill_core.datasets.files import TEST_NAMES
from distill_core.datasets.info import DatasetError
from distill_core.datasets.raw import EncodedData, EncodedImage, EncodedSplit
from distill_core.datasets.splits import split_off_test

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp"))
"""Files with other endings are not images and are passed over."""


def read_imagefolder(folder: Path, name: str) -> EncodedData:
    """List the image files of a folder; classes are the folders of `train` in alphabetical order.

    Args:
        folder: where the files lie.
        name: name of the data set; it fixes the test split of one that has none.

    Raises:
        DatasetError: a split has no images, or the test folder has a class that the training folder
            lacks.
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
    files = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    if not files:
        raise DatasetError(
            f"{folder}: no images in its class folders; add some, or remove it if there is no such"
            " split"
        )
    images = [EncodedImage(path, str(path)) for path, _ in files]
    return EncodedSplit(images, np.array([label for _, label in files], dtype=np.int64))
