"""The images that a distillation starts from, which are the same for every method."""

import torch
from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.distillation.state import DistillationError
from distill_core.partition import require_divisible, tile
from distill_core.seeds import generator
from distill_core.settings import DistillationSettings


def make_initial_images(
    dataset: Dataset, settings: DistillationSettings, *, ipc: int, seed: int
) -> Tensor:
    """Return the images that a distillation starts from, (K, ipc, C, H, W), normalized.

    The first images of a class are the same for every method, so methods are compared from one
    starting point.

    Raises:
        DistillationError: a class has too few images, or the partition does not fit the image size.
    """
    info, images = dataset.info, dataset.train
    try:
        require_divisible(info.image_size, settings.partition)
    except ValueError as error:
        raise DistillationError(
            f"partition {settings.partition} on {info.name}: {error}"
        ) from error
    draws = generator("initial images", info.name, seed)
    if settings.init == "noise":
        shape = (len(info.classes), ipc, info.channels, info.image_size, info.image_size)
        return torch.randn(shape, generator=draws).to(images.device)
    tiles = settings.partition**2
    real = images.normalized(draw_initial_indices(dataset, ipc * tiles, seed=seed))
    if tiles == 1:
        return real
    # The first ipc images become the first tiles of the canvases, so methods with and without a
    # partition have them in common.
    return torch.stack([tile(images_of_class, settings.partition) for images_of_class in real])


def draw_initial_indices(dataset: Dataset, count: int, *, seed: int) -> Tensor:
    """Draw indices (K, count) of distinct real training images of each class.

    A larger count extends a smaller one.

    Raises:
        DistillationError: a class has fewer images than `count`.
    """
    smallest = min(dataset.train.counts)
    if smallest < count:
        raise DistillationError(
            f"{count} images of each class are needed, but the smallest class of"
            f" {dataset.info.name} has {smallest}; lower ipc"
        )
    return dataset.train.draw(generator("initial images", dataset.info.name, seed), count)
