"""Images in 8 bits as PNG."""

import io

from PIL import Image
from torch import Tensor


def to_picture(pixels: Tensor) -> Image.Image:
    """Convert uint8 (C, H, W) to an image, gray if C is 1 and RGB if it is 3."""
    if len(pixels) == 1:
        return Image.fromarray(pixels[0].numpy())
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def encode_png(pixels: Tensor) -> bytes:
    """Encode an image, uint8 (C, H, W), as a PNG file."""
    file = io.BytesIO()
    to_picture(pixels).save(file, format="PNG")
    return file.getvalue()
