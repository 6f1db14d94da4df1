"""Images in 8 bits as PNG."""

import io

from PIL import Image
from torch import Tensor


def to_picture(pixels: Tensor) -> Image.Image:
    """Return an image of bytes, uint8 (C, H, W), gray where C is 1 and RGB where it is 3."""
    return Image.fromarray(
        pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).contiguous().numpy()
    )


def encode_png(pixels: Tensor) -> bytes:
    """Return the PNG file of an image, uint8 (C, H, W)."""
    file = io.BytesIO()
    to_picture(pixels).save(file, format="PNG")
    return file.getvalue()
