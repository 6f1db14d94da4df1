"""Labels of an imported set: from stored numbers or folders to classes and probabilities."""

from typing import NamedTuple

import torch
from torch import Tensor

from distill_core.datasets.info import DatasetInfo
from distill_core.importers.class_names import ClassMapping, describe, match_classes
from distill_core.importers.raw_set import (
    Answer,
    ImportQuestionError,
    ImportSetError,
    RawSet,
)
from distill_core.importers.reading import SoftLabels

_MIN_AGREEMENT = 0.5
"""Least share of images whose most likely class is that of their folder."""


class SetLabels(NamedTuple):
    """Labels of a set."""

    classes: Tensor
    """int64 (N,); with soft labels the most likely classes."""
    probabilities: Tensor | None
    """float32 (N, K), where the set has soft labels."""
    notes: tuple[str, ...] = ()
    """How stored classes became those of the data set."""


def convert_labels(
    raw: RawSet,
    kind: SoftLabels | None,
    info: DatasetInfo,
    *,
    classes: tuple[int, ...] = (),
    check: bool = True,
) -> SetLabels:
    """Convert the labels of a stored set.

    Args:
        raw: the stored set.
        kind: what soft labels are.
        info: the data set that the set stands for.
        classes: class of each stored class, where it was decided; empty to find it by name.
        check: whether soft labels that contradict their folders are an error.

    Raises:
        ImportSetError: the labels do not fit the data set.
    """
    if raw.labels is None:
        mapping = _map_names(raw, classes, info)
        labels = _number_by_order(raw, info)
        if mapping is not None:
            labels = torch.tensor(mapping.classes)[labels]
        return SetLabels(labels, None, () if mapping is None else (mapping.note,))
    if raw.labels.dim() == 2:
        return _convert_soft(raw, raw.labels, kind, info, classes, check)
    labels = raw.labels
    mapping = _map_names(raw, classes, info)
    if mapping is not None:
        if not 0 <= int(labels.min()) <= int(labels.max()) < len(mapping.classes):
            raise ImportSetError(
                f"{raw.where}: labels from {int(labels.min())} to {int(labels.max())}, but"
                f" {len(mapping.classes)} classes are named"
            )
        labels = torch.tensor(mapping.classes)[labels]
    _require_all_classes(labels, raw.where, info)
    return SetLabels(labels, None, () if mapping is None else (mapping.note,))


def _map_names(raw: RawSet, classes: tuple[int, ...], info: DatasetInfo) -> ClassMapping | None:
    """Return the classes behind the names that a set has; None if it has numbers alone."""
    names = raw.class_folders or raw.class_names
    if classes:
        shown = names or tuple(map(str, range(len(classes))))
        return ClassMapping(classes, f"classes as given: {describe(shown, classes, info)}")
    if not names or names == info.classes:
        return None
    return match_classes(names, info, raw.where)


def _convert_soft(
    raw: RawSet,
    labels: Tensor,
    kind: SoftLabels | None,
    info: DatasetInfo,
    classes: tuple[int, ...],
    check: bool,
) -> SetLabels:
    if labels.shape[1] != len(info.classes):
        raise ImportSetError(
            f"{raw.where}: labels for {labels.shape[1]} classes, {info.name} has"
            f" {len(info.classes)}"
        )
    probabilities = _convert_to_probabilities(labels, kind, raw.where)
    notes: tuple[str, ...] = ()
    if raw.folder_labels is not None:
        notes = _compare_with_folders(raw, raw.folder_labels, probabilities, info, classes, check)
    elif (mapping := _map_names(raw, classes, info)) is not None:
        columns = torch.tensor(mapping.classes)
        probabilities = torch.zeros_like(probabilities).index_copy(1, columns, probabilities)
        notes = (mapping.note,)
    return SetLabels(probabilities.argmax(1), probabilities, notes)


def _compare_with_folders(
    raw: RawSet,
    folders: Tensor,
    probabilities: Tensor,
    info: DatasetInfo,
    classes: tuple[int, ...],
    check: bool,
) -> tuple[str, ...]:
    """Check that soft labels are those of the images in the folders; return notes."""
    mapping = _map_names(raw, classes, info)
    named = folders if mapping is None else torch.tensor(mapping.classes)[folders]
    agreement = float((probabilities.argmax(1) == named).float().mean())
    if check and agreement < _MIN_AGREEMENT:
        raise ImportQuestionError(
            f"{raw.where}: the soft labels name the class of the folder for {agreement:.0%} of the"
            " images, so they have another order of classes or images; name the right file with"
            " --labels FILE, or leave it out with --labels none",
            [
                Answer("classes of the folders, without soft labels", ("--labels", "none")),
                Answer("the soft labels as they are", ("--no-check",)),
            ],
        )
    notes = () if mapping is None else (mapping.note,)
    return (*notes, f"soft labels name the class of the folder for {agreement:.0%} of the images")


def _number_by_order(raw: RawSet, info: DatasetInfo) -> Tensor:
    """Return labels of images that are stored class by class."""
    classes, count = len(info.classes), len(raw.images)
    if count % classes:
        raise ImportSetError(
            f"{raw.where}: {count} images are not the same number for {classes} classes"
        )
    return torch.arange(classes).repeat_interleave(count // classes)


def _require_all_classes(labels: Tensor, where: str, info: DatasetInfo) -> None:
    classes = len(info.classes)
    low, high = int(labels.min()), int(labels.max())
    if not 0 <= low <= high < classes:
        raise ImportSetError(
            f"{where}: labels from {low} to {high}, {info.name} has the classes 0 to {classes - 1}"
            + ("; they count from 1, so save labels − 1" if (low, high) == (1, classes) else "")
        )
    if absent := sorted(set(range(classes)) - set(labels.tolist())):
        raise ImportSetError(
            f"{where}: there is no image of class {absent[0]} ({info.classes[absent[0]]}); --join"
            " makes one set of several files or entries"
        )


def _convert_to_probabilities(labels: Tensor, kind: SoftLabels | None, where: str) -> Tensor:
    if kind == "logits":
        return labels.softmax(1)
    positive = labels.clamp(min=0)
    total = positive.sum(1, keepdim=True)
    if not bool((total > 0).all()):
        raise ImportSetError(
            f"{where}: labels of an image have no positive number, so they are not probabilities"
        )
    return positive / total
