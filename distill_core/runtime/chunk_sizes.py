"""How much of an iteration is in memory at once.

This is plain arithmetic without torch, because planning predicts peak memory with it.

A CPU is fastest with few images, whose activations stay in its cache. On the published networks a
forward pass over real images in parts of 32 takes three quarters of the time of parts of 256, and a
training step two thirds (see `benchmarks/README.md`). Synthetic images are still processed 128 at a
time, because Winograd's algorithm transforms the weights for each part. A GPU needs enough images
to be fully used. The sizes change only rounding.
"""

import math

REAL_PIXELS = 8192 * 32 * 32
"""Pixels of real images, augmented."""
SYNTHETIC_PIXELS = {"cpu": 128 * 32 * 32, "cuda": 512 * 32 * 32}
"""Pixels of synthetic images in one backward pass, at most."""
FORWARD_PIXELS = {"cpu": 32 * 32 * 32, "cuda": 4096 * 32 * 32}
"""Pixels of real images in one pass."""
BYTES_PER_PIXEL = 12_000
"""Memory per pixel of a backward pass through a ConvNet and a ResNet18, which keeps the most: 9 MB
for 32 × 32 pixels, and a margin."""
FREE_SHARE = 0.6
"""Part of the free memory that backward passes may take."""


def choose_class_chunk(
    device: str,
    *,
    classes: int,
    image_size: int,
    real: int,
    synthetic: int,
    free: int | None = None,
) -> int:
    """Choose how many classes are matched at once: as many as memory allows.

    If not all classes fit, the chunks have sizes as equal as possible, because each size is
    compiled separately.

    Args:
        device: "cpu" or "cuda".
        classes: of the data set.
        image_size: side in pixels.
        real: real images per class and iteration.
        synthetic: training images per class that the synthetic images are cut into.
        free: free bytes of the device; None if unknown or irrelevant.
    """
    pixels = image_size**2
    max_pixels = SYNTHETIC_PIXELS[device]
    if free is not None:
        max_pixels = min(max_pixels, int(FREE_SHARE * free / BYTES_PER_PIXEL))
    by_real = REAL_PIXELS // (real * pixels)
    by_synthetic = max_pixels // (synthetic * pixels)
    bound = max(1, min(classes, by_real, by_synthetic))
    return math.ceil(classes / math.ceil(classes / bound))


def choose_forward_images(device: str, image_size: int) -> int:
    """Choose how many real images go through a network at once on a "cpu" or "cuda" device."""
    return max(1, FORWARD_PIXELS[device] // image_size**2)
