"""How much of an iteration is in memory at once. Plain arithmetic: planning predicts peak memory with it."""

REAL_PIXELS = 8192 * 32 * 32
"""Pixels of real images, augmented."""
SYNTHETIC_PIXELS = 512 * 32 * 32
"""Pixels of synthetic images in one backward pass; a ResNet18 keeps about 9 MB for 32 × 32 of them."""
FORWARD_PIXELS = {"cpu": 256 * 32 * 32, "cuda": 4096 * 32 * 32}
"""Pixels of real images in one forward pass: few enough for a processor's caches, many enough to fill a GPU."""


def class_chunk(*, classes: int, image_size: int, real: int, synthetic: int) -> int:
    """Return how many classes are matched at once: as many as keep real and synthetic images within bounds.

    Args:
        classes: of the data set.
        image_size: side in pixels.
        real: real images a class and iteration.
        synthetic: training images of a class's synthetic images, cells of a partition counted singly.
    """
    pixels = image_size**2
    return max(1, min(classes, REAL_PIXELS // (real * pixels), SYNTHETIC_PIXELS // (synthetic * pixels)))


def forward_images(device: str, image_size: int) -> int:
    """Return how many real images go through a network at once on a "cpu" or "cuda" device."""
    return max(1, FORWARD_PIXELS[device] // image_size**2)
