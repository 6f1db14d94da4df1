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
    bounds,
    evidence,
    headline,
    legend,
    name_ticks,
    panels,
    percents,
)
from orchestrator.report.figures.heat_map import (
    HEIGHT,
    WIDTH,
    HeatMap,
    best,
    draw_heat_map,
    limits_of,
    mark_best,
)
from orchestrator.report.figures.style import colors
from orchestrator.report.results import Measurement, Results, scopes, size

MATCHING = "distillation.network"
_BAR = 0.17
"""Inches."""


def charts(results: Results) -> Iterator[Chart]:
    """Draw each scope and IPC that has results of several evaluation or matching networks."""
    for scope in scopes(results.measurements):
        done = [m for m in results.measurements if m.scope == scope and m.summary]
        plain = [m for m in done if not m.sweep]
        matching = [m for m in done if [name for name, _ in m.sweep] == [MATCHING]]
        for ipc in sorted({m.ipc for m in plain if m.ipc is not None}):
            chosen = [m for m in plain if m.ipc == ipc]
            networks = {m.network for m in chosen}
            if len(networks) > 1:
                whole = [m for m in plain if m.ipc is None and m.network in networks]
                yield _bar_chart([*chosen, *whole], "evaluation network", lambda m: m.network)
        for ipc in sorted({m.ipc for m in matching if m.ipc is not None}):
            yield from _matching_charts([m for m in matching if m.ipc == ipc])


def matching_network(m: Measurement) -> str:
    """Return the network that a set of a sweep over matching networks was distilled with."""
    return str(dict(m.sweep)[MATCHING])


def _matching_charts(chosen: Sequence[Measurement]) -> Iterator[Chart]:
    evaluated: dict[str, set[str]] = {}
    for m in chosen:
        evaluated.setdefault(matching_network(m), set()).add(m.network)
    if max(map(len, evaluated.values())) > 1:
        yield _matching_chart(chosen)
    elif len(evaluated) > 1:
        yield _bar_chart(chosen, "matching network", matching_network)


def _bar_chart(
    chosen: Sequence[Measurement], axis: str, group: Callable[[Measurement], str]
) -> Chart:
    first = chosen[0]
    title = headline(first.scope, size(first.ipc), f"accuracy by {axis}")
    return Chart(
        figure=bar_figure(chosen, title, axis, group),
        name=(*first.scope.name, axis.replace(" ", "-"), size(first.ipc)),
        title=title,
        group="architectures",
        caption=evidence(chosen, "black lines"),
    )


def bar_figure(
    chosen: Sequence[Measurement], title: str, axis: str, group: Callable[[Measurement], str]
) -> Figure:
    """Draw bars in groups, a bar a method with its interval."""
    groups, methods = (
        list(dict.fromkeys(map(group, chosen))),
        list(dict.fromkeys(m.method for m in chosen)),
    )
    palette = colors(methods)
    handles: dict[str, Artist] = {}
    width = 0.8 / len(methods)
    across = _BAR * len(methods) + 0.3
    figure = panels(title, 1, 1, width=0.8 + len(groups) * across, height=2.9)
    (ax,) = figure.axes
    for i, method in enumerate(methods):
        mine = [m for m in chosen if m.method == method]
        x = np.array([groups.index(group(m)) for m in mine]) + (i - (len(methods) - 1) / 2) * width
        summaries = [m.summary for m in mine if m.summary]
        ax.bar(x, percents(summaries), width=0.9 * width, color=palette[method])
        handles[method] = Patch(color=palette[method])
        ax.vlines(x, *bounds(summaries), color="black", linewidth=1)
    name_ticks(ax.xaxis, groups, across)
    ax.set_xlim(-0.6, len(groups) - 0.4)
    ax.grid(False, axis="x")
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel(axis)
    ax.set_ylabel(f"{chosen[0].scope.split} accuracy in %")
    legend(figure, handles)
    return figure


def _matching_chart(chosen: Sequence[Measurement]) -> Chart:
    first = chosen[0]
    title = headline(first.scope, size(first.ipc), "matching network × evaluation network")
    text = (
        "Accuracy in %, one colour scale; star: the best matching network for each evaluation"
        " network. "
    )
    return Chart(
        figure=matching_figure(chosen, title),
        name=(*first.scope.name, "matching", size(first.ipc)),
        title=title,
        group="architectures",
        caption=text + evidence(chosen, ""),
    )


def matching_figure(chosen: Sequence[Measurement], title: str) -> Figure:
    """Draw a heat map of matching × evaluation networks a method."""
    rows = list(dict.fromkeys(map(matching_network, chosen)))[::-1]
    columns = list(dict.fromkeys(m.network for m in chosen))
    maps = {
        method: _matching_map([m for m in chosen if m.method == method], rows, columns)
        for method in dict.fromkeys(m.method for m in chosen)
    }
    across = min(len(maps), 2)
    down = -(-len(maps) // across)
    width, height = 1.15 * WIDTH * len(columns) + 0.9, HEIGHT * len(rows) + 0.9
    figure = panels(title, down, across, width=width, height=height, beside=0.9)
    limits, handles = limits_of(list(maps.values())), dict[str, Artist]()
    for ax, (method, shown) in zip(figure.axes, maps.items(), strict=False):
        draw_heat_map(ax, shown, limits)
        handles |= mark_best(ax, best(shown.values, axis=0))
        ax.set_title(method)
        ax.label_outer()
    for ax in figure.axes[len(maps) :]:
        ax.remove()
    legend(figure, handles)
    return figure


def _matching_map(
    chosen: Sequence[Measurement], rows: Sequence[str], columns: Sequence[str]
) -> HeatMap:
    values = np.full((len(rows), len(columns)), np.nan)
    for m in chosen:
        if m.summary:
            values[rows.index(matching_network(m)), columns.index(m.network)] = m.summary.mean
    return HeatMap(
        values=values,
        rows=tuple(rows),
        columns=tuple(columns),
        row_title="matching network",
        column_title="evaluation network",
    )
