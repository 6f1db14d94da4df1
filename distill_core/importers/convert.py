"""Converting stored numbers to a `SyntheticSet`, once it is decided how they are read."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill_core.datasets.info import DatasetInfo
from distill_core.datasets.load import Dataset
from distill_core.importers import zca
from distill_core.importers.labels import convert_labels
from distill_core.importers.pixels import PixelStatistics, find_contradiction
from distill_core.importers.raw_set import FoundSets, ImportSetError, RawSet
from distill_core.importers.reading import Reading
from distill_core.importers.safe_loading import compute_digest
from distill_core.importers.whitening import (
    compute_real_whitening,
    load_whitening,
    name_whitening,
)
from distill_core.partition import require_divisible
from distill_core.synthetic_set import SyntheticSet, to_pixels


def convert(
    raw: RawSet,
    reading: Reading,
    dataset: Dataset,
    *,
    method: str,
    spec: Mapping[str, Any],
    key: str | None = None,
    check: bool = True,
) -> SyntheticSet:
    """Convert a stored set to one that networks can be trained on.

    Args:
        raw: the stored numbers.
        reading: how they are read.
        dataset: the data set that the set stands for; its training images are read if a whitening
            has to be computed from them.
        method: name of the method.
        spec: how the set was made, as far as it is known.
        key: of the unit that imports it.
        check: whether implausible pixels are an error.

    Raises:
        ImportSetError: the set does not fit the data set, or its pixels contradict the reading.
    """
    info = dataset.info
    if raw.native is not None:
        return _adopt_native(raw.native, raw.where, info, method=method, spec=spec, key=key)
    raw = _match_channels(raw, info)
    _require_size(raw.images, raw.where, info, reading.partition)
    pixels = _convert_to_pixels(raw, reading, dataset)
    if check and (problem := find_contradiction(pixels, info)):
        stored = PixelStatistics.measure(raw.images)
        raise ImportSetError(
            f"{raw.where}: read as {_describe_space(reading)}, {problem}. As stored they have"
            f" {stored}: this looks like {stored.description}{_suggest_options(stored, reading)}."
            " --no-check imports them anyway"
        )
    labels = convert_labels(raw, reading.soft_labels, info)
    converted = SyntheticSet(
        images=pixels,
        labels=labels.classes,
        soft_labels=labels.probabilities,
        dataset=info.name,
        dataset_version=info.version,
        class_names=info.classes,
        mean=info.mean,
        std=info.std,
        ipc=count_images_per_class(len(labels.classes), len(info.classes)),
        partition=reading.partition,
        method=method,
        spec=dict(spec),
        key=key,
    )
    return _require_trainable(converted, raw.where)


def count_images_per_class(images: int, classes: int) -> int:
    """Return the stored images per class, rounded where classes differ; at least 1."""
    return max(1, round(images / classes))


def compute_content_digest(found: FoundSets, path: Path) -> str:
    """Return the SHA-256 of the files that were read at a path."""
    return compute_digest(found.files, path if path.is_dir() else path.parent)


def _adopt_native(
    native: SyntheticSet,
    where: str,
    info: DatasetInfo,
    *,
    method: str,
    spec: Mapping[str, Any],
    key: str | None,
) -> SyntheticSet:
    """Return a set in our format under another method name, for the same data set."""
    _require_size(native.images, where, info, native.partition)
    if (native.dataset, native.class_names) != (info.name, info.classes):
        raise ImportSetError(
            f"{where} is a set of {native.dataset} with {len(native.class_names)} classes, not of"
            f" {info.name} with {len(info.classes)}"
        )
    adopted = replace(
        native,
        method=method,
        mean=info.mean,
        std=info.std,
        spec={**spec, "made": native.spec},
        key=key,
    )
    return _require_trainable(adopted, where)


def _require_trainable(converted: SyntheticSet, where: str) -> SyntheticSet:
    if not bool(converted.training_images()[0].isfinite().all()):
        raise ImportSetError(
            f"{where}: images hold numbers so large that they overflow when they are normalized"
        )
    return converted


def _match_channels(raw: RawSet, info: DatasetInfo) -> RawSet:
    """Give gray image files, which have one channel or three equal ones, those of the data set."""
    images = raw.images
    if not raw.class_folders:
        return raw
    if images.shape[1] == 1:
        return replace(raw, images=images.expand(-1, info.channels, -1, -1))
    is_gray = images.shape[1] == 3 and torch.equal(images[:, :1], images[:, 1:2])
    if is_gray and info.channels == 1:
        return replace(raw, images=images[:, :1])
    return raw


def _require_size(images: Tensor, where: str, info: DatasetInfo, tiles: int) -> None:
    expected = (info.channels, info.image_size, info.image_size)
    if tuple(images.shape[1:]) != expected:
        stored = " × ".join(map(str, images.shape[1:]))
        raise ImportSetError(
            f"{where}: images of {stored}, those of {info.name} are"
            f" {' × '.join(map(str, expected))}"
        )
    try:
        require_divisible(info.image_size, tiles)
    except ValueError as error:
        raise ImportSetError(
            f"{where}: {error}; sets that pad their canvases cannot be imported"
        ) from error


def _convert_to_pixels(raw: RawSet, reading: Reading, dataset: Dataset) -> Tensor:
    info, images = dataset.info, raw.images
    mean = _expand_to_channels(reading.mean or info.mean, raw)
    std = _expand_to_channels(reading.std or info.std, raw)
    if reading.zca != "no":
        try:
            images = _find_whitening(raw, reading, dataset, mean, std).unwhiten(images)
        except zca.WhiteningError as error:
            raise ImportSetError(f"{raw.where}: {error}") from error
    return to_pixels(images, mean, std) if reading.normalised else images


def _find_whitening(
    raw: RawSet,
    reading: Reading,
    dataset: Dataset,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> zca.Whitening:
    """Load the statistics of a whitening, or compute them from the real training images."""
    if reading.zca_path is None:
        normalization = (mean, std) if reading.normalised else None
        return compute_real_whitening(dataset.train, normalization)
    if reading.zca != name_whitening(True, reading.zca_path):
        raise ImportSetError(
            f"{reading.zca_path} has changed since it was decided how {raw.where} is read"
        )
    return load_whitening(Path(reading.zca_path))


def _expand_to_channels(values: tuple[float, ...], raw: RawSet) -> tuple[float, ...]:
    channels = raw.images.shape[1]
    if len(values) not in (1, channels):
        raise ImportSetError(
            f"{raw.where}: {len(values)} values of the normalization for {channels} channels"
        )
    return values * channels if len(values) == 1 else values


def _suggest_options(stored: PixelStatistics, reading: Reading) -> str:
    """Suggest the options that the stored pixels call for and that were not used."""
    used = {
        "--zca": "no" if reading.zca == "no" else "yes",
        "--normalised": "yes" if reading.normalised else "no",
    }
    suggested = []
    for option, value in (("--zca", stored.zca), ("--normalised", stored.normalized)):
        if value and value != used[option]:
            suggested.append(f"{option} {value}")
    return f"; pass {' '.join(suggested)}" if suggested else ""


def _describe_space(reading: Reading) -> str:
    space = "normalized images" if reading.normalised else "pixels"
    return space if reading.zca == "no" else f"ZCA-whitened {space}"
