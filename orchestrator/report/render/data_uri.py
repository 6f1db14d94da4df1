"""Pictures inside a page: encoded as text, without loss where that is small enough."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

MAX_BYTES = 400_000
"""What one picture may take in a page."""
_EFFORT = 30
"""Of lossless compression; more takes seconds and saves a few percent."""
_QUALITY = 80
_SHRINK = 0.8
_MAX_SIDE = 16_383
"""Pixels that WebP allows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedPicture:
    """A picture that needs no other file."""

    uri: str
    """`data:` with WebP, which is a third smaller than PNG at the same pixels."""
    width: int
    height: int
    """Of the picture's file, in pixels."""
    exact: bool
    """Whether every pixel is as in the file. A larger picture is compressed with loss, and made
    smaller if needed.
    """


def encode_picture(path: Path, max_bytes: int = MAX_BYTES) -> EncodedPicture:
    """Return a picture for a page.

    Raises:
        OSError: the file cannot be read or is not a picture.
    """
    with Image.open(path) as file:
        image = file.convert("RGB")
    width, height = image.size
    is_small = max(image.size) <= _MAX_SIDE
    data = _encode_webp(image, lossless=True, quality=_EFFORT) if is_small else b""
    is_exact = 0 < len(data) <= max_bytes
    if not is_exact:
        data = _encode_with_loss(image, max_bytes)
    uri = f"data:image/webp;base64,{base64.b64encode(data).decode()}"
    return EncodedPicture(uri=uri, width=width, height=height, exact=is_exact)


def _encode_with_loss(image: Image.Image, max_bytes: int) -> bytes:
    """Return the picture at the largest tried scale that fits, at least as one pixel."""
    width, height = image.size
    scale = min(1.0, _MAX_SIDE / max(image.size))
    while True:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        resized = image if scale == 1 else image.resize(size, Image.Resampling.LANCZOS)
        data = _encode_webp(resized, quality=_QUALITY)
        # One pixel cannot be made smaller, so it is returned even if the limit is absurdly low.
        if len(data) <= max_bytes or size == (1, 1):
            return data
        scale *= _SHRINK


def _encode_webp(image: Image.Image, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "WEBP", **options)
    return stream.getvalue()
