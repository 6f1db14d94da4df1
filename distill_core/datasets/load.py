"""Loading data sets: find the files, read them, check them, and move them to a device."""

import logging
import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from distill_core.datasets.decode import decode_custom, decode_registered
from distill_core.datasets.files import locate, missing_dataset_error
from distill_core.datasets.image_set import ImageSet, compute_fingerprint
from distill_core.datasets.info import DatasetError, DatasetInfo, resolve_registered
from distill_core.datasets.known_classes import check_known_images, order_known_classes
from distill_core.datasets.known_layouts import Form, find_place
from distill_core.datasets.raw import EncodedData, Pixels, RawData, RawSplit, check_labels
from distill_core.datasets.readers.digits import read_digits
from distill_core.datasets.readers.idx import read_idx_data
from distill_core.datasets.readers.imagefolder import read_imagefolder
from distill_core.datasets.readers.options import Columns
from distill_core.datasets.readers.parquet import read_parquet
from distill_core.datasets.readers.tinyimagenet import read_tinyimagenet
from distill_core.datasets.readers.torchvision_files import (
    DOWNLOADS,
    download_files,
    read_cifar,
    read_svhn,
)
from distill_core.datasets.record import NOTHING, DataRecord
from distill_core.extensions import import_object
from distill_core.settings import DatasetRef, is_custom

_log = logging.getLogger(__name__)

READERS: dict[str, Callable[[Path, DatasetInfo], RawData]] = {
    "digits": read_digits,
    "mnist": read_idx_data,
    "fashionmnist": read_idx_data,
    "svhn": read_svhn,
    "cifar10": read_cifar,
    "cifar100": read_cifar,
    "tinyimagenet": read_tinyimagenet,
}
"""Readers of the files that the makers of a data set publish."""
LISTERS: dict[Form, Callable[[Path, str], EncodedData]] = {
    "parquet": read_parquet,
    "images": read_imagefolder,
}
"""Readers of other forms, by form."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A data set in memory."""

    info: DatasetInfo
    train: ImageSet
    test: ImageSet
    fingerprint: str
    """16 hex digits over shapes, pixels and labels of both sets, the same on every device."""
    record: DataRecord = NOTHING
    """What was mapped, assumed and passed over when it was read."""


def restrict(dataset: Dataset, classes: Sequence[int]) -> Dataset:
    """Keep some classes, which become classes 0, 1, …, in the order given; none given keeps all.

    Name, statistics and fingerprint remain those of the whole data set.

    Raises:
        DatasetError: a class is given twice, or does not exist.
    """
    if not classes:
        return dataset
    train, test = dataset.train.keep_classes(classes), dataset.test.keep_classes(classes)
    info = replace(
        dataset.info,
        classes=tuple(dataset.info.classes[c] for c in classes),
        train_images=len(train),
        test_images=len(test),
    )
    return replace(dataset, info=info, train=train, test=test)


def load_dataset(
    ref: DatasetRef, root: Path, *, device: torch.device | str = "cpu", download: bool = False
) -> Dataset:
    """Read a data set and move it to a device.

    The image size of a custom data set comes from the reference (or from its first image, see
    `decode_custom`); mean and standard deviation are those of its training images. If it has no
    test split, a stratified fifth of the training images becomes the test set, chosen by a hash of
    its name. If the reference names classes, only these are kept (see `restrict`).

    Args:
        ref: what to read.
        root: the data folder.
        device: where the images are kept.
        download: whether to fetch missing files, where torchvision can.

    Raises:
        DatasetError: the data set is unknown, missing or damaged, or has no such class; the message
            says where and what to do.
    """
    root = root.expanduser()
    info = resolve_registered(ref)
    folder = locate(ref, root)
    if folder is None and info and download and info.name in DOWNLOADS:
        download_files(info, root / info.name)
        folder = locate(ref, root)
    if folder is None:
        raise missing_dataset_error(ref, root)
    try:
        info, raw = _read_registered(info, folder, root) if info else _read_custom(ref, folder)
    except OSError as error:
        raise DatasetError(
            f"{ref.name}: cannot read {error.filename or folder} ({error.strerror or error})"
        ) from error
    train, test = (
        _build_image_set(raw.train, info, device),
        _build_image_set(raw.test, info, device),
    )
    dataset = Dataset(
        info=info,
        train=train,
        test=test,
        fingerprint=compute_fingerprint(train, test),
        record=raw.record,
    )
    return restrict(dataset, ref.classes)


def _read_registered(info: DatasetInfo, folder: Path, root: Path) -> tuple[DatasetInfo, RawData]:
    place = find_place(info.name, root)
    form = "original" if place is None else place.layout.form
    if form == "original":
        raw = READERS[info.name](folder, info)
    else:
        raw = decode_registered(order_known_classes(LISTERS[form](folder, info.name), info), info)
    _check_registered(info, raw, folder)
    if form != "original":
        check_known_images(info, raw, folder)
    return (replace(info, classes=raw.classes) if info.name == "tinyimagenet" else info), raw


def _check_registered(info: DatasetInfo, raw: RawData, folder: Path) -> None:
    """Check sizes and counts against the record."""
    for split, part, expected in (
        ("training", raw.train, info.train_images),
        ("test", raw.test, info.test_images),
    ):
        if len(part.labels) != expected:
            raise DatasetError(
                f"{info.name}: {len(part.labels)} {split} images in {folder}, not {expected};"
                f" {info.source}"
            )
        shape = (info.channels, info.image_size, info.image_size)
        if part.images.shape[1:] != shape:
            raise DatasetError(
                f"{info.name}: {split} images of shape {part.images.shape[1:]} in {folder}, not"
                f" {shape}"
            )
    if len(raw.classes) != len(info.classes):
        raise DatasetError(
            f"{info.name}: {len(raw.classes)} classes in {folder}, not {len(info.classes)}"
        )


def _read_custom(ref: DatasetRef, folder: Path) -> tuple[DatasetInfo, RawData]:
    if ref.image_size is not None and ref.image_size < 1:
        raise DatasetError(f"{ref.name}: image_size is {ref.image_size}; it must be at least 1")
    if is_custom(ref.format or ""):
        raw = _read_with_custom_reader(ref, folder)
    else:
        reader = read_parquet if ref.format == "parquet" else read_imagefolder
        columns = Columns(image=ref.image_column, label=ref.label_column)
        listed = reader(folder, ref.name, columns, test_split=ref.test_split)
        _require_every_class(ref, folder, listed)
        raw = decode_custom(listed, ref.image_size, ref.name)
    if ref.num_classes not in (None, len(raw.classes)):
        raise DatasetError(
            f"{ref.name}: {folder} has {len(raw.classes)} classes, not {ref.num_classes}; give"
            f" num_classes: {len(raw.classes)}, or check the folder"
        )
    _require_every_class(ref, folder, raw)
    mean, std = _compute_statistics(raw.train.images, ref.name)
    info = DatasetInfo(
        name=ref.name,
        version=ref.version,
        title=ref.name,
        channels=raw.train.images.shape[1],
        image_size=raw.train.images.shape[2],
        classes=raw.classes,
        mean=mean,
        std=std,
        train_images=len(raw.train.labels),
        test_images=len(raw.test.labels),
        source=f"a custom data set ({ref.format})",
    )
    return info, raw


def _require_every_class(ref: DatasetRef, folder: Path, data: RawData | EncodedData) -> None:
    present = set(data.train.labels.tolist())
    without = [name for label, name in enumerate(data.classes) if label not in present]
    if without:
        skipped = f" ({'; '.join(map(str, data.record.skipped))})" if data.record.skipped else ""
        raise DatasetError(
            f"{ref.name}: class {without[0]!r} has no training images in {folder}{skipped}; add"
            " some, or remove the class"
        )


def _read_with_custom_reader(ref: DatasetRef, folder: Path) -> RawData:
    """Read a data set with a custom reader."""
    reader = import_object(ref.format or "")
    try:
        raw = reader(folder)
    except DatasetError:
        raise
    except Exception as error:  # it is the user's code, which may raise anything
        _log.exception("reader %s failed", ref.format)
        raise DatasetError(
            f"{ref.name}: reader {ref.format} failed on {folder}: {type(error).__name__}: {error}"
            f" ({_find_line(error)})"
        ) from error
    if not isinstance(raw, RawData):
        raise DatasetError(
            f"{ref.name}: {ref.format} returned a {type(raw).__name__}, not a RawData"
        )
    side = ref.image_size or raw.train.images.shape[-1]
    shape = (raw.train.images.shape[1:2] or (0,))[0], side, side
    for split, part in (("training", raw.train), ("test", raw.test)):
        _check_split(part, shape, len(raw.classes), f"{ref.name}: {ref.format} gave {split}")
    return raw


def _find_line(error: Exception) -> str:
    """Return the line of code that raised an error."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}, line {frame.lineno}"


def _check_split(split: RawSplit, shape: tuple[int, ...], classes: int, where: str) -> None:
    """Raise a DatasetError unless there are uint8 images of this shape, and a label for each."""
    images, labels = split.images, split.labels
    if (
        images.dtype != np.uint8
        or images.shape[1:] != shape
        or len(images) == 0
        or shape[0] not in (1, 3)
    ):
        raise DatasetError(
            f"{where} images of type {images.dtype} and shape {images.shape}; they must be uint8"
            f" (N, C, H, W) with one or three channels and {shape[1]} × {shape[2]} pixels"
        )
    if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
        raise DatasetError(
            f"{where} labels of type {labels.dtype} and shape {labels.shape}; they must be int64"
            f" ({len(images)},)"
        )
    check_labels(labels, classes, lambda index: f"{where} image {index}")


def _compute_statistics(images: Pixels, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute mean and standard deviation of each channel in [0, 1]."""
    # Sums of integers are exact, so the statistics are the same on every machine.
    mean, std = [], []
    for channel in torch.from_numpy(images).unbind(dim=1):
        counts, n = channel.flatten().bincount(minlength=256).tolist(), channel.numel()
        total = sum(value * count for value, count in enumerate(counts))
        squares = sum(value * value * count for value, count in enumerate(counts))
        mean.append(total / n / 255)
        std.append(math.sqrt(n * squares - total * total) / n / 255)
    if min(std) == 0:
        raise DatasetError(
            f"{name}: channel {std.index(min(std))} has the same value in every training image"
        )
    return tuple(mean), tuple(std)


def _build_image_set(split: RawSplit, info: DatasetInfo, device: torch.device | str) -> ImageSet:
    return ImageSet.build(
        torch.from_numpy(np.ascontiguousarray(split.images)),
        torch.from_numpy(split.labels),
        classes=len(info.classes),
        name=info.name,
        mean=info.mean,
        std=info.std,
        device=device,
    )
