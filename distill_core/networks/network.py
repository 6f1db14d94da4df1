"""The interface of all networks, and layers that several families share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from distill_core.settings import SettingsError


class Network(nn.Module, ABC):
    """An image classifier in three parts: feature map, head input, head.

    Features and logits can be computed from one pass up to the feature map.
    """

    head_name: ClassVar[str] = "classifier"
    """Name of the last linear layer, as in published checkpoints."""
    embeddings: ClassVar[tuple[str, ...]] = ()
    """Parameters of the network itself that are drawn from N(0, 0.02²): positions, tokens."""
    batch_statistics: ClassVar[bool] = False
    """Whether code of the network, other than torch's layers, mixes the images of a pass."""

    @property
    def head(self) -> nn.Linear:
        """The last linear layer."""
        head: nn.Linear = getattr(self, self.head_name)
        return head

    def list_blocks(self) -> Sequence[nn.Module]:
        """Return modules whose outputs (N, C, H, W) losses may match, in order.

        By default these are the activations in `features`.
        """
        layers = getattr(self, "features", None)
        if not isinstance(layers, nn.Sequential):
            return ()
        return [layer for layer in layers if isinstance(layer, _ACTIVATION_TYPES)]

    @abstractmethod
    def feature_map(self, x: Tensor) -> Tensor:
        """Return the last feature map, (N, C, H, W), of images (N, channels, size, size)."""

    def head_input(self, feature_map: Tensor) -> Tensor:
        """Return the input of the head, (N, D), given `feature_map(x)`."""
        return feature_map.flatten(1)

    def logits(self, feature_map: Tensor) -> Tensor:
        """Return the class scores, (N, classes), given `feature_map(x)`."""
        scores: Tensor = self.head(self.head_input(feature_map))
        return scores

    def embed(self, x: Tensor) -> Tensor:
        """Return the input of the head, (N, D), given images."""
        return self.head_input(self.feature_map(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return the class scores, (N, classes), given images."""
        return self.logits(self.feature_map(x))


_ACTIVATION_TYPES = (nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.Tanh)


def arrange_images(network: Network, images: Tensor) -> Tensor:
    """Return images (N, C, H, W) in the order in memory that a network can rely on.

    Networks of this package take any order. Custom ones get torch's default order, so `.view`
    works on their activations; of one-channel images the order of channels is ambiguous, and
    convolutions would otherwise pick the other one.
    """
    _, channels, height, width = images.shape
    default = (channels * height * width, height * width, width, 1)
    if type(network).__module__.startswith("distill_core.") or images.stride() == default:
        return images
    return images.clone(memory_format=torch.contiguous_format)


class Block(NamedTuple):
    """A convolution that keeps the side, norm, activation, and optionally a 2×2 pooling."""

    width: int
    kernel: int
    pooled: bool


class Stack(NamedTuple):
    """Layers and the shape of their output."""

    layers: nn.Sequential
    channels: int
    side: int


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "R": partial(nn.ReLU, inplace=True),
    "L": partial(nn.LeakyReLU, inplace=True),
    "S": nn.Sigmoid,
    "Swish": nn.SiLU,
}
POOLINGS: dict[str, Callable[[int], nn.Module]] = {"AP": nn.AvgPool2d, "MP": nn.MaxPool2d}
GROUPS = 4


def build_norm_layers(norm: str, channels: int, side: int) -> list[nn.Module]:
    """Build the norm of maps (N, channels, side, side): a list of one layer, empty for NN."""
    if norm == "NN":
        return []
    if norm == "BN":
        return [nn.BatchNorm2d(channels)]
    if norm == "LN":
        return [nn.LayerNorm([channels, side, side])]
    if norm == "GN" and channels % GROUPS:
        raise SettingsError(f"group norm needs a width that {GROUPS} divides, not {channels}")
    return [nn.GroupNorm(channels if norm == "IN" else GROUPS, channels)]


def padded_side(image_size: int) -> int:
    """Return the side to which a first layer pads images: 28×28 digits become 32×32."""
    return 32 if image_size == 28 else image_size


def build_stack(
    blocks: list[Block],
    *,
    channels: int,
    image_size: int,
    norm: str,
    activation: str = "R",
    pooling: str = "MP",
) -> Stack:
    """Build the layers of `blocks` for images (N, channels, image_size, image_size).

    Raises:
        SettingsError: the images are too small for all poolings, or the width does not fit the
            norm.
    """
    side = padded_side(image_size)
    margin = (side - image_size) // 2
    layers: list[nn.Module] = []
    for before, block in pairwise([Block(channels, 0, False), *blocks]):
        padding = block.kernel // 2 + (0 if layers else margin)
        layers.append(nn.Conv2d(before.width, block.width, block.kernel, padding=padding))
        layers += build_norm_layers(norm, block.width, side)
        layers.append(ACTIVATIONS[activation]())
        if block.pooled:
            layers.append(POOLINGS[pooling](2))
            side //= 2
    if side < 1:
        halvings = sum(block.pooled for block in blocks)
        raise SettingsError(
            f"images of {image_size} pixels cannot be halved {halvings} times; use a shallower"
            " network"
        )
    return Stack(nn.Sequential(*layers), blocks[-1].width, side)
