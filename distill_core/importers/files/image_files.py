"""Reading image files of a set, all of one size."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from distill_core.importers.raw_set import ImportSetError

MAX_SIDE = 4096
"""Largest side of an image in pixels; a file may claim any size."""
MAX_BYTES = 16 * 2**30
"""Most memory that the images of a set may take."""


class ImageSource(NamedTuple):
    """An encoded image, and what messages call it."""

    content: Path | bytes
    where: str


def read_stacked(sources: Sequence[ImageSource]) -> Tensor:
    """Read images as float32 (N, C, H, W) in [0, 1], with one channel if all are gray.

    Raises:
        ImportSetError: one is no image, damaged, not square, or of another size than the first.
    """
    images = []
    for number, source in enumerate(sources):
        images.append(_decode(source))
        first = images[0]
        if images[-1].shape[1:] != first.shape[1:]:
            raise ImportSetError(
                f"{source.where} is {_format_size(images[-1])}, {sources[0].where} is"
                f" {_format_size(first)}; all images of a set must have one size"
            )
        if number == 0 and 4 * first.numel() * len(sources) > MAX_BYTES:
            raise ImportSetError(
                f"{source.where}: {len(sources)} images of {_format_size(first)} do not fit into"
                " memory"
            )
    channels = max(len(image) for image in images)
    return torch.stack([image.expand(channels, -1, -1) for image in images]).float() / 255


def _decode(source: ImageSource) -> Tensor:
    """Read an image as uint8 (C, H, W), with one channel if it is gray."""
    content, where = source
    if isinstance(content, Path) and not content.is_file():
        # A FIFO would wait for a writer forever.
        raise ImportSetError(f"{where} is not a regular file, or a link to nothing")
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            _require_plain(image, where)
            gray = image.mode in ("1", "L", "LA")
            pixels = np.array(image.convert("L" if gray else "RGB"))
    except ImportSetError:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        raise ImportSetError(f"{where} is not an image, or is damaged: {error}") from error
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)


def _require_plain(image: Image.Image, where: str) -> None:
    """Check size and depth, which the header says, before pixels are decoded."""
    width, height = image.size
    if width != height:
        raise ImportSetError(f"{where}: {width} × {height} pixels; images must be square")
    if width > MAX_SIDE:
        raise ImportSetError(f"{where}: {width} × {height} pixels; at most {MAX_SIDE} are read")
    if image.mode.startswith(("I", "F")):
        raise ImportSetError(
            f"{where} has more than 8 bits per channel (mode {image.mode}), which would be cut off;"
            " convert it to 8 bits"
        )


def _format_size(image: Tensor) -> str:
    channels, height, width = image.shape
    return f"{width} × {height} × {channels}"
