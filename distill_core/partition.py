"""Partition of stored images into training images (IDM's multi-formation; Zhao et al., CVPR 2023).

A stored image is a canvas of factor × factor tiles. Decoding cuts out the tiles and upsamples each
to the size of the canvas, so N stored images are factor²·N training images.
"""

import torch.nn.functional as F
from torch import Tensor


def partition(images: Tensor, factor: int) -> Tensor:
    """Cut canvases into tiles and upsample each to full size, bilinearly and differentiably.

    Args:
        images: (N, C, H, W).
        factor: tiles per side; 1 returns the images unchanged.

    Returns:
        (factor²·N, C, H, W): the top-left tiles of all images, then those below, column by column.

    Raises:
        ValueError: the side is not divisible by the factor.
    """
    if factor == 1:
        return images
    count, channels, height, width = images.shape
    require_divisible(height, factor)
    side = height // factor
    tiles = images.reshape(count, channels, factor, side, factor, side).permute(4, 2, 0, 1, 3, 5)
    return F.interpolate(
        tiles.reshape(-1, channels, side, side),
        size=(height, width),
        mode="bilinear",
        align_corners=False,
    )


def tile(images: Tensor, factor: int) -> Tensor:
    """Shrink images and arrange them on canvases; `partition` returns blurred versions of them.

    Args:
        images: (factor²·N, C, H, W), in the order that `partition` returns.
        factor: tiles per side; 1 returns the images unchanged.

    Returns:
        (N, C, H, W).
    """
    if factor == 1:
        return images
    count, channels, height, width = images.shape
    tiles = downscale(images, factor)
    side = tiles.shape[-1]
    grid = tiles.reshape(factor, factor, count // factor**2, channels, side, side)
    return grid.permute(2, 3, 1, 4, 0, 5).reshape(-1, channels, height, width)


def downscale(images: Tensor, factor: int) -> Tensor:
    """Shrink images (N, C, H, W) to 1/factor of their side, bilinearly.

    Raises:
        ValueError: the side is not divisible by the factor.
    """
    require_divisible(images.shape[-1], factor)
    return F.interpolate(images, scale_factor=1 / factor, mode="bilinear", align_corners=False)


def require_divisible(size: int, factor: int) -> None:
    """Raise ValueError if images of this side cannot be cut into factor × factor tiles."""
    if size % factor:
        raise ValueError(f"images of {size} pixels cannot be cut into {factor} × {factor} tiles")
