"""Loss curves: one figure a data set and IPC, a panel a loss, a line a method."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from orchestrator.report.model import Picture, slug
from orchestrator.report.results import Results, scopes
from orchestrator.report.style import colours, house_style, new_figure, save

Array = NDArray[np.float64]

_LOSSES = {
    "curve_loss_mean": "Mean matching",
    "curve_loss_cc": "Class centralization",
    "curve_loss_cm": "Covariance matching",
    "curve_loss_ce": "Cross entropy",
}
_LOG_RANGE = 20
"""A panel whose values span more than this factor is logarithmic."""
_POINTS = 40
"""A line is smoothed over one part in so many of its length."""
_LEGEND_WIDTH = 1.2
"""Inches."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One loss of one method over its sets."""

    iterations: Array
    """(T,)"""
    values: Array
    """(sets, T)"""


def write_loss_curves(results: Results, out: Path) -> tuple[Picture, ...]:
    """Write the loss curves of each experiment, data set and IPC as SVG and PNG; swept settings are left out."""
    return tuple(_loss_figures(results, out))


def _loss_figures(results: Results, out: Path) -> Iterator[Picture]:
    rows = results.rows["distillations"].set_index("key")
    drawn = set[str | None]()
    for scope in scopes(results.measurements):
        plain = [m for m in results.measurements if m.scope == scope and not m.sweep and m.ipc is not None]
        for ipc in sorted({m.ipc for m in plain if m.ipc is not None}):
            chosen = [m for m in plain if m.ipc == ipc]
            sets = list(dict.fromkeys(key for m in chosen for key in m.set_keys if key in rows.index))
            curves = loss_curves(rows.loc[sets])
            if not curves or drawn.issuperset(sets):
                continue
            drawn.update(sets)
            path = Path("figures") / slug(*scope.name, "losses", f"ipc{ipc}")
            title = f"{scope.dataset}, IPC {ipc}"
            with house_style():
                figure = loss_figure(curves, title)
                save(figure, (out / path).with_name(f"{path.name}.svg"))
                save(figure, (out / path).with_name(f"{path.name}.png"))
            yield Picture(title=title, path=path.with_name(f"{path.name}.png"))


def loss_curves(rows: pd.DataFrame) -> dict[str, dict[str, Curve]]:
    """Return the curve of each method, for each loss that has values, from rows of `distillations`."""
    found: dict[str, dict[str, Curve]] = {}
    for column, title in _LOSSES.items():
        for method, group in rows.groupby("method", sort=False):
            curve = _curve(group, column)
            if curve is not None:
                found.setdefault(title, {})[str(method)] = curve
    return found


def _curve(rows: pd.DataFrame, column: str) -> Curve | None:
    pairs = [(x, y) for x, y in zip(rows["curve_iteration"], rows[column], strict=True) if _has_values(y)]
    length = min((len(y) for _, y in pairs), default=0)
    if length == 0:
        return None
    values = np.array([y[:length] for _, y in pairs], dtype=np.float64)
    return Curve(iterations=np.asarray(pairs[0][0][:length], dtype=np.float64), values=values)


def _has_values(values: object) -> bool:
    array = np.asarray([] if values is None else values, dtype=np.float64)
    return array.size > 0 and bool(np.isfinite(array).any()) and bool((np.nan_to_num(array) != 0).any())


def loss_figure(curves: Mapping[str, Mapping[str, Curve]], title: str) -> Figure:
    """Draw a panel a loss; a line is the mean over sets, its band goes from the lowest set to the highest."""
    methods = list(dict.fromkeys(method for panel in curves.values() for method in panel))
    palette = colours(methods)
    width = 3.1 * len(curves) + _LEGEND_WIDTH
    figure = new_figure(width, 2.9)
    axes = figure.subplots(1, len(curves), squeeze=False)[0]
    handles = {}
    for ax, (name, panel) in zip(axes, curves.items(), strict=True):
        for method, curve in panel.items():
            handles[method] = _draw(ax, curve, palette[method])
        _finish(ax, name, panel)
    figure.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")
    panels = 1 - _LEGEND_WIDTH / width
    figure.legend(list(handles.values()), list(handles), loc="upper left", bbox_to_anchor=(panels, 0.86))
    figure.tight_layout(rect=(0, 0, panels, 0.98), w_pad=2)
    return figure


def _draw(ax: Axes, curve: Curve, colour: str) -> Artist:
    smooth = np.array([_smoothed(values) for values in curve.values])
    if len(smooth) > 1:
        ax.fill_between(curve.iterations, smooth.min(0), smooth.max(0), color=colour, alpha=0.18, linewidth=0)
    (line,) = ax.plot(curve.iterations, smooth.mean(0), color=colour, linewidth=1.6, solid_capstyle="round")
    return line


def _finish(ax: Axes, name: str, panel: Mapping[str, Curve]) -> None:
    ax.set_title(name)
    ax.set_xlabel("iteration")
    values = np.concatenate([np.ravel(curve.values) for curve in panel.values()])
    values = values[np.isfinite(values)]
    if values.min() > 0 and values.max() > _LOG_RANGE * values.min():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.set_ylim(bottom=0)
    ax.margins(x=0.02)


def _smoothed(values: Array) -> Array:
    """Running mean (T,) over the last part of the curve, its start over what there is."""
    window = max(1, len(values) // _POINTS)
    return pd.Series(values).rolling(window, min_periods=1).mean().to_numpy()
