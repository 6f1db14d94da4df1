"""Figures of features in the plane: real, initial and synthetic images of each class.

They come from the feature views with rows. `feature_changes` draws the statistics of the same
views.
"""

from collections.abc import Iterator, Mapping, Sequence
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
    format_headline,
)
from orchestrator.report.figures.feature_changes import draw_change_chart
from orchestrator.report.figures.style import CLASS_COLORS, INK, MUTED
from orchestrator.report.results import FeatureView, Results, format_ipc
from orchestrator.report.swept_settings import format_point

Array = NDArray[np.float64]

_PLANES = {"pca": "PCA", "tsne": "t-SNE"}
_MAX_ACROSS = 4
"""Methods side by side; more continue in the next rows."""
_MAX_REAL_DOTS = 100
"""Real images of a class that are drawn."""
_OTHERS = "#d9d9d9"
"""Color of real images of classes that have no color."""


class _SeedSets(NamedTuple):
    """The sets of one seed."""

    seed: int
    rows: dict[str, pd.DataFrame]
    """Rows of `features` by method."""


def draw_charts(results: Results) -> Iterator[Chart]:
    """Draw the sets of each scope, IPC, network and sweep.

    One seed's sets are drawn in the plane, the statistics of all seeds in a second figure.
    """
    groups: dict[Any, list[FeatureView]] = {}
    for view in results.views:
        if not view.rows.empty:
            cell = view.cell
            groups.setdefault((view.scope, cell.ipc, cell.network, cell.sweep), []).append(view)
    for (scope, ipc, network, sweep), views in groups.items():
        size, point = format_ipc(ipc), format_point(sweep)
        name = (*scope.name, size, network, *point)
        title = format_headline(scope, size, *point, f"features of {network}")
        sets = _find_fullest_seed(views)
        if any(_has_points(rows) for rows in sets.rows.values()):
            yield Chart(
                figure=draw_planes(sets.rows, title),
                name=(*name, "features"),
                title=title,
                group="features",
                caption=_build_caption(sets),
            )
        yield draw_change_chart(views, (*name, "spread"), f"{title} before and after")


def color_labels(labels: Sequence[int]) -> dict[int, str]:
    """Return the color of each class: of up to ten all, of more ten evenly spaced ones."""
    ordered = sorted(set(labels))
    count = min(len(ordered), len(CLASS_COLORS))
    places = np.linspace(0, len(ordered) - 1, count).round().astype(int)
    return {ordered[place]: color for place, color in zip(places, CLASS_COLORS, strict=False)}


def draw_planes(sets: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Draw sets side by side, the PCA of each above its t-SNE.

    A single set has both side by side.

    Args:
        sets: rows of `features` by method; all sets share the plane of the PCA.
        title: of the figure.
    """
    is_single = len(sets) == 1
    blocks = -(-len(sets) // _MAX_ACROSS)
    across = -(-len(sets) // blocks)
    down, columns = (1, 2) if is_single else (2 * blocks, across)
    size = 3.0 if is_single else 2.3
    figure = create_panels(title, down, columns, width=size, height=size)
    rows = pd.concat(sets.values())
    palette = color_labels([int(label) for label in rows["label"]])
    used, pca_axes = set[Axes](), list[Axes]()
    for i, (method, points) in enumerate(sets.items()):
        block, column = divmod(i, across)
        for line, (plane, name) in enumerate(_PLANES.items()):
            place = line if is_single else (2 * block + line) * columns + column
            ax = figure.axes[place]
            _draw_scatter(ax, points, plane, palette)
            ax.set_title(f"{method}: {name}")
            used.add(ax)
            if plane == "pca":
                pca_axes.append(ax)
    # The PCA is one plane for all sets, so its axes are shared; each t-SNE has another plane.
    _share_limits(pca_axes)
    for ax in list(figure.axes):
        if ax not in used:
            ax.remove()
    add_legend(figure, _build_handles(rows, palette))
    return figure


def _find_fullest_seed(views: Sequence[FeatureView]) -> _SeedSets:
    """Return the seed with the most methods; of several the smallest."""
    seeds: dict[int, dict[str, pd.DataFrame]] = {}
    for view in views:
        seeds.setdefault(view.cell.seed, {})[view.cell.method] = view.rows
    # One seed has to do: features of several sets would cover each other.
    seed = max(seeds, key=lambda s: (len(seeds[s]), -s))
    return _SeedSets(seed=seed, rows=seeds[seed])


def _draw_scatter(ax: Axes, rows: pd.DataFrame, plane: str, palette: Mapping[int, str]) -> None:
    """Draw real images as faint dots, initial ones as rings, synthetic ones as points on top."""
    by_origin = {
        str(origin): _read_points(group, plane) for origin, group in rows.groupby("origin")
    }
    _draw_real_dots(ax, by_origin.get("real", {}), palette)
    initial, synthetic = by_origin.get("initial", {}), by_origin.get("synthetic", {})
    for label, color in palette.items():
        ring: Any = {"facecolor": "none", "edgecolor": color, "linewidth": 0.8, "zorder": 3}
        _draw_class(ax, initial.get(label), ring)
        point: Any = {"facecolor": color, "edgecolor": INK, "linewidth": 0.5, "zorder": 4}
        _draw_class(ax, synthetic.get(label), point)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(True)


def _draw_class(ax: Axes, points: Array | None, style: Mapping[str, Any]) -> None:
    x, y = (np.zeros((0, 2)) if points is None else points).T
    ax.scatter(x, y, s=_choose_area(len(x)), **style)


def _draw_real_dots(ax: Axes, classes: Mapping[int, Array], palette: Mapping[int, str]) -> None:
    """Draw real images, those of classes without a color below the others."""
    points: list[Array] = []
    shades: list[str] = []
    for label in sorted(classes, key=lambda label: label in palette):
        drawn = classes[label][:_MAX_REAL_DOTS]
        points.append(drawn)
        shades += [palette.get(label, _OTHERS)] * len(drawn)
    if shades:
        x, y = np.concatenate(points).T
        # As pixels even in an SVG, because thousands of dots would make a large file.
        ax.scatter(x, y, s=4, color=shades, alpha=0.45, linewidth=0, zorder=2, rasterized=True)


def _read_points(rows: pd.DataFrame, plane: str) -> dict[int, Array]:
    """Return the points (n, 2) of each class."""
    points: dict[int, Array] = {}
    for label, x, y in zip(rows["label"], rows[f"{plane}_x"], rows[f"{plane}_y"], strict=True):
        if x is not None and len(x):
            points[int(label)] = np.array([x, y], dtype=np.float64).T
    return points


def _choose_area(count: int) -> float:
    """Return the area of the mark of one of `count` images: the fewer images, the larger."""
    return float(np.clip(160 / max(count, 1), 9, 30))


def _share_limits(axes: Sequence[Axes]) -> None:
    lower = np.min([ax.viewLim.min for ax in axes], axis=0)
    upper = np.max([ax.viewLim.max for ax in axes], axis=0)
    for ax in axes:
        ax.set_xlim(lower[0], upper[0])
        ax.set_ylim(lower[1], upper[1])


def _has_points(rows: pd.DataFrame) -> bool:
    return any(_read_points(rows, plane) for plane in _PLANES)


def _build_handles(rows: pd.DataFrame, palette: Mapping[int, str]) -> dict[str, Artist]:
    """Return a mark per origin that has rows, then a mark per class that has a color."""
    marks: dict[str, Any] = {
        "real": {"markersize": 3, "markeredgewidth": 0, "alpha": 0.7},
        "initial": {"markersize": 6, "markerfacecolor": "none", "markeredgewidth": 0.9},
        "synthetic": {"markersize": 6, "markeredgecolor": INK, "markeredgewidth": 0.6},
    }
    point: Any = {"linestyle": "none", "marker": "o"}
    present = set(rows["origin"])
    handles: dict[str, Artist] = {}
    for origin, mark in marks.items():
        if origin in present:
            handles[origin] = Line2D([], [], color=MUTED, **point, **mark)
    names = dict(zip(rows["label"].astype(int), rows["class_name"].astype(str), strict=True))
    for label, color in palette.items():
        handles[names[label]] = Line2D(
            [], [], color=color, **point, markersize=6, markeredgewidth=0
        )
    return handles


def _build_caption(sets: _SeedSets) -> str:
    rows = pd.concat(sets.rows.values())
    text = f"One set per method (seed {sets.seed}). "
    if len(sets.rows) > 1:
        text += "All PCAs share one plane, which is fitted to the real images; each t-SNE"
    else:
        text += "The PCA is fitted to the real images; the t-SNE"
    text += " has its own plane, in which distances between groups mean nothing."
    classes, colored = rows["label"].nunique(), len(CLASS_COLORS)
    if classes > colored:
        text += (
            f" {colored} of {classes} classes have a color; of the others only real images are"
            " shown, in gray."
        )
    if (rows.loc[rows["origin"] == "real", "images"] > _MAX_REAL_DOTS).any():
        text += f" At most {_MAX_REAL_DOTS} real images per class are drawn."
    return text
