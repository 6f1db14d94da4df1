"""SRe2L, RDED and similar methods: a folder of image files for each class."""

import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from distill_core.datasets.folders import SUFFIXES
from distill_core.importers.raw_set import FoundSets, ImportSetError, RawSet


def find(folder: Path) -> FoundSets | None:
    """Read the layout; None if there are no folders with images.

    Raises:
        ImportSetError: a folder has no images, a file is damaged, or images differ in size.
    """
    listed = {}
    for path in folder.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            listed[path] = _list_images(path)
    if not any(listed.values()):
        return None
    classes = sorted(listed, key=lambda path: _natural_key(path.name))
    files: list[Path] = []
    labels: list[int] = []
    for label, path in enumerate(classes):
        if not listed[path]:
            raise ImportSetError(f"{path}: there are no images in this class folder")
        files += listed[path]
        labels += [label] * len(listed[path])
    found = RawSet(
        where=str(folder),
        images=_read_stacked(files),
        labels=torch.tensor(labels),
        normalized=False,
        zca=False,
        partition=1,
        class_folders=tuple(path.name for path in classes),
    )
    reason = f"{len(classes)} folders of image files: an ImageFolder, as of SRe2L or RDED"
    return FoundSets(layout="imagefolder", reason=reason, sets=(found,), files=tuple(files))


def _list_images(folder: Path) -> list[Path]:
    files = []
    for path in folder.iterdir():
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            files.append(path)
    return sorted(files, key=lambda path: _natural_key(path.name))


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by value: 2 before 10."""
    key = []
    for part in re.split(r"([0-9]+)", name):
        if part:
            key.append((int(part), "") if part.isdigit() else (-1, part))
    return key


def _read_stacked(files: list[Path]) -> Tensor:
    images = [_decode(file) for file in files]
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise ImportSetError(
                f"{file} is {_format_size(image)}, {files[0]} is {_format_size(images[0])};"
                " all images of a set must have one size"
            )
    return torch.stack(images).float() / 255


def _decode(file: Path) -> Tensor:
    """Read a file as uint8 (C, H, W), with one channel if it is gray."""
    try:
        with Image.open(file) as image:
            pixels = np.array(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImportSetError(f"{file} is not an image, or is damaged: {error}") from error
    if pixels.shape[0] != pixels.shape[1]:
        raise ImportSetError(
            f"{file}: {pixels.shape[1]} × {pixels.shape[0]} pixels; images must be square"
        )
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)


def _format_size(image: Tensor) -> str:
    channels, height, width = image.shape
    return f"{width} × {height} × {channels}"
