"""How much of an iteration is in memory at once. Plain arithmetic: planning predicts peak memory
with it.

A processor works fastest on few images, whose activations stay in memory that it has already:
measured on the published networks, a forward pass over real images in parts of 32 takes three
quarters of the time of parts of 256, and a step of training two thirds (see
`benchmarks/README.md`). Synthetic images are 128 at once all the same: Winograd's convolutions
transform the weights for each part. A GPU wants as many as fill it. The sizes change nothing but
rounding.
"""

import math

REAL_PIXELS = 8192 * 32 * 32
"""Pixels of real images, augmented."""
SYNTHETIC_PIXELS = {"cpu": 128 * 32 * 32, "cuda": 512 * 32 * 32}
"""Pixels of synthetic images in one backward pass, at most."""
FORWARD_PIXELS = {"cpu": 32 * 32 * 32, "cuda": 4096 * 32 * 32}
"""Pixels of real images in one pass."""
BYTES_PER_PIXEL = 12_000
"""Memory of a pixel in a backward pass through a ConvNet and a ResNet18, which keeps most: 9 MB for
32 × 32 pixels.
"""
FREE_SHARE = 0.6
"""Part of the free memory that the backward passes may take."""


def choose_class_chunk(
    device: str,
    *,
    classes: int,
    image_size: int,
    real: int,
    synthetic: int,
    free: int | None = None,
) -> int:
    """Return how many classes are matched at once: as many as keep real and synthetic images within
    bounds.

    Where that is not all of them, the chunks are as equal as can be: each size of chunk is compiled
        for.

    Args:
        device: "cpu" or "cuda".
        classes: of the data set.
        image_size: side in pixels.
        real: real images a class and iteration.
        synthetic: training images of a class's synthetic images, cells of a partition counted
            singly.
        free: bytes of the device that are free; None where that is not known, or no matter.
    """
    pixels = image_size**2
    most = SYNTHETIC_PIXELS[device]
    if free is not None:
        most = min(most, int(FREE_SHARE * free / BYTES_PER_PIXEL))
    bound = max(1, min(classes, REAL_PIXELS // (real * pixels), most // (synthetic * pixels)))
    return math.ceil(classes / math.ceil(classes / bound))


def choose_forward_images(device: str, image_size: int) -> int:
    """Return how many real images go through a network at once on a "cpu" or "cuda" device."""
    return max(1, FORWARD_PIXELS[device] // image_size**2)
