"""Accuracy of evaluation networks: bars a network for sets of one matching network, a heat map for
sets of several.
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
from orchestrator.report.results import Measurement, Results, format_ipc, list_scopes

MATCHING = "distillation.network"
_BAR = 0.17
"""Inches."""


def draw_charts(results: Results) -> Iterator[Chart]:
    """Draw each scope and IPC that has results of several evaluation or matching networks."""
    for scope in list_scopes(results.measurements):
        done = [m for m in results.measurements if m.scope == scope and m.summary]
        plain = [m for m in done if not m.sweep]
        matching = [m for m in done if [name for name, _ in m.sweep] == [MATCHING]]
        for ipc in sorted({m.ipc for m in plain if m.ipc is not None}):
            chosen = [m for m in plain if m.ipc == ipc]
            networks = {m.network for m in chosen}
            if len(networks) > 1:
                whole = [m for m in plain if m.ipc is None and m.network in networks]
                yield _draw_bar_chart([*chosen, *whole], "evaluation network", lambda m: m.network)
        for ipc in sorted({m.ipc for m in matching if m.ipc is not None}):
            yield from _draw_matching_charts([m for m in matching if m.ipc == ipc])


def get_matching_network(m: Measurement) -> str:
    """Return the network that a set of a sweep over matching networks was distilled with."""
    return str(dict(m.sweep)[MATCHING])


def _draw_matching_charts(chosen: Sequence[Measurement]) -> Iterator[Chart]:
    evaluated: dict[str, set[str]] = {}
    for m in chosen:
        evaluated.setdefault(get_matching_network(m), set()).add(m.network)
    if max(map(len, evaluated.values())) > 1:
        yield _draw_matching_chart(chosen)
    elif len(evaluated) > 1:
        yield _draw_bar_chart(chosen, "matching network", get_matching_network)


def _draw_bar_chart(
    chosen: Sequence[Measurement], axis: str, group: Callable[[Measurement], str]
) -> Chart:
    first = chosen[0]
    title = format_headline(first.scope, format_ipc(first.ipc), f"accuracy by {axis}")
    return Chart(
        figure=draw_bars(chosen, title, axis, group),
        name=(*first.scope.name, axis.replace(" ", "-"), format_ipc(first.ipc)),
        title=title,
        group="architectures",
        caption=describe_evidence(chosen, "black lines"),
    )


def draw_bars(
    chosen: Sequence[Measurement], title: str, axis: str, group: Callable[[Measurement], str]
) -> Figure:
    """Draw bars in groups, a bar a method with its interval."""
    groups, methods = (
        list(dict.fromkeys(map(group, chosen))),
        list(dict.fromkeys(m.method for m in chosen)),
    )
    palette = assign_colors(methods)
    handles: dict[str, Artist] = {}
    width = 0.8 / len(methods)
    across = _BAR * len(methods) + 0.3
    figure = create_panels(title, 1, 1, width=0.8 + len(groups) * across, height=2.9)
    (ax,) = figure.axes
    for i, method in enumerate(methods):
        mine = [m for m in chosen if m.method == method]
        x = np.array([groups.index(group(m)) for m in mine]) + (i - (len(methods) - 1) / 2) * width
        summaries = [m.summary for m in mine if m.summary]
        ax.bar(x, get_means(summaries), width=0.9 * width, color=palette[method])
        handles[method] = Patch(color=palette[method])
        ax.vlines(x, *get_bounds(summaries), color="black", linewidth=1)
    name_ticks(ax.xaxis, groups, across)
    ax.set_xlim(-0.6, len(groups) - 0.4)
    ax.grid(False, axis="x")
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel(axis)
    ax.set_ylabel(f"{chosen[0].scope.split} accuracy in %")
    add_legend(figure, handles)
    return figure


def _draw_matching_chart(chosen: Sequence[Measurement]) -> Chart:
    first = chosen[0]
    title = format_headline(
        first.scope, format_ipc(first.ipc), "matching network × evaluation network"
    )
    text = (
        "Accuracy in %, one colour scale; star: the best matching network for each evaluation"
        " network. "
    )
    return Chart(
        figure=draw_matching_maps(chosen, title),
        name=(*first.scope.name, "matching", format_ipc(first.ipc)),
        title=title,
        group="architectures",
        caption=text + describe_evidence(chosen, ""),
    )


def draw_matching_maps(chosen: Sequence[Measurement], title: str) -> Figure:
    """Draw a heat map of matching × evaluation networks a method."""
    rows = list(dict.fromkeys(map(get_matching_network, chosen)))[::-1]
    columns = list(dict.fromkeys(m.network for m in chosen))
    maps = {
        method: _build_matching_map([m for m in chosen if m.method == method], rows, columns)
        for method in dict.fromkeys(m.method for m in chosen)
    }
    across = min(len(maps), 2)
    down = -(-len(maps) // across)
    width, height = 1.15 * WIDTH * len(columns) + 0.9, HEIGHT * len(rows) + 0.9
    figure = create_panels(title, down, across, width=width, height=height, beside=0.9)
    limits, handles = find_limits(list(maps.values())), dict[str, Artist]()
    for ax, (method, shown) in zip(figure.axes, maps.items(), strict=False):
        draw_heat_map(ax, shown, limits)
        handles |= mark_best(ax, find_best(shown.values, axis=0))
        ax.set_title(method)
        ax.label_outer()
    for ax in figure.axes[len(maps) :]:
        ax.remove()
    add_legend(figure, handles)
    return figure


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
