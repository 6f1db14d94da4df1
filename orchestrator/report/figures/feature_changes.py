"""Figures of how distillation changes features: the spread and the covariance of each class.

They compare initial with synthetic images, from the rows of `features` of all sets.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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

_METHOD_WIDTH = 0.75
"""Inches."""


class _Measure(NamedTuple):
    """A panel of the figure."""

    column: str
    """Of `features`."""
    title: str
    label: str


_MEASURES = (
    _Measure("spread", "Spread", "variance of a class, summed over features"),
    _Measure("covariance_distance", "Covariance", "Frobenius distance to real images"),
)


def draw_change_chart(views: Sequence[FeatureView], name: tuple[object, ...], title: str) -> Chart:
    """Draw the sets of all methods and seeds that share everything else."""
    sets: dict[str, list[pd.DataFrame]] = {}
    for view in views:
        sets.setdefault(view.cell.method, []).append(view.rows)
    return Chart(
        figure=draw_changes(sets, title),
        name=name,
        title=title,
        group="features",
        caption=_build_caption(sets),
    )


def draw_changes(sets: Mapping[str, Sequence[pd.DataFrame]], title: str) -> Figure:
    """Draw the spread and covariance distance of each class, before and after distillation.

    Args:
        sets: rows of `features` of each set, by method; a class is drawn at its mean over sets.
        title: of the figure.
    """
    palette = assign_colors(sets)
    width = 1.0 + _METHOD_WIDTH * max(len(sets), 3)
    figure = create_panels(title, 1, 2, width=width, height=3.1, legend_width=1.1)
    for ax, measure in zip(figure.axes, _MEASURES, strict=True):
        drawn = [np.zeros(0)]
        for place, (method, frames) in enumerate(sets.items()):
            means = compute_class_means(frames, measure.column)
            drawn.append(_draw_dumbbells(ax, place, means, palette[method]))
        if measure.column == "spread":
            drawn.append(_draw_real_line(ax, sets))
        scale_from_zero(ax, np.concatenate(drawn))
        name_ticks(ax.xaxis, list(sets), _METHOD_WIDTH)
        ax.set_xlim(-0.6, len(sets) - 0.4)
        ax.grid(False, axis="x")
        ax.set_title(measure.title)
        ax.set_ylabel(measure.label)
    add_legend(figure, _build_handles())
    return figure


def compute_class_means(frames: Sequence[pd.DataFrame], measure: str) -> pd.DataFrame:
    """Return a measure of each class (a row) and origin (a column), its mean over sets."""
    return pd.concat(frames).pivot_table(
        index="label", columns="origin", values=measure, aggfunc="mean"
    )


def _draw_dumbbells(ax: Axes, place: int, means: pd.DataFrame, color: str) -> Array:
    """Draw a line per class from the initial to the synthetic images.

    A bar at each end is the mean over classes.

    Returns:
        All numbers that are drawn.
    """
    shifts = {"initial": -0.22, "synthetic": 0.22}
    ends = {origin: place + shift for origin, shift in shifts.items() if origin in means}
    values = means[list(ends)].to_numpy(dtype=np.float64)
    if len(ends) == 2:
        ax.plot(list(ends.values()), values.T, color=color, linewidth=0.8, alpha=0.45)
    for column, (origin, x) in enumerate(ends.items()):
        points = values[:, column]
        ax.plot(
            np.full(len(points), x),
            points,
            "o",
            markersize=4,
            color=color,
            markerfacecolor="white" if origin == "initial" else color,
            zorder=3,
        )
        if np.isfinite(points).any():
            ax.hlines(np.nanmean(points), x - 0.14, x + 0.14, color=INK, linewidth=2, zorder=4)
    return values.ravel()


def _draw_real_line(ax: Axes, sets: Mapping[str, Sequence[pd.DataFrame]]) -> Array:
    """Draw the mean spread of real images, and return the spread of each class."""
    frames: list[pd.DataFrame] = []
    for of_method in sets.values():
        frames += of_method
    means = compute_class_means(frames, "spread")
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
    counts: list[int] = []
    for frames in sets.values():
        counts += [frame["label"].nunique() for frame in frames]
    seeds = format_range(map(len, sets.values()))
    classes = format_range(counts)
    counted = f"{classes} {'class' if classes == '1' else 'classes'}"
    text = f"One line per class ({counted}), from its initial to its synthetic images"
    return f"{text}." if seeds == "1" else f"{text}; mean over {seeds} sets."
