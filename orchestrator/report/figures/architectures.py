"""Figures of evaluation networks: bars per network, or a heat map over matching networks.

Bars show measurements without swept settings, and sweeps over matching networks that are evaluated
on the same network. Heat maps show sweeps over matching networks that are evaluated on several.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from orchestrator.report.figures.drawing import (
    Chart,
    add_legend,
    create_panels,
    describe_evidence,
    draw_chance,
    format_headline,
    get_bounds,
    get_means,
    name_ticks,
)
from orchestrator.report.figures.heat_map import (
    HEIGHT,
    WIDTH,
    HeatMap,
    draw_heat_map,
    find_best,
    find_limits,
    mark_best,
)
from orchestrator.report.figures.style import assign_colors
from orchestrator.report.results import Measurement, Results, Scope, format_ipc, list_scopes

MATCHING = "distillation.network"
_BAR = 0.17
"""Inches."""

NameGroup = Callable[[Measurement], str]


def draw_charts(results: Results) -> Iterator[Chart]:
    """Draw each scope and IPC that has results of several evaluation or matching networks."""
    for scope in list_scopes(results.measurements):
        yield from _draw_scope(results, scope)


def _draw_scope(results: Results, scope: Scope) -> Iterator[Chart]:
    done = [m for m in results.measurements if m.scope == scope and m.summary]
    plain = [m for m in done if not m.sweep]
    matching = [m for m in done if len(m.sweep) == 1 and m.sweep[0][0] == MATCHING]
    for ipc in _list_ipcs(plain):
        chosen = [m for m in plain if m.ipc == ipc]
        networks = {m.network for m in chosen}
        if len(networks) > 1:
            whole = [m for m in plain if m.ipc is None and m.network in networks]
            yield _draw_bar_chart([*chosen, *whole], "evaluation network", lambda m: m.network)
    for ipc in _list_ipcs(matching):
        yield from _draw_matching_charts([m for m in matching if m.ipc == ipc])


def get_matching_network(m: Measurement) -> str:
    """Return the network that a set of a sweep over matching networks was distilled with."""
    return str(dict(m.sweep)[MATCHING])


def draw_bars(
    chosen: Sequence[Measurement], title: str, axis: str, name_group: NameGroup
) -> Figure:
    """Draw groups of bars: a bar per method, with its interval."""
    groups = list(dict.fromkeys(map(name_group, chosen)))
    methods = list(dict.fromkeys(m.method for m in chosen))
    palette = assign_colors(methods)
    handles: dict[str, Artist] = {}
    bar_width = 0.8 / len(methods)
    group_width = _BAR * len(methods) + 0.3
    figure = create_panels(title, 1, 1, width=0.8 + len(groups) * group_width, height=2.9)
    (ax,) = figure.axes
    for i, method in enumerate(methods):
        measured = [m for m in chosen if m.method == method]
        offset = (i - (len(methods) - 1) / 2) * bar_width
        x = np.array([groups.index(name_group(m)) for m in measured]) + offset
        summaries = [m.summary for m in measured if m.summary]
        ax.bar(x, get_means(summaries), width=0.9 * bar_width, color=palette[method])
        handles[method] = Patch(color=palette[method])
        ax.vlines(x, *get_bounds(summaries), color="black", linewidth=1)
    handles |= draw_chance(ax, chosen)
    name_ticks(ax.xaxis, groups, group_width)
    ax.set_xlim(-0.6, len(groups) - 0.4)
    ax.grid(False, axis="x")
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel(axis)
    ax.set_ylabel(f"{chosen[0].scope.split} accuracy in %")
    add_legend(figure, handles)
    return figure


def draw_matching_maps(chosen: Sequence[Measurement], title: str) -> Figure:
    """Draw a heat map of matching × evaluation networks for each method."""
    # The first row of a heat map is at the bottom, so the order is reversed.
    rows = list(dict.fromkeys(map(get_matching_network, chosen)))[::-1]
    columns = list(dict.fromkeys(m.network for m in chosen))
    by_method: dict[str, list[Measurement]] = {}
    for m in chosen:
        by_method.setdefault(m.method, []).append(m)
    maps = {
        method: _build_matching_map(measured, rows, columns)
        for method, measured in by_method.items()
    }
    across = min(len(maps), 2)
    down = -(-len(maps) // across)
    width, height = 1.15 * WIDTH * len(columns) + 0.9, HEIGHT * len(rows) + 0.9
    figure = create_panels(title, down, across, width=width, height=height, legend_width=0.9)
    # One color scale for all maps, so that colors can be compared between them.
    limits, handles = find_limits(list(maps.values())), dict[str, Artist]()
    for ax, (method, shown) in zip(figure.axes, maps.items(), strict=False):
        draw_heat_map(ax, shown, limits)
        handles |= mark_best(ax, find_best(shown.values, axis=0))
        ax.set_title(method)
        ax.label_outer()
    # An odd number of maps leaves the last panel empty.
    for ax in figure.axes[len(maps) :]:
        ax.remove()
    add_legend(figure, handles)
    return figure


def _list_ipcs(measurements: Sequence[Measurement]) -> list[int]:
    return sorted({m.ipc for m in measurements if m.ipc is not None})


def _draw_matching_charts(chosen: Sequence[Measurement]) -> Iterator[Chart]:
    evaluated: dict[str, set[str]] = {}
    for m in chosen:
        evaluated.setdefault(get_matching_network(m), set()).add(m.network)
    # With one evaluation network per matching network a map would be one filled diagonal or row.
    if max(map(len, evaluated.values())) > 1:
        yield _draw_matching_chart(chosen)
    elif len(evaluated) > 1:
        yield _draw_bar_chart(chosen, "matching network", get_matching_network)


def _draw_bar_chart(chosen: Sequence[Measurement], axis: str, name_group: NameGroup) -> Chart:
    first = chosen[0]
    title = format_headline(first.scope, format_ipc(first.ipc), f"accuracy by {axis}")
    return Chart(
        figure=draw_bars(chosen, title, axis, name_group),
        name=(*first.scope.name, axis.replace(" ", "-"), format_ipc(first.ipc)),
        title=title,
        group="architectures",
        caption=describe_evidence(chosen, "black lines"),
    )


def _draw_matching_chart(chosen: Sequence[Measurement]) -> Chart:
    first = chosen[0]
    size = format_ipc(first.ipc)
    title = format_headline(first.scope, size, "matching network × evaluation network")
    text = (
        "Accuracy in %, on one color scale; star: the best matching network for each evaluation"
        " network. "
    )
    return Chart(
        figure=draw_matching_maps(chosen, title),
        name=(*first.scope.name, "matching", size),
        title=title,
        group="architectures",
        caption=text + describe_evidence(chosen, ""),
    )


def _build_matching_map(
    chosen: Sequence[Measurement], rows: Sequence[str], columns: Sequence[str]
) -> HeatMap:
    values = np.full((len(rows), len(columns)), np.nan)
    for m in chosen:
        if m.summary:
            values[rows.index(get_matching_network(m)), columns.index(m.network)] = m.summary.mean
    return HeatMap(
        values=values,
        rows=tuple(rows),
        columns=tuple(columns),
        row_title="matching network",
        column_title="evaluation network",
    )
