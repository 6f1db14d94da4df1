"""A canvas for images in exact pixels, with text."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from orchestrator.report.figures.style import INK, create_figure

Image = NDArray[np.uint8]

_DPI = 100


class Canvas:
    """A white picture in pixel coordinates from the top left.

    Images are pasted exactly; text is drawn over them.
    """

    def __init__(self, *, width: int, height: int) -> None:
        self._pixels = np.full((height, width, 3), 255, dtype=np.uint8)
        self._figure = create_figure(width / _DPI, height / _DPI, _DPI)

    def paste(self, left: int, top: int, image: Image, scale: int) -> None:
        """Paste an image (H, W, 3), each of its pixels as a square of `scale` pixels."""
        pixels = image.repeat(scale, axis=0).repeat(scale, axis=1)
        self._pixels[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12,
        weight: str = "normal",
        align: str = "left",
        color: str = INK,
    ) -> None:
        """Write text that is centered vertically at y."""
        height, width = self._pixels.shape[:2]
        style: Any = {
            "fontsize": size * 72 / _DPI,
            "fontweight": weight,
            "ha": align,
            "va": "center",
            "color": color,
        }
        self._figure.text(x / width, 1 - y / height, text, **style)

    def build_figure(self) -> Figure:
        """Return the picture as a figure."""
        self._figure.figimage(self._pixels, origin="upper")
        return self._figure


def measure_text(texts: Iterable[str], size: int = 12) -> int:
    """Return a width in pixels that the longest of some texts fits into."""
    return 14 + round(0.66 * size * max((len(text) for text in texts), default=0))
