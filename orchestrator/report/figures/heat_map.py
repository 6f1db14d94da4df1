"""A heat map of accuracies: a square per point, with its accuracy written in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from orchestrator.report.entries import format_percent
from orchestrator.report.figures.drawing import name_ticks
from orchestrator.report.figures.style import INK, SEQUENTIAL
from orchestrator.report.model import MISSING

Array = NDArray[np.float64]

WIDTH, HEIGHT = 0.62, 0.44
"""Of a square, in inches."""
_EMPTY = "#f3f3f3"
_FRAME = "#e8590c"
_DARK = 0.55
"""Squares above this part of the range are dark, and their text is white."""


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """Accuracies over two axes of evenly spaced categories; the first row is at the bottom."""

    values: Array
    """(rows, columns) fractions, NaN where there is no result."""
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_title: str
    column_title: str


def draw_heat_map(ax: Axes, shown: HeatMap, limits: tuple[float, float]) -> None:
    """Draw a map whose colors span the given fractions."""
    # A range of no width would divide by zero.
    low, high = limits if limits[1] > limits[0] else (limits[0] - 0.01, limits[0] + 0.01)
    ax.imshow(
        np.ma.masked_invalid(shown.values),
        cmap=matplotlib.colormaps[SEQUENTIAL].with_extremes(bad=_EMPTY),
        vmin=low,
        vmax=high,
        aspect="auto",
        origin="lower",
    )
    for (y, x), value in np.ndenumerate(shown.values):
        is_dark = (value - low) / (high - low) > _DARK
        ax.text(
            x,
            y,
            MISSING if np.isnan(value) else format_percent(value),
            ha="center",
            va="center",
            fontsize=8.5,
            color="white" if is_dark else INK,
            gid="value",
        )
    name_ticks(ax.xaxis, shown.columns, WIDTH)
    ax.set_yticks(range(len(shown.rows)), shown.rows)
    _draw_gaps(ax, shown)
    ax.set_xlabel(shown.column_title)
    ax.set_ylabel(shown.row_title)


def find_best(values: Array, axis: Literal[0] | None = None) -> NDArray[np.bool_]:
    """Return where the highest accuracy is, of the map or with axis 0 of each column.

    Nothing is marked where all accuracies print the same.
    """
    if axis is None:
        return find_best(values.reshape(-1, 1), axis=0).reshape(values.shape)
    marked = np.zeros(values.shape, dtype=np.bool_)
    for column, numbers in enumerate(values.T):
        printed = {format_percent(number) for number in numbers if np.isfinite(number)}
        if len(printed) > 1:
            marked[np.nanargmax(numbers), column] = True
    return marked


def mark_best(ax: Axes, where: NDArray[np.bool_]) -> dict[str, Artist]:
    """Print squares bold with a star in the corner, and return the star for a legend, if any."""
    texts = {text.get_position(): text for text in ax.texts if text.get_gid() == "value"}
    for y, x in np.argwhere(where):
        text = texts[x, y]
        text.set_fontweight("bold")
        ax.plot(
            x + 0.36, y + 0.3, marker="*", markersize=5, color=text.get_color(), markeredgewidth=0
        )
    star = Line2D([], [], linestyle="none", marker="*", markersize=7, color=INK, markeredgewidth=0)
    return {"best": star} if where.any() else {}


def draw_frame(ax: Axes, row: int, column: int) -> Artist:
    """Draw a frame around a square, and return one for a legend."""
    style: Any = {"fill": False, "edgecolor": _FRAME, "linewidth": 2}
    ax.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, zorder=3, **style))
    return Rectangle((0, 0), 1, 1, **style)


def find_limits(maps: Sequence[HeatMap]) -> tuple[float, float]:
    """Return the lowest and the highest accuracy of some maps."""
    values = np.concatenate([shown.values.ravel() for shown in maps])
    return float(np.nanmin(values)), float(np.nanmax(values))


def _draw_gaps(ax: Axes, shown: HeatMap) -> None:
    """Draw white gaps between the squares, and nothing else of the axes."""
    rows, columns = shown.values.shape
    ax.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    ax.set_box_aspect(HEIGHT * rows / (WIDTH * columns))
    ax.set_anchor("W")
    ax.grid(False)
    ax.grid(True, which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
