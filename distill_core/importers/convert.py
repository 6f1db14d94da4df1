"""From stored numbers to a `SyntheticSet`: what is still open is decided, and a decision that
cannot be is an error.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from distill_core.datasets.info import DatasetInfo
from distill_core.datasets.load import Dataset
from distill_core.importers import zca
from distill_core.importers.pixels import PixelStatistics, find_contradiction
from distill_core.importers.raw_set import FoundSets, ImportSetError, RawSet
from distill_core.importers.reading import Reading, ReadingOptions, SoftLabels
from distill_core.importers.safe_loading import compute_digest
from distill_core.importers.whitening import compute_real_whitening, load_whitening
from distill_core.partition import require_divisible
from distill_core.synthetic_set import SyntheticSet, to_pixels


def decide_reading(found: FoundSets, number: int, options: ReadingOptions) -> Reading:
    """Join what the layout says with what the user says of one of its sets; the user wins.

    Raises:
        ImportSetError: something is still open; the message asks for the option and says what the
            pixels look like.
    """
    raw = found.sets[number]
    if raw.own is not None:
        return Reading(layout="own", number=number, partition=raw.own.partition)
    whitened = raw.zca if options.zca is None else options.zca
    # Sets are whitened from pixels, so that what a whitened file says of normalization has to be
    # said by the user.
    normalized = (
        options.normalized
        if options.normalized is not None
        else False
        if whitened
        else raw.normalized
    )
    cells = options.partition or raw.partition
    soft = _soft_labels(raw, options.soft_labels)
    open_questions = [
        *(["whether they are ZCA-whitened (--zca yes or no)"] if whitened is None else []),
        *(
            ["whether they are normalized (--normalised yes, no or MEANS,STDS)"]
            if normalized is None
            else []
        ),
        *(
            ["into how many cells a side an image is cut (--factor 1, 2, …)"]
            if cells is None
            else []
        ),
    ]
    if open_questions or soft == "open" or whitened is None or normalized is None or cells is None:
        unsaid = (
            f"the file does not say of its images {', nor '.join(open_questions)}"
            if open_questions
            else ""
        )
        if None in (whitened, normalized):
            unsaid += f". They have {_hint(PixelStatistics.of(raw.images), whitened, normalized)}"
        labels = _labels_question(raw) if soft == "open" else ""
        raise ImportSetError(
            f"{raw.where}: {'. Besides, '.join(part for part in (unsaid, labels) if part)}"
        )
    return Reading(
        layout=found.layout,
        number=number,
        normalised=normalized,
        mean=options.mean,
        std=options.std,
        zca=_whitening_name(whitened, options.zca_path),
        zca_path=options.zca_path if whitened else None,
        partition=cells,
        soft_labels=soft,
    )


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
    """Make the set that networks train on.

    Args:
        raw: the stored numbers.
        reading: how they are meant.
        dataset: what the set stands for; its training images are read where a whitening has to be
            recomputed.
        method: name of the method.
        spec: how the set was made, as far as it is known.
        key: of the unit that imports it.
        check: whether pixels that make no sense are an error.

    Raises:
        ImportSetError: the set does not fit the data set, or its pixels contradict the reading.
    """
    info = dataset.info
    if raw.own is not None:
        _require_same(raw.own, raw.where, info)
        made = {**spec, "made": raw.own.spec}
        return _trainable(
            replace(raw.own, method=method, mean=info.mean, std=info.std, spec=made, key=key),
            raw.where,
        )
    raw = _with_channels_of(raw, info)
    _require_size(raw.images, raw.where, info, reading.partition)
    pixels = _pixels(raw, reading, dataset)
    if check and (problem := find_contradiction(pixels, info)):
        raw_pixels = PixelStatistics.of(raw.images)
        raise ImportSetError(
            f"{raw.where}: read as {_words(reading)}, {problem}. As stored they have {raw_pixels}:"
            f" this looks like {raw_pixels.description}{_other_reading(raw_pixels, reading)}."
            " --no-check imports them all the same"
        )
    labels, soft = _labels(raw, reading.soft_labels, info)
    converted = SyntheticSet(
        images=pixels,
        labels=labels,
        soft_labels=soft,
        dataset=info.name,
        dataset_version=info.version,
        class_names=info.classes,
        mean=info.mean,
        std=info.std,
        ipc=count_images_per_class(len(labels), len(info.classes)),
        partition=reading.partition,
        method=method,
        spec=dict(spec),
        key=key,
    )
    return _trainable(converted, raw.where)


def _trainable(converted: SyntheticSet, where: str) -> SyntheticSet:
    if not bool(converted.training_images()[0].isfinite().all()):
        raise ImportSetError(
            f"{where}: images hold numbers so large that they overflow when they are normalized"
        )
    return converted


def count_images_per_class(images: int, classes: int) -> int:
    """Return the stored images a class, rounded where classes differ; at least 1."""
    return max(1, round(images / classes))


def compute_content_digest(found: FoundSets, path: Path) -> str:
    """Return the SHA-256 of what was read at a path."""
    return compute_digest(found.files, path if path.is_dir() else path.parent)


def _require_same(own: SyntheticSet, where: str, info: DatasetInfo) -> None:
    _require_size(own.images, where, info, own.partition)
    if (own.dataset, own.class_names) != (info.name, info.classes):
        raise ImportSetError(
            f"{where} is a set of {own.dataset} with {len(own.class_names)} classes, not of"
            f" {info.name} with {len(info.classes)}"
        )


def _with_channels_of(raw: RawSet, info: DatasetInfo) -> RawSet:
    """Image files of gray images have one channel or three equal ones; make it as many as the data
    set has.
    """
    images = raw.images
    if (
        raw.class_folders
        and images.shape[1] == 3
        and info.channels == 1
        and torch.equal(images[:, :1], images[:, 1:2])
    ):
        return replace(raw, images=images[:, :1])
    if raw.class_folders and images.shape[1] == 1:
        return replace(raw, images=images.expand(-1, info.channels, -1, -1))
    return raw


def _require_size(images: Tensor, where: str, info: DatasetInfo, cells: int) -> None:
    expected = (info.channels, info.image_size, info.image_size)
    if tuple(images.shape[1:]) != expected:
        stored = " × ".join(map(str, images.shape[1:]))
        raise ImportSetError(
            f"{where}: images of {stored}, those of {info.name} are"
            f" {' × '.join(map(str, expected))}"
        )
    try:
        require_divisible(info.image_size, cells)
    except ValueError as error:
        raise ImportSetError(
            f"{where}: {error}; sets that pad their canvases cannot be imported"
        ) from error


def _pixels(raw: RawSet, reading: Reading, dataset: Dataset) -> Tensor:
    info, images = dataset.info, raw.images
    mean, std = (
        _a_channel(v or own, raw) for v, own in ((reading.mean, info.mean), (reading.std, info.std))
    )
    if reading.zca != "no":
        try:
            if reading.zca_path is None:
                normalization = (mean, std) if reading.normalised else None
                whitening = compute_real_whitening(dataset.train, normalization)
            elif reading.zca != _whitening_name(True, reading.zca_path):
                raise ImportSetError(
                    f"{reading.zca_path} has changed since it was decided how {raw.where} is read"
                )
            else:
                whitening = load_whitening(Path(reading.zca_path))
            images = whitening.unwhiten(images)
        except zca.WhiteningError as error:
            raise ImportSetError(f"{raw.where}: {error}") from error
    return to_pixels(images, mean, std) if reading.normalised else images


def _a_channel(values: tuple[float, ...], raw: RawSet) -> tuple[float, ...]:
    channels = raw.images.shape[1]
    if len(values) not in (1, channels):
        raise ImportSetError(
            f"{raw.where}: {len(values)} values of the normalization for {channels} channels"
        )
    return values * channels if len(values) == 1 else values


def _other_reading(look: PixelStatistics, reading: Reading) -> str:
    """Suggest the options that images look like and that were not what they were read with."""
    read = {
        "--zca": "no" if reading.zca == "no" else "yes",
        "--normalised": "yes" if reading.normalised else "no",
    }
    likely = {"--zca": look.zca, "--normalised": look.normalized}
    other = [
        f"{option} {value}" for option, value in likely.items() if value and value != read[option]
    ]
    return f"; pass {' '.join(other)}" if other else ""


def _hint(look: PixelStatistics, whitened: bool | None, normalized: bool | None) -> str:
    """Say what images look like, and which of the options that are still open say so."""
    suggested = [
        *([f"--zca {look.zca}"] if whitened is None and look.zca else []),
        *([f"--normalised {look.normalized}"] if normalized is None and look.normalized else []),
    ]
    if (
        whitened is False and look.zca == "yes"
    ):  # what was said is contradicted, so that nothing follows for the rest
        suggested = []
    return f"{look}: this looks like {look.description}" + (
        f"; pass {' '.join(suggested)}" if suggested else ""
    )


def _soft_labels(raw: RawSet, asked: SoftLabels | None) -> SoftLabels | Literal["open"] | None:
    """Say what the labels are if they are not classes; "open" if neither the numbers nor the user
    say it.
    """
    if raw.labels is None or raw.labels.dim() == 1:
        return None
    if asked is not None:
        return asked
    if bool((raw.labels >= 0).all()) and bool(
        ((raw.labels.double().sum(1) - 1).abs() < 1e-3).all()
    ):
        return "probabilities"
    return "open"


def _labels_question(raw: RawSet) -> str:
    labels = torch.as_tensor(raw.labels)
    between = f"{float(labels.min()):.2f} and {float(labels.max()):.2f}".replace("-", "−")
    return (
        f"the labels are numbers for each class between {between} that do not sum to 1; pass"
        " --soft-labels logits (DATM) or --soft-labels probabilities (negative ones become 0, and"
        " each image's are scaled to sum to 1)"
    )


def _labels(
    raw: RawSet, kind: SoftLabels | None, info: DatasetInfo
) -> tuple[Tensor, Tensor | None]:
    """Return classes, int64 (N,), and probabilities, float32 (N, K), where the set has them."""
    classes, count = len(info.classes), len(raw.images)
    if raw.labels is None:
        if count % classes:
            raise ImportSetError(
                f"{raw.where}: {count} images are not the same number for {classes} classes"
            )
        return torch.arange(classes).repeat_interleave(count // classes), None
    if raw.labels.dim() == 2:
        if raw.labels.shape[1] != classes:
            raise ImportSetError(
                f"{raw.where}: labels for {raw.labels.shape[1]} classes, {info.name} has {classes}"
            )
        soft = _probabilities(raw.labels, kind, raw.where)
        return soft.argmax(1), soft
    labels = raw.labels
    if raw.class_folders:
        labels = torch.tensor(_classes_of(raw, info))[labels]
    low, high = int(labels.min()), int(labels.max())
    if not 0 <= low <= high < classes:
        raise ImportSetError(
            f"{raw.where}: labels from {low} to {high}, {info.name} has the classes 0 to"
            f" {classes - 1}"
        )
    if absent := sorted(set(range(classes)) - set(labels.tolist())):
        raise ImportSetError(
            f"{raw.where}: there is no image of class {absent[0]} ({info.classes[absent[0]]})"
        )
    return labels, None


def _probabilities(labels: Tensor, kind: SoftLabels | None, where: str) -> Tensor:
    if kind == "logits":
        return labels.softmax(1)
    positive = labels.clamp(min=0)
    total = positive.sum(1, keepdim=True)
    if not bool((total > 0).all()):
        raise ImportSetError(
            f"{where}: labels of an image have no positive number, so they are no probabilities"
        )
    return positive / total


def _classes_of(raw: RawSet, info: DatasetInfo) -> list[int]:
    """Return the class of each folder: by name, or by order where they are numbers or none has a
    class's name.

    Raises:
        ImportSetError: there are more or fewer folders than classes, or some have names of classes
            and others do not.
    """
    names = {name.lower(): index for index, name in enumerate(info.classes)}
    folders = [name.lower() for name in raw.class_folders]
    if len(folders) != len(info.classes):
        raise ImportSetError(
            f"{raw.where}: {len(folders)} class folders, {info.name} has {len(info.classes)}"
            " classes"
        )
    known = set(folders) & set(names)
    if not known or (
        len(known) < len(names) and all(name.isdecimal() for name in folders)
    ):  # such as 00 for 0
        return list(range(len(folders)))
    if len(known) < len(names):  # their order would be another than that of the classes
        other, missing = (
            next(name for name in raw.class_folders if name.lower() not in names),
            min(set(names) - known),
        )
        raise ImportSetError(
            f"{raw.where}: {len(known)} class folders have names of classes of {info.name}, but"
            f" {other!r} is none of them, and there is none for {missing!r}; give every folder the"
            " name or the number of its class"
        )
    return [names[name] for name in folders]


def _whitening_name(whitened: bool, path: str | None) -> str:
    if not whitened:
        return "no"
    return "real data" if path is None else compute_digest([Path(path)], Path(path).parent)


def _words(reading: Reading) -> str:
    space: Literal["normalized images", "pixels"] = (
        "normalized images" if reading.normalised else "pixels"
    )
    return space if reading.zca == "no" else f"ZCA-whitened {space}"
