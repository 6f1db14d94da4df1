"""CIFAR-10, CIFAR-100 and SVHN through torchvision: checks of the original files, and downloads."""

from pathlib import Path
from typing import Any

import numpy as np

from distill_core.datasets.folders import require_regular
from distill_core.datasets.info import DatasetError, DatasetInfo
from distill_core.datasets.raw import RawData, RawSplit

DOWNLOADS = {
    "mnist": "MNIST",
    "fashionmnist": "FashionMNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
"""Class of torchvision for each data set that can be downloaded."""


def read_cifar(folder: Path, info: DatasetInfo) -> RawData:
    """Read the Python version of CIFAR-10 or CIFAR-100 (fine labels).

    Raises:
        DatasetError: a file is not the original one.
    """
    source = _find_torchvision_class(info.name)
    meta = (source.meta["filename"], source.meta["md5"])
    _check_files(folder, [*source.train_list, *source.test_list, meta], info)

    def split(train: bool) -> RawSplit:
        part = source(folder.parent, train=train)
        return RawSplit(part.data.transpose(0, 3, 1, 2), np.asarray(part.targets, dtype=np.int64))

    return RawData(split(True), split(False), info.classes)


def read_svhn(folder: Path, info: DatasetInfo) -> RawData:
    """Read the cropped digits of SVHN; the label 10 of the files is the digit 0.

    Raises:
        DatasetError: a file is not the original one.
    """
    source = _find_torchvision_class(info.name)
    _check_files(folder, [source.split_list[split][1:] for split in ("train", "test")], info)

    def split(name: str) -> RawSplit:
        part = source(folder, split=name)
        return RawSplit(part.data, part.labels)

    return RawData(split("train"), split("test"), info.classes)


def download_files(info: DatasetInfo, folder: Path) -> None:
    """Download a data set of `DOWNLOADS` into a folder.

    Raises:
        DatasetError: the site cannot be reached or sends something else.
    """
    source = _find_torchvision_class(info.name)
    splits = [{"split": "train"}, {"split": "test"}] if info.name == "svhn" else [{"train": True}]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for split in splits:
            source(folder, download=True, **split)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"{info.name}: cannot download it to {folder} ({reason}); {info.source}"
        ) from error


def _find_torchvision_class(name: str) -> type[Any]:
    import torchvision.datasets

    source: type[Any] = getattr(torchvision.datasets, DOWNLOADS[name])
    return source


def _check_files(folder: Path, files: list[tuple[str, str]], info: DatasetInfo) -> None:
    from torchvision.datasets.utils import check_integrity

    for name, md5 in files:
        require_regular(folder / name)
        if not check_integrity(folder / name, md5):
            raise DatasetError(
                f"{folder / name}: damaged, or not the original file; delete it, then {info.source}"
            )
