"""What one image costs in a network. Networks are known by name, so that no torch is needed."""

import functools
from dataclasses import dataclass

from distill_core.networks import parse_network_name
from distill_core.settings import is_custom

FORWARD, TRAINING = 2.0, 6.0
"""Floating-point operations per multiply-add: of a forward pass, and of a forward and a backward
pass. A backward pass counts as two forward passes.
"""


@dataclass(frozen=True, slots=True)
class Work:
    """One image through a network once."""

    macs: float
    """Multiply-adds of the forward pass."""
    activations: float
    """Numbers that the backward pass needs."""

    def scaled(self, factor: float) -> "Work":
        """Return the work times a factor."""
        return Work(self.macs * factor, self.activations * factor)


_WORK_AT_32: dict[tuple[str, int | None], Work] = {
    ("AlexNet", None): Work(245e6, 0.49e6),
    ("VGG", 11): Work(153e6, 0.49e6),
    ("VGG", 13): Work(228e6, 0.78e6),
    ("VGG", 16): Work(313e6, 0.86e6),
    ("VGG", 19): Work(398e6, 0.94e6),
    ("ResNet", 18): Work(555e6, 1.66e6),
    ("ResNet", 34): Work(1159e6, 2.89e6),
    ("ResNet", 50): Work(1298e6, 8.63e6),
    ("MLP", None): Work(0.41e6, 266),
    ("LeNet", None): Work(0.65e6, 14e3),
    ("ViT", None): Work(170e6, 1.13e6),
}
"""Counted on the networks of `distill_core.networks` for images of 32×32×3, without variants; a
test counts them again.
"""

_PARAMETERS: dict[tuple[str, int | None], float] = {
    ("ResNet", 18): 11.2e6,
    ("ResNet", 34): 21.3e6,
    ("ResNet", 50): 23.5e6,
    ("VGG", 11): 9.2e6,
}
DEFAULT_PARAMETERS = 4e6
"""Parameters of networks that are not listed."""


@functools.cache
def count_network_work(name: str, channels: int, image_size: int) -> Work:
    """Return the work of a network on one image.

    Exact for ConvNets except for the classifier, scaled from 32×32 for others. A custom network
    counts as the published ConvNet: nothing is known of it before it is imported.
    """
    architecture = parse_network_name("ConvNet" if is_custom(name) else name)
    if architecture.family == "ConvNet":
        pooled = architecture.pooling != "NP"
        return _count_convnet_work(
            architecture.width or 128, architecture.depth or 3, channels, image_size, pooled
        )
    work = _WORK_AT_32[architecture.family, architecture.depth]
    if architecture.family == "ResNet" and architecture.width:
        thinner = architecture.width / 64
        work = Work(work.macs * thinner**2, work.activations * thinner)
    return work.scaled((image_size / 32) ** 2)


def count_parameters(name: str) -> float:
    """Return the parameters of a network, roughly; close enough for ResNets of 10 classes."""
    architecture = parse_network_name("ConvNet" if is_custom(name) else name)
    width = (architecture.width or 64) / 64 if architecture.family == "ResNet" else 1
    known = _PARAMETERS.get((architecture.family, architecture.depth), DEFAULT_PARAMETERS)
    return known * width**2


def _count_convnet_work(
    width: int, depth: int, channels: int, image_size: int, pooled: bool
) -> Work:
    """Count 3×3 convolutions at full size, each with a norm, an activation and 2×2 pooling."""
    side = 32 if image_size == 28 else image_size  # the networks pad 28×28 to 32×32
    work, inputs = Work(0, 0), channels
    for _ in range(depth):
        positions = side * side
        work = Work(
            work.macs + 9 * inputs * width * positions, work.activations + 3.25 * width * positions
        )
        inputs, side = width, side // 2 if pooled else side
    return work
