"""Figures of accuracy against the size of the synthetic set.

The lower axis has images per class, the upper one their share of the training set. They show
measurements without swept settings.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distill_core.datasets.info import DatasetError, DatasetInfo, resolve_registered
from orchestrator.report.figures.drawing import (
    Chart,
    add_legend,
    create_panels,
    describe_evidence,
    draw_chance,
    draw_line,
    format_headline,
    get_bounds,
    get_means,
    label_ticks,
)
from orchestrator.report.figures.style import assign_colors
from orchestrator.report.results import Measurement, Results, list_scopes


def draw_charts(results: Results) -> Iterator[Chart]:
    """Draw each scope and network that has results at two IPCs or more."""
    done = [m for m in results.measurements if not m.sweep and m.summary]
    for scope in list_scopes(done):
        here = [m for m in done if m.scope == scope]
        for network in dict.fromkeys(m.network for m in here):
            chosen = [m for m in here if m.network == network and m.ipc is not None]
            if len({m.ipc for m in chosen}) > 1:
                yield _draw_chart(results, chosen, _find_whole(done, chosen[0]))


def draw_sizes(
    chosen: Sequence[Measurement], whole: Measurement | None, info: DatasetInfo | None, title: str
) -> Figure:
    """Draw a line per method over images per class, and the whole training set as a level line.

    Args:
        chosen: measurements of one scope and network with results.
        whole: the whole training set, if it was measured.
        info: gives the number of training images; None leaves out the upper axis.
        title: of the figure.
    """
    figure = create_panels(title, 1, 1, width=4.9, height=3.3)
    (ax,) = figure.axes
    ax.set_xscale("log")
    methods = list(dict.fromkeys(m.method for m in chosen))
    palette = assign_colors([*methods, "Whole"])
    handles: dict[str, Artist] = {}
    if whole and whole.summary:
        handles[whole.method] = _draw_whole(ax, whole, palette["Whole"])
    for method in methods:
        measured = sorted((m for m in chosen if m.method == method), key=lambda m: m.ipc or 0)
        summaries = [m.summary for m in measured if m.summary]
        sizes = [m.ipc or 0 for m in measured]
        handles[method] = draw_line(ax, sizes, summaries, palette[method])
    ipcs = sorted({m.ipc for m in chosen if m.ipc is not None})
    label_ticks(ax.xaxis, ipcs, [str(ipc) for ipc in ipcs])
    ax.set_xlabel("images per class")
    ax.set_ylabel(f"{chosen[0].scope.split} accuracy in %")
    handles |= draw_chance(ax, chosen)
    if info is not None:
        _add_ratio_axis(ax, ipcs, info)
    add_legend(figure, handles)
    return figure


def _find_whole(done: Sequence[Measurement], like: Measurement) -> Measurement | None:
    """Return the whole training set's result on the same data and network.

    That of the same experiment is preferred.
    """
    found = [m for m in done if m.ipc is None and _describe_data(m) == _describe_data(like)]
    return min(found, key=lambda m: m.scope != like.scope, default=None)


def _describe_data(m: Measurement) -> tuple[str, str, str, str]:
    return m.scope.dataset, m.scope.protocol, m.scope.split, m.network


def _draw_chart(
    results: Results, chosen: Sequence[Measurement], whole: Measurement | None
) -> Chart:
    first = chosen[0]
    title = format_headline(first.scope, f"accuracy against size, {first.network}")
    return Chart(
        figure=draw_sizes(chosen, whole, _find_info(results, first), title),
        name=(*first.scope.name, "size", first.network),
        title=title,
        group="compression",
        caption=describe_evidence(chosen, "bands"),
    )


def _find_info(results: Results, m: Measurement) -> DatasetInfo | None:
    """Return the record of a registered data set; None for another version of it."""
    try:
        return resolve_registered(results.plan.units[m.cells[0].evaluation_key].dataset)
    except DatasetError:
        return None


def _draw_whole(ax: Axes, whole: Measurement, color: str) -> Artist:
    summaries = [whole.summary] if whole.summary else []
    (mean,), (low, high) = get_means(summaries), get_bounds(summaries)
    line: Artist = ax.axhline(mean, color=color, linewidth=1.2, linestyle=(0, (4, 2)))
    # One network has no interval, and axhspan cannot draw NaN.
    if np.isfinite(low).all():
        ax.axhspan(low[0], high[0], color=color, alpha=0.12, linewidth=0)
    return line


def _add_ratio_axis(ax: Axes, ipcs: Sequence[int], info: DatasetInfo) -> None:
    """Add the share of the training set that some images per class are, on top."""
    share = len(info.classes) / info.train_images
    top = ax.secondary_xaxis("top")
    label_ticks(top.xaxis, ipcs, [f"{100 * ipc * share:.2g}" for ipc in ipcs])
    top.set_xlabel("stored images / training images in %")
    top.spines[:].set_visible(False)
