"""Figures of swept settings: a heat map over two settings (λ_CC × λ_CM), a line over one.

They show the swept measurements. Sweeps over matching networks are drawn by `architectures`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.report.figures.architectures import MATCHING
from orchestrator.report.figures.drawing import (
    Chart,
    add_legend,
    create_panels,
    describe_evidence,
    draw_line,
    format_headline,
    get_bounds,
    get_means,
    is_wide_range,
    label_ticks,
    name_ticks,
)
from orchestrator.report.figures.heat_map import (
    HEIGHT,
    WIDTH,
    HeatMap,
    draw_frame,
    draw_heat_map,
    find_best,
    find_limits,
    mark_best,
)
from orchestrator.report.figures.style import assign_colors
from orchestrator.report.results import Measurement, Results, format_ipc
from orchestrator.report.swept_settings import (
    find_usual_values,
    format_value,
    is_number,
    name_setting,
)

_VALUE_WIDTH = 0.9
"""Of a value that is not a number, in inches."""
_MATHEMATICAL = {"λ_CC": r"$\lambda_\mathrm{CC}$", "λ_CM": r"$\lambda_\mathrm{CM}$"}


class SettingMap(NamedTuple):
    """A heat map, and what is marked in it."""

    figure: Figure
    marks: tuple[str, ...]
    """"best", and the source of the values that are framed, as in `UsualValues`."""


def draw_charts(results: Results) -> Iterator[Chart]:
    """Draw each sweep over one or two settings that has results."""
    done = [m for m in results.measurements if m.sweep and m.summary]
    maps: dict[Any, list[Measurement]] = {}
    lines: dict[Any, list[Measurement]] = {}
    for m in done:
        names = tuple(name for name, _ in m.sweep)
        # Methods share the axes of a line figure, but a map can show only one.
        if len(names) == 2:
            maps.setdefault((names, m.scope, m.ipc, m.network, m.method), []).append(m)
        elif len(names) == 1 and names[0] != MATCHING:
            lines.setdefault((names, m.scope, m.ipc, m.network), []).append(m)
    for chosen in maps.values():
        if len(chosen) > 1:
            yield _draw_map_chart(chosen)
    for chosen in lines.values():
        if len({m.sweep for m in chosen}) > 1:
            yield _draw_line_chart(chosen)


def draw_setting_map(chosen: Sequence[Measurement], title: str) -> SettingMap:
    """Draw the measurements of a sweep over two settings.

    The first setting goes upwards, the second to the right.
    """
    shown, rows, columns = _build_map(chosen)
    figure = create_panels(
        title,
        1,
        1,
        width=WIDTH * len(columns) + 0.9,
        height=HEIGHT * len(rows) + 0.6,
        legend_width=1.2,
    )
    (ax,) = figure.axes
    draw_heat_map(ax, shown, find_limits([shown]))
    handles = mark_best(ax, find_best(shown.values))
    usual = find_usual_values(chosen[0])
    if usual.values is not None:
        row, column = usual.values
        if row in rows and column in columns:
            handles[usual.source] = draw_frame(ax, rows.index(row), columns.index(column))
    add_legend(figure, handles)
    return SettingMap(figure=figure, marks=tuple(handles))


def draw_setting_lines(chosen: Sequence[Measurement], title: str) -> Figure:
    """Draw the measurements of a sweep over one setting.

    Numbers have a line per method. Other values have points.
    """
    values = _list_categories([_get_value(m) for m in chosen])
    is_numeric = all(map(is_number, values))
    width = 4.6 if is_numeric else 1.4 + _VALUE_WIDTH * len(values)
    figure = create_panels(title, 1, 1, width=width, height=2.9)
    (ax,) = figure.axes
    handles = _draw_lines(ax, chosen, values) if is_numeric else _draw_points(ax, chosen, values)
    ((name, _),) = chosen[0].sweep
    ax.set_xlabel(_build_axis_title(name))
    ax.set_ylabel(f"{chosen[0].scope.split} accuracy in %")
    add_legend(figure, handles)
    return figure


def _draw_map_chart(chosen: Sequence[Measurement]) -> Chart:
    first = chosen[0]
    size = format_ipc(first.ipc)
    title = format_headline(first.scope, size, f"{first.method} on {first.network}")
    shown = draw_setting_map(chosen, title)
    names = [_shorten(name) for name, _ in first.sweep]
    return Chart(
        figure=shown.figure,
        name=(*first.scope.name, first.method, size, first.network, *names),
        title=title,
        group="sensitivity",
        caption=_describe_map(chosen, shown.marks) + describe_evidence(chosen, ""),
    )


def _describe_map(chosen: Sequence[Measurement], marks: Sequence[str]) -> str:
    parts = ["Accuracy in %"]
    for mark in marks:
        is_best = mark == "best"
        parts.append("star: the best of the map" if is_best else f"frame: the {mark} setting")
    text = "; ".join(parts) + ". "
    halves = []
    for m in chosen:
        if m.summary and m.summary.interval:
            low, high = m.summary.interval
            halves.append(50 * (high - low))
    if halves:
        text += f"Half of a 95 % interval is {min(halves):.1f} to {max(halves):.1f} points wide. "
    return text


def _build_map(chosen: Sequence[Measurement]) -> tuple[HeatMap, list[Any], list[Any]]:
    """Return a map, and the values of its rows and columns."""
    (row_name, _), (column_name, _) = chosen[0].sweep
    points = {(m.sweep[0][1], m.sweep[1][1]): m for m in chosen}
    rows = _list_categories([row for row, _ in points])
    columns = _list_categories([column for _, column in points])
    values = np.full((len(rows), len(columns)), np.nan)
    for (row, column), m in points.items():
        if m.summary:
            values[rows.index(row), columns.index(column)] = m.summary.mean
    shown = HeatMap(
        values=values,
        rows=tuple(map(format_value, rows)),
        columns=tuple(map(format_value, columns)),
        row_title=_build_axis_title(row_name),
        column_title=_build_axis_title(column_name),
    )
    return shown, rows, columns


def _draw_line_chart(chosen: Sequence[Measurement]) -> Chart:
    first = chosen[0]
    ((name, _),) = first.sweep
    size = format_ipc(first.ipc)
    title = format_headline(first.scope, size, f"{name_setting(name)} on {first.network}")
    is_numeric = all(is_number(_get_value(m)) for m in chosen)
    figure = draw_setting_lines(chosen, title)
    caption = describe_evidence(chosen, "bands" if is_numeric else "bars")
    if figure.axes[0].get_xscale() == "symlog":
        caption += " The axis is logarithmic and has a place for 0."
    return Chart(
        figure=figure,
        name=(*first.scope.name, size, first.network, _shorten(name)),
        title=title,
        group="sensitivity",
        caption=caption,
    )


def _draw_lines(
    ax: Axes, chosen: Sequence[Measurement], values: Sequence[Any]
) -> dict[str, Artist]:
    """Draw a line per method over numbers."""
    numbers = [float(value) for value in values]
    _scale_axis(ax, numbers)
    handles: dict[str, Artist] = {}
    for method, color in assign_colors(m.method for m in chosen).items():
        measured = [m for m in chosen if m.method == method]
        measured.sort(key=lambda m: values.index(_get_value(m)))
        summaries = [m.summary for m in measured if m.summary]
        x = [float(_get_value(m)) for m in measured]
        handles[method] = draw_line(ax, x, summaries, color)
    label_ticks(ax.xaxis, numbers, [format_value(value) for value in values])
    return handles


def _draw_points(
    ax: Axes, chosen: Sequence[Measurement], values: Sequence[Any]
) -> dict[str, Artist]:
    """Draw a point per method and value, methods next to each other."""
    handles: dict[str, Artist] = {}
    palette = assign_colors(m.method for m in chosen)
    for i, (method, color) in enumerate(palette.items()):
        offset = 0.5 * (i - (len(palette) - 1) / 2) / len(palette)
        measured = [m for m in chosen if m.method == method]
        measured.sort(key=lambda m: values.index(_get_value(m)))
        summaries = [m.summary for m in measured if m.summary]
        x = [values.index(_get_value(m)) + offset for m in measured]
        ax.vlines(x, *get_bounds(summaries), color=color, linewidth=1.6)
        (handles[method],) = ax.plot(x, get_means(summaries), "o", color=color, markersize=5)
    name_ticks(ax.xaxis, [format_value(value) for value in values], _VALUE_WIDTH)
    ax.set_xlim(-0.6, len(values) - 0.4)
    return handles


def _scale_axis(ax: Axes, values: Sequence[float]) -> None:
    """Make the axis logarithmic where the range of the values other than zero is wide."""
    positive = [value for value in values if value > 0]
    if min(values) < 0 or not is_wide_range(positive):
        return
    if len(positive) == len(values):
        ax.set_xscale("log")
    else:
        # A logarithmic axis has no zero; symlog has a place for it before the smallest value.
        ax.set_xscale("symlog", linthresh=min(positive), linscale=0.5)


def _get_value(m: Measurement) -> Any:
    """Return the value of the only swept setting."""
    ((_, value),) = m.sweep
    return value


def _shorten(name: str) -> str:
    return name.rpartition(".")[2]


def _list_categories(values: Sequence[Any]) -> list[Any]:
    """Return distinct values, sorted if they are numbers."""
    distinct = list(dict.fromkeys(values))
    return sorted(distinct) if all(map(is_number, distinct)) else distinct


def _build_axis_title(name: str) -> str:
    short = name_setting(name)
    return _MATHEMATICAL.get(short, short)
