"""Stratified splits that depend only on their purpose and the name of the data set."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.info import DatasetError
from distill_core.datasets.raw import EncodedSplit
from distill_core.seeds import generator
from distill_core.settings import HOLD_OUT_FRACTION

TEST_FRACTION = 0.2
"""Share that becomes the test set of a data set without one."""


def hold_out(images: ImageSet, fraction: float = HOLD_OUT_FRACTION) -> tuple[ImageSet, ImageSet]:
    """Split a training set into (train, validation), stratified and the same in every run.

    From a set with only some classes, it holds out the same images as from the whole set.

    Raises:
        DatasetError: a class has fewer than two images.
    """
    held_out = _draw_hold_out_mask(images, fraction).to(images.device)
    train = images.subset((~held_out).nonzero().flatten())
    return train, images.subset(held_out.nonzero().flatten())


def _draw_hold_out_mask(images: ImageSet, fraction: float) -> Tensor:
    """Mark the images (N,) that are held out, on the CPU."""
    counts = images.counts if images.restriction is None else images.restriction.counts
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    mask = draw_stratified_mask(labels, fraction, purpose="hold-out", name=images.name)
    if images.restriction is None:
        return mask
    return torch.cat([mask[labels == c] for c in images.restriction.classes])


def split_off_test(
    images: EncodedSplit, name: str, classes: Sequence[str] = ()
) -> tuple[EncodedSplit, EncodedSplit]:
    """Split the images of a data set without a test set into (train, test).

    Args:
        images: all of them.
        name: name of the data set, which seeds the choice.
        classes: names of the classes, for messages.

    Raises:
        DatasetError: a class has a single image.
    """
    mask = draw_stratified_mask(
        torch.from_numpy(images.labels),
        TEST_FRACTION,
        purpose="test split",
        name=name,
        classes=classes,
    ).numpy()

    def part(chosen: np.ndarray) -> EncodedSplit:
        kept = [images.images[index] for index in chosen.nonzero()[0].tolist()]
        return EncodedSplit(kept, images.labels[chosen])

    return part(~mask), part(mask)


def draw_stratified_mask(
    labels: Tensor, fraction: float, *, purpose: str, name: str, classes: Sequence[str] = ()
) -> Tensor:
    """Mark about `fraction` of every class: at least one image of it, and never all.

    Args:
        labels: int64 (N,) on the CPU.
        fraction: share in (0, 1).
        purpose: what the split is for; it seeds the choice together with `name`.
        name: name of the data set.
        classes: names of the classes, for messages.

    Returns:
        bool (N,).

    Raises:
        DatasetError: the fraction is not in (0, 1), or a class has a single image.
    """
    if not 0 < fraction < 1:
        raise DatasetError(
            f"{name}: the {purpose} fraction is {fraction}; it must be between 0 and 1"
        )
    counts = labels.bincount()
    if (counts == 1).any():
        label = int((counts == 1).nonzero()[0])
        shown = repr(classes[label]) if classes else label
        raise DatasetError(
            f"{name}: class {shown} has one image; the {purpose} needs at least two of each class;"
            " add images to it, or remove the class"
        )
    quotas = (counts * fraction).round().long().clamp(min=1).minimum(counts - 1)
    shuffled = torch.randperm(len(labels), generator=generator(purpose, name))
    by_class = shuffled[labels[shuffled].sort(stable=True).indices]
    ranks = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[by_class]]
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[by_class] = ranks < quotas[labels[by_class]]
    return mask
