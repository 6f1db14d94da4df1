"""Loss curves: one figure a data set and IPC, a panel a loss, a line a method."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from orchestrator.report.figures.drawing import (
    Chart,
    add_legend,
    create_panels,
    format_headline,
    format_range,
    scale_from_zero,
)
from orchestrator.report.figures.style import assign_colors
from orchestrator.report.results import Results, format_ipc, list_scopes

Array = NDArray[np.float64]

_LOSSES = {
    "curve_loss_mean": "Mean matching",
    "curve_loss_cc": "Class centralization",
    "curve_loss_cm": "Covariance matching",
    "curve_loss_ce": "Cross entropy",
}
_POINTS = 40
"""A line is smoothed over one part in so many of its length."""


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """One loss of one method over its sets."""

    iterations: Array
    """(T,)"""
    values: Array
    """(sets, T)"""


def draw_charts(results: Results) -> Iterator[Chart]:
    """Draw the loss curves of each experiment, data set and IPC; swept settings are left out."""
    rows = results.rows["distillations"].set_index("key")
    drawn = set[str | None]()
    for scope in list_scopes(results.measurements):
        plain = [
            m
            for m in results.measurements
            if m.scope == scope and not m.sweep and m.ipc is not None
        ]
        for ipc in sorted({m.ipc for m in plain if m.ipc is not None}):
            chosen = [m for m in plain if m.ipc == ipc]
            sets = list(
                dict.fromkeys(key for m in chosen for key in m.set_keys if key in rows.index)
            )
            curves = build_loss_curves(rows.loc[sets])
            if not curves or drawn.issuperset(sets):
                continue
            drawn.update(sets)
            title = format_headline(scope, format_ipc(ipc), "losses")
            yield Chart(
                figure=draw_losses(curves, title),
                name=(*scope.name, "losses", f"ipc{ipc}"),
                title=title,
                group="losses",
                caption=_build_caption(curves),
            )


def build_loss_curves(rows: pd.DataFrame) -> dict[str, dict[str, LossCurve]]:
    """Return the curve of each method, for each loss that has values, from rows of
    `distillations`.
    """
    found: dict[str, dict[str, LossCurve]] = {}
    for column, title in _LOSSES.items():
        for method, group in rows.groupby("method", sort=False):
            curve = _build_curve(group, column)
            if curve is not None:
                found.setdefault(title, {})[str(method)] = curve
    return found


def _build_curve(rows: pd.DataFrame, column: str) -> LossCurve | None:
    pairs = [
        (x, y) for x, y in zip(rows["curve_iteration"], rows[column], strict=True) if _has_values(y)
    ]
    length = min((len(y) for _, y in pairs), default=0)
    if length == 0:
        return None
    values = np.array([y[:length] for _, y in pairs], dtype=np.float64)
    return LossCurve(iterations=np.asarray(pairs[0][0][:length], dtype=np.float64), values=values)


def _has_values(values: object) -> bool:
    array = np.asarray([] if values is None else values, dtype=np.float64)
    return (
        array.size > 0
        and bool(np.isfinite(array).any())
        and bool((np.nan_to_num(array) != 0).any())
    )


def draw_losses(curves: Mapping[str, Mapping[str, LossCurve]], title: str) -> Figure:
    """Draw a panel a loss; a line is the mean over sets, its band goes from the lowest set to the
    highest.
    """
    palette = assign_colors(method for panel in curves.values() for method in panel)
    figure = create_panels(title, 1, len(curves), width=3.1, height=2.7)
    handles = {}
    for ax, (name, panel) in zip(figure.axes, curves.items(), strict=True):
        for method, curve in panel.items():
            handles[method] = _draw_curve(ax, curve, palette[method])
        scale_from_zero(ax, np.concatenate([np.ravel(curve.values) for curve in panel.values()]))
        ax.set_title(name)
        ax.set_xlabel("iteration")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        ax.margins(x=0.02)
    figure.axes[0].set_ylabel("loss, summed over classes")
    add_legend(figure, handles)
    return figure


def _build_caption(curves: Mapping[str, Mapping[str, LossCurve]]) -> str:
    """Say what a line is; losses are shown before their weights λ."""
    sets = format_range(len(curve.values) for panel in curves.values() for curve in panel.values())
    text = f"Each loss before its weight, smoothed over a fortieth of its length; mean over {sets} "
    return text + ("set." if sets == "1" else "sets; bands: from the lowest set to the highest.")


def _draw_curve(ax: Axes, curve: LossCurve, color: str) -> Artist:
    smooth = np.array([_smooth(values) for values in curve.values])
    if len(smooth) > 1:
        ax.fill_between(
            curve.iterations, smooth.min(0), smooth.max(0), color=color, alpha=0.18, linewidth=0
        )
    (line,) = ax.plot(
        curve.iterations, smooth.mean(0), color=color, linewidth=1.6, solid_capstyle="round"
    )
    return line


def _smooth(values: Array) -> Array:
    """Running mean (T,) over the last part of the curve, its start over what there is."""
    window = max(1, len(values) // _POINTS)
    return pd.Series(values).rolling(window, min_periods=1).mean().to_numpy()
