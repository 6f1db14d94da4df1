"""Accuracy against swept settings: a heat map over two of them (λ_CC × λ_CM), a line over one."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
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

_ACROSS = 0.9
"""Of a value that is no number, in inches."""
_MATHEMATICAL = {"λ_CC": r"$\lambda_\mathrm{CC}$", "λ_CM": r"$\lambda_\mathrm{CM}$"}


def draw_charts(results: Results) -> Iterator[Chart]:
    """Draw each sweep over one or two settings that has results; matching networks have a figure of
    their own.
    """
    done = [m for m in results.measurements if m.sweep and m.summary]
    for (names, *_), chosen in _group_measurements(
        [m for m in done if len(m.sweep) == 2], "method"
    ):
        if len(chosen) > 1:
            yield _draw_map_chart(names, chosen)
    for (names, *_), chosen in _group_measurements(
        [m for m in done if len(m.sweep) == 1 and m.sweep[0][0] != MATCHING]
    ):
        if len({m.sweep for m in chosen}) > 1:
            yield _draw_line_chart(names[0], chosen)


def _group_measurements(
    measurements: Sequence[Measurement], *further: str
) -> Iterator[tuple[tuple[Any, ...], list[Measurement]]]:
    groups: dict[tuple[Any, ...], list[Measurement]] = {}
    for m in measurements:
        names = tuple(name for name, _ in m.sweep)
        key = (names, m.scope, m.ipc, m.network, *(getattr(m, name) for name in further))
        groups.setdefault(key, []).append(m)
    yield from groups.items()


def _draw_map_chart(names: Sequence[str], chosen: Sequence[Measurement]) -> Chart:
    first = chosen[0]
    title = format_headline(
        first.scope, format_ipc(first.ipc), f"{first.method} on {first.network}"
    )
    figure, marks = draw_setting_map(chosen, title)
    named = {"best": "star: the best of the map"}
    text = (
        "; ".join(
            ["Accuracy in %", *(named.get(mark, f"frame: the {mark} setting") for mark in marks)]
        )
        + ". "
    )
    widths = [
        50 * (m.summary.interval[1] - m.summary.interval[0])
        for m in chosen
        if m.summary and m.summary.interval
    ]
    if widths:
        text += f"Half of a 95 % interval is {min(widths):.1f} to {max(widths):.1f} points wide. "
    return Chart(
        figure=figure,
        name=(
            *first.scope.name,
            first.method,
            format_ipc(first.ipc),
            first.network,
            *map(_shorten, names),
        ),
        title=title,
        group="sensitivity",
        caption=text + describe_evidence(chosen, ""),
    )


def draw_setting_map(chosen: Sequence[Measurement], title: str) -> tuple[Figure, tuple[str, ...]]:
    """Draw the measurements of a sweep over two settings; the first setting goes upwards, the
    second to the right.

    Returns:
        The figure, and what is marked in it: "best", and whose setting is framed, as in
            `usual_setting`.
    """
    (row_name, _), (column_name, _) = chosen[0].sweep
    rows, columns = (_list_categories([m.sweep[i][1] for m in chosen]) for i in (0, 1))
    values = np.full((len(rows), len(columns)), np.nan)
    for m in chosen:
        if m.summary:
            values[rows.index(m.sweep[0][1]), columns.index(m.sweep[1][1])] = m.summary.mean
    shown = HeatMap(
        values=values,
        rows=tuple(map(format_value, rows)),
        columns=tuple(map(format_value, columns)),
        row_title=_build_axis_title(row_name),
        column_title=_build_axis_title(column_name),
    )
    figure = create_panels(
        title, 1, 1, width=WIDTH * len(columns) + 0.9, height=HEIGHT * len(rows) + 0.6, beside=1.2
    )
    (ax,) = figure.axes
    draw_heat_map(ax, shown, find_limits([shown]))
    handles = mark_best(ax, find_best(values))
    point, whose = find_usual_values(chosen[0])
    if point is not None and point[0] in rows and point[1] in columns:
        handles[whose] = draw_frame(ax, rows.index(point[0]), columns.index(point[1]))
    add_legend(figure, handles)
    return figure, tuple(handles)


def _draw_line_chart(name: str, chosen: Sequence[Measurement]) -> Chart:
    first = chosen[0]
    title = format_headline(
        first.scope, format_ipc(first.ipc), f"{name_setting(name)} on {first.network}"
    )
    numeric = all(is_number(m.sweep[0][1]) for m in chosen)
    figure = draw_setting_lines(name, chosen, title)
    zero = (
        " The axis is logarithmic, with a place for 0."
        if figure.axes[0].get_xscale() == "symlog"
        else ""
    )
    return Chart(
        figure=figure,
        name=(*first.scope.name, format_ipc(first.ipc), first.network, _shorten(name)),
        title=title,
        group="sensitivity",
        caption=describe_evidence(chosen, "bands" if numeric else "bars") + zero,
    )


def draw_setting_lines(name: str, chosen: Sequence[Measurement], title: str) -> Figure:
    """Draw the measurements of a sweep over one setting: a line a method, or points where its
    values are no numbers.
    """
    values = _list_categories([m.sweep[0][1] for m in chosen])
    methods = list(dict.fromkeys(m.method for m in chosen))
    palette, handles = assign_colors(methods), {}
    numeric = all(map(is_number, values))
    figure = create_panels(
        title, 1, 1, width=4.6 if numeric else 1.4 + _ACROSS * len(values), height=2.9
    )
    (ax,) = figure.axes
    if numeric:
        _scale(ax, [float(value) for value in values])
    for i, method in enumerate(methods):
        found = {
            values.index(m.sweep[0][1]): m.summary
            for m in chosen
            if m.method == method and m.summary
        }
        summaries = [found[place] for place in sorted(found)]
        if numeric:
            handles[method] = draw_line(
                ax, [float(values[p]) for p in sorted(found)], summaries, palette[method]
            )
            continue
        x = [place + 0.5 * (i - (len(methods) - 1) / 2) / len(methods) for place in sorted(found)]
        ax.vlines(x, *get_bounds(summaries), color=palette[method], linewidth=1.6)
        (handles[method],) = ax.plot(
            x, get_means(summaries), "o", color=palette[method], markersize=5
        )
    if numeric:
        label_ticks(
            ax.xaxis, [float(value) for value in values], [format_value(value) for value in values]
        )
    else:
        name_ticks(ax.xaxis, [format_value(value) for value in values], _ACROSS)
        ax.set_xlim(-0.6, len(values) - 0.4)
    ax.set_xlabel(_build_axis_title(name))
    ax.set_ylabel(f"{chosen[0].scope.split} accuracy in %")
    add_legend(figure, handles)
    return figure


def _scale(ax: Axes, values: Sequence[float]) -> None:
    """Make the axis logarithmic where the values other than zero span far; zero then has a place
    before them.
    """
    positive = [value for value in values if value > 0]
    if min(values) < 0 or not is_wide_range(positive):
        return
    if len(positive) == len(values):
        ax.set_xscale("log")
    else:
        ax.set_xscale("symlog", linthresh=min(positive), linscale=0.5)


def _shorten(name: str) -> str:
    return name.rpartition(".")[2]


def _list_categories(values: Sequence[Any]) -> list[Any]:
    distinct = list(dict.fromkeys(values))
    return sorted(distinct) if all(map(is_number, distinct)) else distinct


def _build_axis_title(name: str) -> str:
    short = name_setting(name)
    return _MATHEMATICAL.get(short, short)
