"""How distillation changes a class's features: their spread and covariance, initial against
synthetic images.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from orchestrator.report.figures.drawing import (
    Chart,
    add_legend,
    create_panels,
    format_range,
    name_ticks,
    scale_from_zero,
)
from orchestrator.report.figures.style import INK, MUTED, assign_colors
from orchestrator.report.results import FeatureView

Array = NDArray[np.float64]

_ACROSS = 0.75
"""Of a method, in inches."""
_MEASURES = {
    "spread": ("Spread", "variance of a class, summed over features"),
    "covariance_distance": ("Covariance", "Frobenius distance to real images"),
}


def draw_change_chart(views: Sequence[FeatureView], name: tuple[object, ...], title: str) -> Chart:
    """Draw the sets of all methods and seeds that share everything else."""
    sets: dict[str, list[pd.DataFrame]] = {}
    for view in views:
        sets.setdefault(view.cell.method, []).append(view.rows)
    figure = draw_changes(sets, title)
    return Chart(
        figure=figure, name=name, title=title, group="features", caption=_build_caption(sets)
    )


def draw_changes(sets: Mapping[str, Sequence[pd.DataFrame]], title: str) -> Figure:
    """Draw, for each method, every class's spread and covariance distance of the initial and of the
    synthetic images.

    Args:
        sets: rows of `features` of each set, by method; a class is drawn at its mean over sets.
        title: of the figure.
    """
    palette = assign_colors(sets)
    figure = create_panels(
        title, 1, 2, width=1.0 + _ACROSS * max(len(sets), 3), height=3.1, beside=1.1
    )
    for ax, (measure, (name, unit)) in zip(figure.axes, _MEASURES.items(), strict=True):
        drawn = [np.zeros(0)]
        for place, (method, frames) in enumerate(sets.items()):
            drawn.append(
                _draw_dumbbells(ax, place, compute_class_means(frames, measure), palette[method])
            )
        if measure == "spread":
            drawn.append(_draw_real_line(ax, sets))
        scale_from_zero(ax, np.concatenate(drawn))
        name_ticks(ax.xaxis, list(sets), _ACROSS)
        ax.set_xlim(-0.6, len(sets) - 0.4)
        ax.grid(False, axis="x")
        ax.set_title(name)
        ax.set_ylabel(unit)
    add_legend(figure, _build_handles())
    return figure


def compute_class_means(frames: Sequence[pd.DataFrame], measure: str) -> pd.DataFrame:
    """Return a measure of each class (a row) and origin (a column), its mean over sets."""
    return pd.concat(frames).pivot_table(
        index="label", columns="origin", values=measure, aggfunc="mean"
    )


def _draw_dumbbells(ax: Axes, place: int, means: pd.DataFrame, color: str) -> Array:
    """Draw a line a class from the initial to the synthetic images, and the mean over classes as a
    bar at each end.
    """
    ends = {
        origin: place + shift
        for origin, shift in (("initial", -0.22), ("synthetic", 0.22))
        if origin in means
    }
    values = means[list(ends)].to_numpy(dtype=np.float64)
    if len(ends) == 2:
        ax.plot(list(ends.values()), values.T, color=color, linewidth=0.8, alpha=0.45)
    for column, (origin, x) in enumerate(ends.items()):
        face = "white" if origin == "initial" else color
        points = values[:, column]
        ax.plot(
            np.full(len(points), x),
            points,
            "o",
            markersize=4,
            color=color,
            markerfacecolor=face,
            zorder=3,
        )
        if np.isfinite(points).any():
            ax.hlines(np.nanmean(points), x - 0.14, x + 0.14, color=INK, linewidth=2, zorder=4)
    return values.ravel()


def _draw_real_line(ax: Axes, sets: Mapping[str, Sequence[pd.DataFrame]]) -> Array:
    means = compute_class_means([frame for frames in sets.values() for frame in frames], "spread")
    real = means["real"].to_numpy(dtype=np.float64) if "real" in means else np.zeros(0)
    if real.size:
        ax.axhline(real.mean(), color=MUTED, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
    return real


def _build_handles() -> dict[str, Artist]:
    point: Any = {"linestyle": "none", "marker": "o", "color": MUTED, "markersize": 5}
    return {
        "initial": Line2D([], [], markerfacecolor="white", **point),
        "synthetic": Line2D([], [], **point),
        "mean of classes": Line2D([], [], color=INK, linewidth=2),
        "real images": Line2D([], [], color=MUTED, linewidth=1.2, linestyle=(0, (4, 2))),
    }


def _build_caption(sets: Mapping[str, Sequence[pd.DataFrame]]) -> str:
    classes = format_range(frame["label"].nunique() for frames in sets.values() for frame in frames)
    seeds = format_range(map(len, sets.values()))
    text = f"A line a class ({classes} classes), from its initial to its synthetic images"
    return text + (f"; mean over {seeds} sets." if seeds != "1" else ".")
