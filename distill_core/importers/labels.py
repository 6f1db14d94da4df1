"""Labels of an imported set: from stored numbers or folders to classes and probabilities."""

from typing import NamedTuple

import torch
from torch import Tensor

from distill_core.datasets.info import DatasetInfo
from distill_core.importers.raw_set import ImportSetError, RawSet
from distill_core.importers.reading import SoftLabels


class SetLabels(NamedTuple):
    """Labels of a set."""

    classes: Tensor
    """int64 (N,); with soft labels the most likely classes."""
    probabilities: Tensor | None
    """float32 (N, K), where the set has soft labels."""


def convert_labels(raw: RawSet, kind: SoftLabels | None, info: DatasetInfo) -> SetLabels:
    """Convert the labels of a stored set.

    Args:
        raw: the stored set.
        kind: what soft labels are.
        info: the data set that the set stands for.

    Raises:
        ImportSetError: the labels do not fit the data set.
    """
    if raw.labels is None:
        return SetLabels(_number_by_order(raw, info), None)
    if raw.labels.dim() == 2:
        if raw.labels.shape[1] != len(info.classes):
            raise ImportSetError(
                f"{raw.where}: labels for {raw.labels.shape[1]} classes, {info.name} has"
                f" {len(info.classes)}"
            )
        probabilities = _convert_to_probabilities(raw.labels, kind, raw.where)
        return SetLabels(probabilities.argmax(1), probabilities)
    labels = raw.labels
    if raw.class_folders:
        labels = torch.tensor(_match_folders(raw, info))[labels]
    _require_all_classes(labels, raw.where, info)
    return SetLabels(labels, None)


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
        )
    if absent := sorted(set(range(classes)) - set(labels.tolist())):
        raise ImportSetError(
            f"{where}: there is no image of class {absent[0]} ({info.classes[absent[0]]})"
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


def _match_folders(raw: RawSet, info: DatasetInfo) -> list[int]:
    """Return the class of each folder, by name or by order.

    The order counts where all folders are numbers, or none has the name of a class.

    Raises:
        ImportSetError: the numbers of folders and classes differ, or only some folders have names
            of classes.
    """
    names = {name.lower(): index for index, name in enumerate(info.classes)}
    folders = [name.lower() for name in raw.class_folders]
    if len(folders) != len(info.classes):
        raise ImportSetError(
            f"{raw.where}: {len(folders)} class folders, {info.name} has {len(info.classes)}"
            " classes"
        )
    known = set(folders) & set(names)
    # Numbers may be padded, such as 00 for the class 0.
    are_numbers = all(name.isdecimal() for name in folders)
    if not known or (len(known) < len(names) and are_numbers):
        return list(range(len(folders)))
    if len(known) < len(names):
        # Sorted by name, the folders would be in another order than the classes.
        other = next(name for name in raw.class_folders if name.lower() not in names)
        raise ImportSetError(
            f"{raw.where}: {len(known)} class folders have names of classes of {info.name}, but"
            f" {other!r} does not, and there is none for {min(set(names) - known)!r}; give every"
            " folder the name or the number of its class"
        )
    return [names[name] for name in folders]
