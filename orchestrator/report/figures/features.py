"""Features in the plane: real, initial and synthetic images of each class."""

from collections.abc import Iterator, Mapping, Sequence
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
    format_headline,
)
from orchestrator.report.figures.feature_changes import draw_change_chart
from orchestrator.report.figures.style import CLASS_COLORS, INK, MUTED
from orchestrator.report.results import FeatureView, Results, format_ipc
from orchestrator.report.swept_settings import format_point

Array = NDArray[np.float64]

_PLANES = {"pca": "PCA", "tsne": "t-SNE"}
_ACROSS = 4
"""Methods beside one another; more go into further rows."""
_REAL_DOTS = 100
"""Real images of a class that are drawn at most."""
_OTHERS = "#d9d9d9"
"""Real images of classes that have no colour."""


def draw_charts(results: Results) -> Iterator[Chart]:
    """Draw the sets of each scope, IPC, network and sweep: one seed's in the plane, and the
    measures of all seeds.
    """
    groups: dict[Any, list[FeatureView]] = {}
    for view in results.views:
        if not view.rows.empty:
            cell = view.cell
            groups.setdefault((view.scope, cell.ipc, cell.network, cell.sweep), []).append(view)
    for (scope, ipc, network, sweep), views in groups.items():
        name = (*scope.name, format_ipc(ipc), network, *format_point(sweep))
        title = format_headline(
            scope, format_ipc(ipc), *format_point(sweep), f"features of {network}"
        )
        seed, sets = _find_fullest_seed(views)
        if any(_has_points(rows) for rows in sets.values()):
            yield Chart(
                figure=draw_planes(sets, title),
                name=(*name, "features"),
                title=title,
                group="features",
                caption=_build_caption(sets, seed),
            )
        yield draw_change_chart(views, (*name, "spread"), f"{title} before and after")


def _find_fullest_seed(views: Sequence[FeatureView]) -> tuple[int, dict[str, pd.DataFrame]]:
    """Return the seed with most methods, the first of several, and its rows by method."""
    seeds: dict[int, dict[str, pd.DataFrame]] = {}
    for view in views:
        seeds.setdefault(view.cell.seed, {})[view.cell.method] = view.rows
    seed = max(seeds, key=lambda s: (len(seeds[s]), -s))
    return seed, seeds[seed]


def color_labels(labels: Sequence[int]) -> dict[int, str]:
    """Return the colour of each class: of all up to ten, of ten evenly spaced ones where there are
    more.
    """
    ordered = sorted(set(labels))
    places = (
        np.linspace(0, len(ordered) - 1, min(len(ordered), len(CLASS_COLORS))).round().astype(int)
    )
    return {ordered[place]: color for place, color in zip(places, CLASS_COLORS, strict=False)}


def draw_planes(sets: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Draw sets beside one another, their PCA above their t-SNE; a single set has both beside one
    another.

    Args:
        sets: rows of `features` by method; all sets share the plane of the PCA.
        title: of the figure.
    """
    blocks = -(-len(sets) // _ACROSS)
    across = -(-len(sets) // blocks)
    alone = len(sets) == 1
    down, columns = (1, 2) if alone else (2 * blocks, across)
    figure = create_panels(
        title, down, columns, width=3.0 if alone else 2.3, height=3.0 if alone else 2.3
    )
    rows = pd.concat(sets.values())
    palette = color_labels([int(label) for label in rows["label"]])
    used, planes = set[Axes](), list[Axes]()
    for i, (method, points) in enumerate(sets.items()):
        block, column = divmod(i, across)
        for line, (plane, name) in enumerate(_PLANES.items()):
            place = line if alone else (2 * block + line) * columns + column
            ax = figure.axes[place]
            _draw_scatter(ax, points, plane, palette)
            ax.set_title(f"{method}: {name}")
            used.add(ax)
            if plane == "pca":
                planes.append(ax)
    _share_limits(planes)
    for ax in list(figure.axes):
        if ax not in used:
            ax.remove()
    add_legend(figure, _build_handles(rows, palette))
    return figure


def _draw_scatter(ax: Axes, rows: pd.DataFrame, plane: str, palette: Mapping[int, str]) -> None:
    """Real images as faint dots, initial ones as rings, synthetic ones as filled points above
    them.
    """
    by_origin = {
        str(origin): _read_points(group, plane) for origin, group in rows.groupby("origin")
    }
    _draw_real_dots(ax, by_origin.get("real", {}), palette)
    for label, color in palette.items():
        for origin, face, edge, width in (
            ("initial", "none", color, 0.8),
            ("synthetic", color, INK, 0.5),
        ):
            x, y = by_origin.get(origin, {}).get(label, np.zeros((0, 2))).T
            order = 3 if origin == "initial" else 4
            ax.scatter(
                x,
                y,
                s=_choose_area(len(x)),
                facecolor=face,
                edgecolor=edge,
                linewidth=width,
                zorder=order,
            )
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(True)


def _draw_real_dots(ax: Axes, classes: Mapping[int, Array], palette: Mapping[int, str]) -> None:
    """Draw at most `_REAL_DOTS` a class, those without a colour below; as pixels even in an SVG,
    for its size.
    """
    ordered = sorted(classes, key=lambda label: label in palette)
    points = [classes[label][:_REAL_DOTS] for label in ordered]
    shades = [
        shade
        for label, p in zip(ordered, points, strict=True)
        for shade in [palette.get(label, _OTHERS)] * len(p)
    ]
    if shades:
        x, y = np.concatenate(points).T
        ax.scatter(x, y, s=4, color=shades, alpha=0.45, linewidth=0, zorder=2, rasterized=True)


def _read_points(rows: pd.DataFrame, plane: str) -> dict[int, Array]:
    """Return the points (n, 2) of each class."""
    columns = zip(rows["label"], rows[f"{plane}_x"], rows[f"{plane}_y"], strict=True)
    return {
        int(label): np.array([x, y], dtype=np.float64).T
        for label, x, y in columns
        if x is not None and len(x)
    }


def _choose_area(count: int) -> float:
    """Area of the mark of one of `count` images: the fewer, the larger."""
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
    names = {
        int(label): str(name) for label, name in zip(rows["label"], rows["class_name"], strict=True)
    }
    marks: dict[str, Any] = {
        "real": {"markersize": 3, "markeredgewidth": 0, "alpha": 0.7},
        "initial": {"markersize": 6, "markerfacecolor": "none", "markeredgewidth": 0.9},
        "synthetic": {"markersize": 6, "markeredgecolor": INK, "markeredgewidth": 0.6},
    }
    point: Any = {"linestyle": "none", "marker": "o"}
    origins = {
        origin: Line2D([], [], color=MUTED, **point, **mark) for origin, mark in marks.items()
    }
    present = set(rows["origin"])
    classes = {
        names[label]: Line2D([], [], color=color, **point, markersize=6, markeredgewidth=0)
        for label, color in palette.items()
    }
    return {**{origin: mark for origin, mark in origins.items() if origin in present}, **classes}


def _build_caption(sets: Mapping[str, pd.DataFrame], seed: int) -> str:
    rows = pd.concat(sets.values())
    classes, most = rows["label"].nunique(), len(CLASS_COLORS)
    text = f"One set a method (seed {seed}). "
    text += "All PCA share one plane, which is fitted to the real images; " if len(sets) > 1 else ""
    text += "each t-SNE" if len(sets) > 1 else "The PCA is fitted to the real images; the t-SNE"
    text += " has a plane of its own, in which distances between groups mean nothing."
    if classes > most:
        text += (
            f" {most} of {classes} classes have a colour; of the others only real images are shown,"
            " in grey."
        )
    if (rows.loc[rows["origin"] == "real", "images"] > _REAL_DOTS).any():
        text += f" At most {_REAL_DOTS} real images a class are drawn."
    return text
