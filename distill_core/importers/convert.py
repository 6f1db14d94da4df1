"""Converting stored numbers to a `SyntheticSet`, once it is decided how they are read."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.info import DatasetInfo
from distill_core.datasets.load import Dataset
from distill_core.importers import zca
from distill_core.importers.evidence import MIN_LIKENESS, MIN_TILE, measure_class_likeness
from distill_core.importers.files.safe_loading import compute_digest
from distill_core.importers.labels import convert_labels
from distill_core.importers.names import clean_name, clean_values
from distill_core.importers.pixels import PixelStatistics, find_contradiction, match_channels
from distill_core.importers.raw_set import (
    Answer,
    FoundSets,
    ImportQuestionError,
    ImportSetError,
    RawSet,
)
from distill_core.importers.reading import Reading
from distill_core.importers.whitening import (
    compute_real_whitening,
    load_whitening,
    name_whitening,
)
from distill_core.partition import partition, require_divisible
from distill_core.synthetic_set import SyntheticSet, to_normalized, to_pixels

NOTES = "import_notes"
"""Entry of an imported set's spec: what was assumed, mapped or left out, as sentences."""
WHITENED = (
    "ZCA whitening undone: networks train and test on plain images, while published figures of"
    " whitened sets come from networks trained and tested on whitened ones; this costs accuracy"
)
FitWhitening = Callable[
    [ImageSet, tuple[tuple[float, ...], tuple[float, ...]] | None], zca.Whitening
]
"""Computes a whitening from real images, in pixel space or after a normalization."""


def convert(
    raw: RawSet,
    reading: Reading,
    dataset: Dataset,
    *,
    method: str,
    spec: Mapping[str, Any],
    key: str | None = None,
    check: bool = True,
    fit: FitWhitening = compute_real_whitening,
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
        fit: computes a whitening from real images.

    Returns:
        The set. Its spec has what was assumed, mapped or left out, in `NOTES`.

    Raises:
        ImportSetError: the set does not fit the data set, or its pixels contradict the reading.
    """
    info = dataset.info
    if raw.native is not None:
        return _adopt_native(
            raw.native, raw.where, info, method=method, spec=spec, key=key, check=check
        )
    _require_data_set(raw, info, check)
    raw = match_channels(raw, info)
    _require_size(raw.images, raw.where, info, reading.partition)
    pixels = _convert_to_pixels(raw, reading, dataset, fit)
    doubts = check_pixels(pixels, raw, reading, info) if check else ()
    labels = convert_labels(raw, reading.soft_labels, info, classes=reading.classes, check=check)
    notes = (*raw.notes, *labels.notes, *describe_losses(reading), *doubts)
    if check and not raw.trusted:
        doubt = _doubt_labels(pixels, labels.classes, reading.partition, dataset)
        if doubt and raw.labels is None and reading.labels_path is None:
            raise _ask_for_labels(raw.where)
        notes += doubt
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
        method=clean_name(method),
        spec={**spec, **({"made": raw.spec} if raw.spec else {}), NOTES: list(notes)},
        key=key,
    )
    return _require_trainable(converted, raw.where)


def check_pixels(
    pixels: Tensor, raw: RawSet, reading: Reading, info: DatasetInfo
) -> tuple[str, ...]:
    """Refuse pixels that contradict a reading, if another one explains them; return what is odd.

    Args:
        pixels: the images as they were read.
        raw: the images as they are stored.
        reading: how they were read.
        info: the data set.

    Raises:
        ImportSetError: the images are something else; the message suggests what.
    """
    if raw.trusted:
        return ()
    stored = PixelStatistics.measure(raw.images, info)
    problem = find_contradiction(pixels, info)
    if problem is None and not (stored.zca == "yes" and reading.zca == "no"):
        return ()
    suggested = suggest_options(stored, reading)
    if not suggested and stored.normalized is not None:
        # Strongly distilled images may look like nothing that is known.
        return (f"unusual pixels: {problem}",)
    advice = f"; pass {' '.join(suggested)}" if suggested else ""
    raise ImportSetError(
        f"{raw.where}: read as {_describe_space(reading)},"
        f" {problem or 'the images are not what was said'}. As stored they have {stored}: this"
        f" looks like {stored.description}{advice}. --no-check imports them anyway"
    )


def _doubt_labels(pixels: Tensor, labels: Tensor, tiles: int, dataset: Dataset) -> tuple[str, ...]:
    """Return a doubt where images look no more like their classes than by chance."""
    if pixels.shape[1:] != dataset.train.images.shape[1:]:
        return ()
    images = partition(to_normalized(pixels, dataset.info.mean, dataset.info.std), tiles)
    likeness = measure_class_likeness(images, labels.repeat(tiles**2), dataset.train)
    if likeness > MIN_LIKENESS:
        return ()
    return (
        "doubtful: the images look no more like their classes than by chance; check the labels, the"
        " order of the classes and the factor",
    )


def _ask_for_labels(where: str) -> ImportQuestionError:
    return ImportQuestionError(
        f"{where}: there are no labels, and the images look no more like their classes than by"
        " chance if they are taken class by class; name their labels with --labels FILE, or say"
        " --labels none if they are in the order of the classes",
        [Answer("class by class after all", ("--labels", "none"))],
    )


def describe_losses(reading: Reading) -> tuple[str, ...]:
    """Return what a reader of accuracies has to know about a reading."""
    return () if reading.zca == "no" else (WHITENED,)


def count_images_per_class(images: int, classes: int) -> int:
    """Return the stored images per class, rounded where classes differ; at least 1."""
    return max(1, round(images / classes))


def compute_content_digest(found: FoundSets, path: Path, *more: Path) -> str:
    """Return the SHA-256 of the files that were read at one path or several."""
    if more:
        # Parts keep their order, wherever they are.
        parts = [compute_digest([file], file.parent) for file in found.files]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return compute_digest(found.files, path if path.is_dir() else path.parent)


def _require_data_set(raw: RawSet, info: DatasetInfo, check: bool) -> None:
    """Check that metadata names the data set."""
    if check and raw.made_for is not None and raw.made_for != info.name:
        raise ImportSetError(
            f"{raw.where} is a set of {raw.made_for}, not of {info.name}; --no-check imports it if"
            " the classes have the same names"
        )


def _adopt_native(
    native: SyntheticSet,
    where: str,
    info: DatasetInfo,
    *,
    method: str,
    spec: Mapping[str, Any],
    key: str | None,
    check: bool,
) -> SyntheticSet:
    """Return a set in our format under another method name, for the same data set."""
    _require_size(native.images, where, info, native.partition)
    notes = []
    if native.class_names != info.classes or (check and native.dataset != info.name):
        raise ImportSetError(
            f"{where} is a set of {clean_name(native.dataset)} with {len(native.class_names)}"
            f" classes, not of {info.name} with {len(info.classes)}"
            + ("; --no-check imports it anyway" if native.class_names == info.classes else "")
        )
    if native.dataset != info.name:
        notes.append(f"made for {clean_name(native.dataset)}")
    if (native.mean, native.std) != (info.mean, info.std):
        notes.append(f"normalized by mean and std of {info.name}, not by its own")
    adopted = replace(
        native,
        dataset=info.name,
        method=clean_name(method),
        mean=info.mean,
        std=info.std,
        spec={**spec, "made": clean_values(native.spec), NOTES: notes},
        key=key,
    )
    return _require_trainable(adopted, where)


def _require_trainable(converted: SyntheticSet, where: str) -> SyntheticSet:
    if not bool(converted.training_images()[0].isfinite().all()):
        raise ImportSetError(
            f"{where}: images hold numbers so large that they overflow when they are normalized"
        )
    return converted


def _advise_size(images: Tensor, info: DatasetInfo) -> str:
    """Say what to do about images of another shape than those of the data set."""
    side = images.shape[2:] == (info.image_size, info.image_size)
    if side and info.channels == 1 and bool((images == images[:, :1]).all()):
        return "their channels are equal: save images[:, :1] in place of images"
    return "name the data set that they stand for with --dataset, or save them in this shape"


def _require_size(images: Tensor, where: str, info: DatasetInfo, tiles: int) -> None:
    expected = (info.channels, info.image_size, info.image_size)
    if tuple(images.shape[1:]) != expected:
        stored = " × ".join(map(str, images.shape[1:]))
        raise ImportSetError(
            f"{where}: images of {stored}, those of {info.name} are"
            f" {' × '.join(map(str, expected))}; {_advise_size(images, info)}"
        )
    if tiles > 1 and info.image_size // tiles < MIN_TILE:
        raise ImportSetError(
            f"{where}: a factor of {tiles} cuts images of {info.image_size} pixels into tiles of"
            f" fewer than {MIN_TILE}"
        )
    try:
        require_divisible(info.image_size, tiles)
    except ValueError as error:
        raise ImportSetError(
            f"{where}: {error}; sets that pad their canvases cannot be imported"
        ) from error


def _convert_to_pixels(
    raw: RawSet, reading: Reading, dataset: Dataset, fit: FitWhitening
) -> Tensor:
    info, images = dataset.info, raw.images
    mean = _expand_to_channels(reading.mean or info.mean, raw)
    std = _expand_to_channels(reading.std or info.std, raw)
    if reading.zca != "no":
        try:
            images = _find_whitening(raw, reading, dataset, mean, std, fit).unwhiten(images)
        except zca.WhiteningError as error:
            raise ImportSetError(f"{raw.where}: {error}") from error
    return to_pixels(images, mean, std) if reading.normalised else images


def _find_whitening(
    raw: RawSet,
    reading: Reading,
    dataset: Dataset,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    fit: FitWhitening,
) -> zca.Whitening:
    """Load the statistics of a whitening, or compute them from the real training images."""
    if reading.zca_path is None:
        normalization = (mean, std) if reading.normalised else None
        return fit(dataset.train, normalization)
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


def suggest_options(stored: PixelStatistics, reading: Reading) -> list[str]:
    """Return the options that stored pixels call for, unless the reading used them already."""
    if reading.normalised and reading.mean:
        used = ",".join(f"{value:g}" for value in (*reading.mean, *reading.std))
    else:
        used = "yes" if reading.normalised else "no"
    wanted = stored.normalized
    if wanted == "yes" and reading.normalised:
        wanted = used  # with other means and deviations it is normalized too
    if wanted is not None and "," in wanted and reading.mean and reading.std:
        half = [float(part) for part in wanted.split(",")]
        if set(reading.mean) == {half[0]} and {f"{v:.6f}" for v in reading.std} == {
            f"{half[1]:.6f}"
        }:
            wanted = used
    zca_used = "no" if reading.zca == "no" else "yes"
    suggested: list[str] = []
    if stored.zca is not None and stored.zca != zca_used:
        suggested += ["--zca", stored.zca]
    if wanted is not None and wanted != used:
        suggested += ["--normalised", wanted]
    return suggested


def _describe_space(reading: Reading) -> str:
    space = "normalized images" if reading.normalised else "pixels"
    return space if reading.zca == "no" else f"ZCA-whitened {space}"
