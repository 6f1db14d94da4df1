"""TinyImageNet from the folders of tiny-imagenet-200.zip or from the file `tinyimagenet.pt`."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill_core.datasets.decode import decode_registered
from distill_core.datasets.folders import (
    has_images,
    list_folders,
    list_images,
    require_regular,
)
from distill_core.datasets.info import DatasetError, DatasetInfo
from distill_core.datasets.raw import (
    EncodedData,
    EncodedImage,
    EncodedSplit,
    Pixels,
    RawData,
    RawSplit,
    check_labels,
)
from distill_core.datasets.record import DataRecord

_KEYS = ("classes", "images_train", "labels_train", "images_val", "labels_val")
_CHUNK = 4096


def read_tinyimagenet(folder: Path, info: DatasetInfo) -> RawData:
    """Read the layout that the folder has; the published validation set is the test set.

    Raises:
        DatasetError: a file is missing, damaged or of another shape.
    """
    if (folder / "train").is_dir():
        return decode_registered(_list_folders(folder), info)
    return _read_dictionary(folder / "tinyimagenet.pt", info)


def _list_folders(folder: Path) -> EncodedData:
    """List the image files; classes are the WordNet ids in alphabetical order."""
    classes = tuple(path.name for path in list_folders(folder / "train"))
    train = []
    for wnid in classes:
        train += [(path, wnid) for path in list_images(folder / "train" / wnid).images]
    annotations = folder / "val" / "val_annotations.txt"
    if annotations.is_file() and has_images(folder / "val" / "images"):
        test, layout = _list_annotated(folder, classes), "val with its annotations"
    else:
        test, layout = _list_sorted(folder, classes), "val sorted into class folders"

    def split(files: list[tuple[Path, str]]) -> EncodedSplit:
        labels = {wnid: label for label, wnid in enumerate(classes)}
        images = [EncodedImage(path, str(path)) for path, _ in files]
        return EncodedSplit(images, np.array([labels[wnid] for _, wnid in files], dtype=np.int64))

    record = DataRecord(layout=f"train, {layout}")
    return EncodedData(split(train), split(test), classes, record)


def _list_annotated(folder: Path, classes: tuple[str, ...]) -> list[tuple[Path, str]]:
    annotations = folder / "val" / "val_annotations.txt"
    files = []
    for number, line in enumerate(annotations.read_text(errors="replace").splitlines(), start=1):
        name, wnid = [*line.split("\t"), ""][:2]
        if wnid not in classes:
            raise DatasetError(
                f"{annotations}, line {number}: class {wnid!r} has no folder in {folder / 'train'}"
            )
        files.append((folder / "val" / "images" / name, wnid))
    return files


def _list_sorted(folder: Path, classes: tuple[str, ...]) -> list[tuple[Path, str]]:
    """List a validation split that a script has sorted into a folder per class."""
    files = []
    for path in list_folders(folder / "val"):
        images = list_images(path).images
        if path.name not in classes and images:
            raise DatasetError(f"{path}: {folder / 'train'} has no class of that name")
        files += [(image, path.name) for image in images]
    # In the order of the annotations, so that both forms are the same data set.
    return sorted(files, key=lambda file: _read_number(file[0]))


def _read_number(image: Path) -> tuple[int, str]:
    number = re.search(r"\d+", image.name)
    return int(number[0]) if number else 0, image.name


def _read_dictionary(path: Path, info: DatasetInfo) -> RawData:
    """Read the images; classes are in the order of the file."""
    content = _load_dictionary(path)
    absent = [key for key in _KEYS if key not in content]
    if absent:
        raise DatasetError(f"{path}: has no entry {absent[0]!r}; {info.source}")
    classes = tuple(map(str, content["classes"]))

    def split(name: str) -> RawSplit:
        images, labels = content[f"images_{name}"], np.asarray(content[f"labels_{name}"])
        if not isinstance(images, Tensor) or images.dim() != 4:
            raise DatasetError(f"{path}: images_{name} is not a tensor (N, C, H, W)")
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            raise DatasetError(f"{path}: labels_{name} is not one integer per image")
        check_labels(labels, len(classes), lambda index: f"{path}, labels_{name}[{index}]")
        return RawSplit(
            _convert_to_pixels(images, f"{path}, images_{name}"), labels.astype(np.int64)
        )

    return RawData(split("train"), split("val"), classes)


def _load_dictionary(path: Path) -> dict[str, Any]:
    require_regular(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged files torch.load may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(
            f"{path}: not a readable file of tensors ({reason}); get it again"
        ) from error
    return content if isinstance(content, dict) else {}


def _convert_to_pixels(images: Tensor, where: str) -> Pixels:
    # In parts: comparing or scaling all images at once would multiply the memory.
    parts = torch.split(images, _CHUNK)
    if images.is_floating_point() and all(((p >= 0) & (p <= 1)).all() for p in parts):
        images = torch.cat([(part * 255).round().to(torch.uint8) for part in parts])
    if images.dtype != torch.uint8:
        raise DatasetError(
            f"{where}: {images.dtype} with values that are not pixels; expected uint8, or floats in"
            " [0, 1]"
        )
    pixels: Pixels = images.numpy()
    return pixels
