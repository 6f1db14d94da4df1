"""One style for all figures: safe for color-blind readers, one color per method, little ink."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from orchestrator.report.fonts import find_families, make_drawable

INK = "#222222"
MUTED = "#767676"

_COLORS = {
    "Whole": "#000000",
    "Random": "#8c8c8c",
    "Herding": "#b08d57",
    "K-Center": "#7b6a9b",
    "DM": "#56b4e9",
    "DM+IID": "#0060a8",
    "IDM": "#eaa13c",
    "IDM+IID": "#c24100",
    "DM+CC": "#009e73",
    "DM+CM": "#cc79a7",
    "IDM+CC": "#6b8e23",
    "IDM+CM": "#a0468c",
}
_FURTHER = ("#117733", "#882255", "#44aa99", "#aa4499", "#999933", "#332288")

CLASS_COLORS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70",
    "#717581", "#92dadd",
)  # fmt: skip
"""Ten colors of classes that everybody can distinguish, whatever their color vision (Petroff,
"Accessible Color Sequences", arXiv 2107.02270).
"""
SEQUENTIAL = "YlGnBu"
"""Color map of accuracies; lightness alone gives the order."""

_STYLE: Any = {
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": "#bbbbbb",
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "iid",
}


def assign_colors(methods: Iterable[str]) -> dict[str, str]:
    """Return each method's color; an unknown method takes the next free one."""
    names = list(dict.fromkeys(methods))
    unknown = [name for name in names if name not in _COLORS]
    further = {name: _FURTHER[i % len(_FURTHER)] for i, name in enumerate(unknown)}
    return {name: _COLORS.get(name) or further[name] for name in names}


@contextmanager
def use_style() -> Iterator[None]:
    """Draw and save figures inside this context."""
    with matplotlib.rc_context(_STYLE | {"font.family": list(find_families())}):
        yield


def create_figure(width: float, height: float, dpi: int = 160) -> Figure:
    """Return a figure of a size in inches that needs no display and no global state."""
    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def _fix_layout(figure: Figure) -> None:
    """Lay a figure out once, where every file of it would do so anew, which takes most time."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def save_figure(figure: Figure, path: Path, *, colors: int | None = None) -> Path:
    """Write a figure in the format of the path's suffix; equal figures give equal files.

    Args:
        figure: the figure to write.
        path: its folder is made if needed.
        colors: of a PNG, at most 256, which makes it several times smaller; None keeps every
            color.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    make_drawable(figure)
    _fix_layout(figure)
    # Date and software would make files of equal figures differ.
    if path.suffix == ".svg":
        figure.savefig(path, metadata={"Date": None})
    elif colors is None:
        figure.savefig(path, metadata={"Software": None})
    else:
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
        image = Image.fromarray(pixels).quantize(
            colors, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
        image.save(path, optimize=True)
    return path
