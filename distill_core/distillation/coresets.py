"""Baselines that choose real images instead of learning synthetic ones.

A choice is a tensor of indices (K, ipc) into the training set. Herding (Welling 2009, as in iCaRL)
and k-center (Sener and Savarese 2018) choose in the feature space of a network trained on the real
data. The baseline "Whole" is the training set itself, so nothing is chosen for it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.load import Dataset
from distill_core.distillation.initial_images import draw_initial_indices
from distill_core.networks import Network
from distill_core.runtime.precision import use_precision
from distill_core.settings import CoresetMethod

FEATURE_BATCH = 512


def select_coreset(
    dataset: Dataset,
    method: CoresetMethod,
    *,
    ipc: int,
    seed: int,
    extractor: Network | None = None,
) -> Tensor:
    """Choose `ipc` training images of each class.

    Args:
        dataset: only its training split is read.
        method: "random" draws the images that a distillation with the same seed starts from.
        ipc: images per class.
        seed: used only by "random"; the extractor determines the others.
        extractor: trained network whose embeddings define distances; not needed for "random".

    Returns:
        int64 (K, ipc) on the data set's device.

    Raises:
        DistillationError: a class has too few images.
        ValueError: herding or k-center without an extractor.
    """
    random = draw_initial_indices(dataset, ipc, seed=seed)
    if method == "random":
        return random
    if extractor is None:
        raise ValueError(f"{method} needs an extractor")
    choose = {"herding": choose_by_herding, "k-center": choose_k_center}[method]
    chosen = []
    for label in range(len(random)):
        chosen.append(_choose_in_class(dataset.train, label, choose, extractor, ipc))
    return torch.stack(chosen)


def choose_by_herding(features: Tensor, count: int) -> Tensor:
    """Choose images greedily so that their mean feature stays closest to the mean of all.

    Args:
        features: (N, D).
        count: at most N.

    Returns:
        int64 (count,), in the order of choice.
    """
    mean = features.mean(dim=0)
    chosen: list[Tensor] = []
    total = torch.zeros_like(mean)
    free = torch.zeros(len(features), device=features.device)
    for step in range(1, count + 1):
        distance = ((total + features) / step - mean).square().sum(dim=1) + free
        best = distance.argmin()
        chosen.append(best)
        total = total + features[best]
        free[best] = torch.inf
    return torch.stack(chosen)


def choose_k_center(features: Tensor, count: int) -> Tensor:
    """Choose images greedily so that every image is near a chosen one.

    The first is the image nearest to the mean.

    Args:
        features: (N, D).
        count: at most N.

    Returns:
        int64 (count,), in the order of choice.
    """
    nearest = (features - features.mean(dim=0)).square().sum(dim=1)
    chosen = [nearest.argmin()]
    distance = torch.full_like(nearest, torch.inf)
    for _ in range(1, count):
        distance = torch.minimum(distance, (features - features[chosen[-1]]).square().sum(dim=1))
        # An image equal to a chosen one is at distance 0 too and may still be chosen; −1 rules out
        # only the chosen image itself.
        distance[chosen[-1]] = -1
        chosen.append(distance.argmax())
    return torch.stack(chosen)


@torch.no_grad()
def _choose_in_class(
    images: ImageSet,
    label: int,
    choose: Callable[[Tensor, int], Tensor],
    extractor: Network,
    count: int,
) -> Tensor:
    of_class = (images.labels == label).nonzero().squeeze(1)
    parts = (
        of_class[start : start + FEATURE_BATCH] for start in range(0, len(of_class), FEATURE_BATCH)
    )
    with use_precision("float32"):
        features = torch.cat([extractor.embed(images.normalized(part)) for part in parts])
    return of_class[choose(features.float(), count)]
