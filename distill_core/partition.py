"""Partition of stored images into training images (IDM's multi-formation; Zhao et al., CVPR 2023).

A stored image is a canvas of factor × factor cells. Decoding cuts the cells and upsamples each to
the canvas's size, so a set of N images trains a network as factor²·N images.
"""

import torch.nn.functional as F
from torch import Tensor


def partition(images: Tensor, factor: int) -> Tensor:
    """Cut canvases into their cells and upsample each to full size, bilinearly; differentiable.

    Args:
        images: (N, C, H, W).
        factor: cells a side; 1 returns the images themselves.

    Returns:
        (factor²·N, C, H, W): all images' top-left cells, then those below, column by column.

    Raises:
        ValueError: the side is not divisible by the factor.
    """
    if factor == 1:
        return images
    count, channels, height, width = images.shape
    require_divisible(height, factor)
    cell = height // factor
    cells = images.reshape(count, channels, factor, cell, factor, cell).permute(4, 2, 0, 1, 3, 5)
    return F.interpolate(
        cells.reshape(-1, channels, cell, cell),
        size=(height, width),
        mode="bilinear",
        align_corners=False,
    )


def tile(images: Tensor, factor: int) -> Tensor:
    """Shrink images and lay them out as canvases, so that `partition` gives their blurred selves
    back.

    Args:
        images: (factor²·N, C, H, W), in the order that `partition` returns.
        factor: cells a side; 1 returns the images themselves.

    Returns:
        (N, C, H, W).
    """
    if factor == 1:
        return images
    count, channels, height, width = images.shape
    cells = downscale(images, factor)
    cell = cells.shape[-1]
    grid = cells.reshape(factor, factor, count // factor**2, channels, cell, cell)
    return grid.permute(2, 3, 1, 4, 0, 5).reshape(-1, channels, height, width)


def downscale(images: Tensor, factor: int) -> Tensor:
    """Shrink images (N, C, H, W) to a factor-th of their side, bilinearly.

    Raises:
        ValueError: the side is not divisible by the factor.
    """
    require_divisible(images.shape[-1], factor)
    return F.interpolate(images, scale_factor=1 / factor, mode="bilinear", align_corners=False)


def require_divisible(size: int, factor: int) -> None:
    """Raise ValueError where images of this side cannot be cut into factor × factor cells."""
    if size % factor:
        raise ValueError(f"images of {size} pixels cannot be cut into {factor} × {factor} cells")
