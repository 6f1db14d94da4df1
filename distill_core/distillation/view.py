"""What a custom loss sees in an iteration: features of real and synthetic images by class."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from distill_core.networks import Network
from distill_core.networks.network import arrange_images


@dataclass(frozen=True, eq=False)
class Features:
    """Images of K classes, N of each, and what the matching network φ makes of them; float32.

    Those of real images have no gradient. Nothing may be changed in place.
    """

    images: Tensor
    """(K, N, channels, size, size), normalized and augmented."""
    maps: Tensor
    """(K, N, C, H, W), the last feature map."""
    blocks: tuple[Tensor, ...]
    """(K, N, C, H, W) of each block of φ (`list_blocks`), in order; empty unless the loss has
    `blocks = True`."""
    network: Network
    """φ, frozen."""

    @cached_property
    def embedding(self) -> Tensor:
        """(K, N, D), the input of the head."""
        return self._by_class(self.network.head_input(self.maps.flatten(0, 1)))

    @cached_property
    def logits(self) -> Tensor:
        """(K, N, classes of the data set)."""
        return self._by_class(self.network.logits(self.maps.flatten(0, 1)))

    def _by_class(self, values: Tensor) -> Tensor:
        by_class: Tensor = values.unflatten(0, tuple(self.maps.shape[:2]))
        return by_class

    def list_tensors(self) -> tuple[Tensor, ...]:
        """Return the tensors that other sets of a cohort share."""
        return (self.images, self.maps, *self.blocks)


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """One chunk of classes of one iteration, as a custom loss sees it."""

    real: Features
    synthetic: Features
    """With gradient; of partitioned images, these are the decoded tiles."""
    labels: Tensor
    """int64 (K,): the classes of this chunk, out of all classes."""
    classes: int
    """All classes of the data set."""
    extractor: Network | None
    """ψ of the iteration, frozen; None unless the method has L_CC."""
    iteration: int
    """From 0."""
    iterations: int
    draw: Callable[[str], torch.Generator]
    """Returns a CPU generator for a purpose, seeded by it, the set's seed and the iteration: the
    same for every chunk, and for every set of a cohort."""


def pass_with_blocks(network: Network, images: Tensor) -> list[Tensor]:
    """Return the feature map of images (N, C, H, W), then the maps of the network's blocks."""
    maps: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda module, given, output: maps.append(output))
        for block in network.list_blocks()
    ]
    try:
        last = network.feature_map(arrange_images(network, images))
    finally:
        for hook in hooks:
            hook.remove()
    return [last, *maps]
