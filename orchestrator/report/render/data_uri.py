"""Pictures inside a page: as text in the page itself, exact where that is small enough."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

LARGEST = 400_000
"""Bytes that one picture may take in a page."""
_QUALITY = 80
_SHRINK = 0.8
_LONGEST_SIDE = 16_383
"""Pixels, of WebP."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedPicture:
    """A picture that needs no other file."""

    uri: str
    """`data:` with WebP, which is a third smaller than PNG at the same pixels."""
    width: int
    height: int
    """Of the picture's file, in pixels."""
    exact: bool
    """Whether every pixel is as in the file; a larger picture is compressed with loss, and made
    smaller if need be.
    """


def encode_picture(path: Path, largest: int = LARGEST) -> EncodedPicture:
    """Return a picture for a page.

    Raises:
        OSError: the file cannot be read or is no picture.
    """
    with Image.open(path) as file:
        image = file.convert("RGB")
    width, height = image.size
    data = _encode_webp(image, lossless=True) if max(image.size) <= _LONGEST_SIDE else b""
    exact = 0 < len(data) <= largest
    scale = min(1.0, _LONGEST_SIDE / max(image.size))
    while not exact and (not data or len(data) > largest):
        size = max(1, round(width * scale)), max(1, round(height * scale))
        data = _encode_webp(
            image if scale == 1 else image.resize(size, Image.Resampling.LANCZOS), quality=_QUALITY
        )
        scale *= _SHRINK
        if size == (1, 1):
            break
    uri = f"data:image/webp;base64,{base64.b64encode(data).decode()}"
    return EncodedPicture(uri=uri, width=width, height=height, exact=exact)


def _encode_webp(image: Image.Image, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "WEBP", **options)
    return stream.getvalue()
