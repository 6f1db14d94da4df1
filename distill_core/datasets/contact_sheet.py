"""A picture of a data set: a row per class, with images as networks see them."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.load import Dataset

PER_CLASS = 10
"""Training images that are shown of each class."""
SMALLEST_CELL = 48
"""Smaller images are enlarged by a whole number, in pixels."""
_GAP, _TEXT = 4, 150
_PAPER, _INK = (255, 255, 255), (0, 0, 0)


def draw_contact_sheet(data: Dataset, per_class: int = PER_CLASS) -> Image.Image:
    """Draw training images of every class, resized and cropped, evenly spread over the class.

    Args:
        data: the data set.
        per_class: images of each class; smaller classes show all of theirs.
    """
    side = data.info.image_size
    scale = max(1, -(-SMALLEST_CELL // side))
    cell = side * scale + _GAP
    sheet = Image.new("RGB", (_TEXT + per_class * cell, len(data.info.classes) * cell), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for label, name in enumerate(data.info.classes):
        top = label * cell
        text = f"{name}\n{data.train.counts[label]} + {data.test.counts[label]}"
        draw.multiline_text((_GAP, top + _GAP), text, fill=_INK, font=font)
        for place, image in enumerate(_choose(data.train, label, per_class)):
            shown = Image.fromarray(image).resize((side * scale, side * scale), 0)
            sheet.paste(shown.convert("RGB"), (_TEXT + place * cell, top))
    return sheet


def _choose(images: ImageSet, label: int, count: int) -> list[np.ndarray]:
    """Return images (H, W) or (H, W, 3) of a class, the first and the last among them."""
    of_class = images.images_of_class(label)
    chosen = torch.linspace(0, len(of_class) - 1, min(count, len(of_class))).round().long()
    pixels = of_class[chosen.to(of_class.device)].permute(0, 2, 3, 1).cpu().numpy()
    return [image.squeeze(-1) if image.shape[-1] == 1 else image for image in pixels]
