"""One look for all figures: colour-blind safe, a colour means the same method everywhere, light ground, little ink."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK = "#222222"
MUTED = "#767676"

_COLOURS = {
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


def colours(methods: Iterable[str]) -> dict[str, str]:
    """Return each method's colour; an unknown method takes the next free one."""
    names = list(dict.fromkeys(methods))
    unknown = [name for name in names if name not in _COLOURS]
    further = {name: _FURTHER[i % len(_FURTHER)] for i, name in enumerate(unknown)}
    return {name: _COLOURS.get(name) or further[name] for name in names}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and save figures inside this context."""
    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float, dpi: int = 160) -> Figure:
    """Return a figure of a size in inches that needs no display and no global state."""
    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure in the format of the path's suffix, with nothing in it that depends on when."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(path, metadata=metadata)
    return path
