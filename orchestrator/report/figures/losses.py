"""Figures of loss curves: a figure per data set and IPC, a panel per loss, a line per method.

They come from the rows of `distillations` of the sets that are measured without swept settings.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
from orchestrator.report.results import Measurement, Results, format_ipc, list_scopes

Array = NDArray[np.float64]

_LOSSES = {
    "curve_loss_mean": "Mean matching",
    "curve_loss_cc": "Class centralization",
    "curve_loss_cm": "Covariance matching",
    "curve_loss_ce": "Cross entropy",
    "curve_loss_own": "Custom loss",
}
_SMOOTHED_PARTS = 40
"""A curve is smoothed over one part in this many of its length."""


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
        plain = [m for m in results.measurements if m.scope == scope and not m.sweep]
        for ipc in sorted({m.ipc for m in plain if m.ipc is not None}):
            sets = _list_sets([m for m in plain if m.ipc == ipc], rows.index)
            curves = build_loss_curves(rows.loc[sets])
            # Experiments may share their sets; one figure of them is enough.
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
    """Return the curves by loss and method, from rows of `distillations`.

    Losses without values are left out.
    """
    found: dict[str, dict[str, LossCurve]] = {}
    for column, title in _LOSSES.items():
        for method, group in rows.groupby("method", sort=False):
            curve = _build_curve(group, column)
            if curve is not None:
                found.setdefault(title, {})[str(method)] = curve
    return found


def draw_losses(curves: Mapping[str, Mapping[str, LossCurve]], title: str) -> Figure:
    """Draw a panel per loss.

    A line is the mean over sets, its band goes from the lowest set to the highest.
    """
    methods: list[str] = []
    for panel in curves.values():
        methods += panel
    palette = assign_colors(methods)
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


def _list_sets(measurements: Iterable[Measurement], known: Container[str | None]) -> list[str]:
    """Return the synthetic sets of some measurements that have rows."""
    found: dict[str, None] = {}
    for m in measurements:
        for key in m.set_keys:
            if key is not None and key in known:
                found[key] = None
    return list(found)


def _build_curve(rows: pd.DataFrame, column: str) -> LossCurve | None:
    """Return the curves of some sets as one array; None where none has values."""
    iterations: list[Any] = []
    values: list[Any] = []
    for x, y in zip(rows["curve_iteration"], rows[column], strict=True):
        if _has_values(y):
            iterations.append(x)
            values.append(y)
    # Curves are cut to the shortest: sets may have been recorded at different lengths.
    length = min(map(len, values), default=0)
    if length == 0:
        return None
    return LossCurve(
        iterations=np.asarray(iterations[0][:length], dtype=np.float64),
        values=np.array([y[:length] for y in values], dtype=np.float64),
    )


def _has_values(values: object) -> bool:
    """Return whether a loss was computed: one of weight 0 is recorded as zeros or NaN."""
    array = np.asarray([] if values is None else values, dtype=np.float64)
    return bool(np.isfinite(array).any() and (np.nan_to_num(array) != 0).any())


def _build_caption(curves: Mapping[str, Mapping[str, LossCurve]]) -> str:
    counts: list[int] = []
    for panel in curves.values():
        counts += [len(curve.values) for curve in panel.values()]
    sets = format_range(counts)
    text = (
        f"Each loss without its weight, smoothed over a fortieth of its length. Mean over {sets} "
    )
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
    """Return the running mean (T,); its start is over the values there are so far."""
    window = max(1, len(values) // _SMOOTHED_PARTS)
    return pd.Series(values).rolling(window, min_periods=1).mean().to_numpy()
