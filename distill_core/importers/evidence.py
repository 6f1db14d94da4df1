"""What pixels say about a set, where its layout says nothing or may be wrong.

Canvases of several images have seams where their tiles meet. Besides, their tiles look like images
of their classes and the whole canvases do not, which a linear classifier of the real training
images can tell. Both are measured, because tiles with black margins have no seams, and a few noisy
images look like no class.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_core.datasets.image_set import ImageSet
from distill_core.partition import partition

FACTORS = (2, 3, 4, 5)
MIN_TILE = 4
"""Smallest side of a tile in pixels; nothing is seen on a smaller one."""
_PER_CLASS = 200
"""Real images of each class that the classifier is fitted to."""
_SIDE = 8
"""Side to which images are shrunk for it."""
_SEAM = 1.5
"""Ratio of differences at seams and beside them; whole images of digits reach 1.5, of CIFAR-10 1.3,
canvases begin at 1.8 even with noise as strong as the data."""
_CLEAR_SEAM = 2.5
_NEARLY, _CLEARLY = 0.3, 0.5
"""Values and differences of `measure_class_likeness`; that of real images is about 1."""
_MAX_IMAGES = 2000
MIN_LIKENESS = 0.35
"""Least `measure_class_likeness` of images that look like their classes. It is 0.7 to 1.5 for real
images of CIFAR-10, 1.0 for DATM's set and 2.5 for digits; with classes in a wrong order it is below
0.3 nearly always."""


class _Classifier(NamedTuple):
    """A ridge regression from shrunk normalized images to classes."""

    mean: Tensor
    """(D,)"""
    weights: Tensor
    """(D, K)"""


def find_factor(images: Tensor, labels: Tensor | None, real: ImageSet, supposed: int) -> int:
    """Return the partition factor that the pixels speak for; the supposed one if they say nothing.

    Args:
        images: normalized (N, C, H, W).
        labels: int64 (N,), classes of the data set; None if they are unknown.
        real: training images of the data set.
        supposed: the factor that the layout stands for.
    """
    images, labels = images[:_MAX_IMAGES], None if labels is None else labels[:_MAX_IMAGES]
    side = images.shape[-1]
    factors = [f for f in FACTORS if side % f == 0 and side // f >= MIN_TILE]
    seams = {f: measure_seams(images, f) for f in factors}
    likeness = dict.fromkeys((1, *factors), 0.0)
    if labels is not None and images.shape[1:] == real.images.shape[1:]:
        for f in likeness:
            likeness[f] = measure_class_likeness(partition(images, f), labels.repeat(f * f), real)
    suspects = []
    for f in factors:
        gain = likeness[f] - likeness[1]
        if labels is None:
            is_suspect = seams[f] > _CLEAR_SEAM
        elif seams[f] > _SEAM:
            is_suspect = gain > -_NEARLY and likeness[f] > _NEARLY
        else:
            is_suspect = gain > _CLEARLY and likeness[f] > _CLEARLY
        if is_suspect:
            suspects.append(f)
    if supposed == 1 and suspects:
        # Tiles of a 4 × 4 canvas meet at the seams of 2 × 2 as well.
        return max(suspects, key=lambda f: likeness[f] + seams[f] / 10)
    if supposed > 1 and not suspects and likeness[1] - likeness.get(supposed, 0.0) > _CLEARLY:
        return 1
    return supposed


def measure_seams(images: Tensor, factor: int) -> float:
    """Return how much larger squared differences of neighbors are at the seams than beside them."""
    step = images.shape[-1] // factor
    rows = (images[..., 1:, :] - images[..., :-1, :]).square().mean((0, 1, 3))
    columns = (images[..., 1:] - images[..., :-1]).square().mean((0, 1, 2))
    differences = rows + columns
    seams = [step * k - 1 for k in range(1, factor)]
    # Distilling blurs a seam, so its direct neighbors are left out.
    beside = [place + offset for place in seams for offset in (-3, -2, 2, 3)]
    beside = [place for place in beside if 0 <= place < len(differences) and place not in seams]
    return float(differences[seams].mean() / differences[beside].mean().clamp(min=1e-12))


def measure_class_likeness(images: Tensor, labels: Tensor, real: ImageSet) -> float:
    """Return how far images are on the side of their classes, in standard deviations; 0 by chance.

    Args:
        images: normalized (N, C, H, W).
        labels: int64 (N,).
        real: training images that say what the classes look like.
    """
    fitted = _fit_classifier(real)
    scores = (_shrink(images) - fitted.mean) @ fitted.weights
    own = scores.gather(1, labels[:, None])[:, 0]
    return float((own - scores.mean(1)).mean() / scores.std().clamp(min=1e-12))


def measure_same_run(first: Tensor, second: Tensor, labels: Tensor, real: ImageSet) -> float:
    """Return the correlation of two sets of normalized images, beyond what their classes share."""
    means = torch.stack(
        [real.normalize(real.images_of_class(c)[:_PER_CLASS]).mean(0) for c in range(real.classes)]
    ).to(first)
    one, other = (first - means[labels]).flatten(1), (second - means[labels]).flatten(1)
    return float(F.cosine_similarity(one, other, dim=1).mean())


def _shrink(images: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(images, min(_SIDE, images.shape[-1])).flatten(1)


@lru_cache(maxsize=2)
def _fit_classifier(real: ImageSet) -> _Classifier:
    images, labels = [], []
    for label, count in enumerate(real.counts):
        part = real.images_of_class(label)[:_PER_CLASS].cpu()
        images.append(_shrink(real.normalize(part)))
        labels += [label] * min(count, _PER_CLASS)
    features = torch.cat(images)
    targets = F.one_hot(torch.tensor(labels), real.classes).float()
    mean = features.mean(0)
    centered = features - mean
    covariance = centered.T @ centered / len(centered) + 0.1 * torch.eye(features.shape[1])
    products = centered.T @ (targets - targets.mean(0)) / len(centered)
    return _Classifier(mean, torch.linalg.solve(covariance, products))
