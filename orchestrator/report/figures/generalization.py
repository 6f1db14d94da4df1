"""Figures of generalization: slopes from the matching network to each other architecture.

They show measurements without swept settings on several evaluation networks.
"""

from collections.abc import Iterator

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from orchestrator.report.figures.drawing import (
    Chart,
    add_legend,
    create_panels,
    describe_evidence,
    format_headline,
    get_bounds,
    get_means,
)
from orchestrator.report.figures.style import assign_colors
from orchestrator.report.findings.architectures import TransferGroup, list_transfer_groups
from orchestrator.report.results import Results, format_ipc

_ACROSS = 3
"""Panels per row."""
_SPREAD = 0.16
"""How far apart intervals of methods are, so that all can be seen."""


def draw_charts(results: Results) -> Iterator[Chart]:
    """Draw each scope and size with results on the matching network and on another."""
    for group in list_transfer_groups(results):
        size = format_ipc(group.ipc)
        title = format_headline(group.scope, size, "generalization to other architectures")
        shown = [m for transfer in group.transfers for m in transfer.measured.values()]
        yield Chart(
            figure=draw_slopes(group, title),
            name=(*group.scope.name, "generalization", size),
            title=title,
            group="generalization",
            caption=(
                "From the matching network, left, to another network, right. The steeper a line"
                f" falls, the more is lost. {describe_evidence(shown, 'vertical lines')}"
            ),
        )


def draw_slopes(group: TransferGroup, title: str) -> Figure:
    """Draw a panel per other architecture, with a line per method."""
    others = group.networks[1:]
    palette = assign_colors(each.method for each in group.transfers)
    columns = min(len(others), _ACROSS)
    rows = -(-len(others) // columns)
    figure = create_panels(title, rows, columns, width=2.3, height=2.6)
    handles: dict[str, Artist] = {}
    first = figure.axes[0]
    for ax, network in zip(figure.axes, others, strict=False):
        if ax is not first:
            ax.sharey(first)
        for i, transfer in enumerate(group.transfers):
            measured = [transfer.measured[transfer.matching], transfer.measured.get(network)]
            summaries = [m.summary for m in measured if m is not None and m.summary]
            if len(summaries) < 2:
                continue
            shift = _SPREAD * (i / max(len(group.transfers) - 1, 1) - 0.5)
            x = [shift, 1 + shift]
            color = palette[transfer.method]
            ax.vlines(x, *get_bounds(summaries), color=color, linewidth=1)
            (handles[transfer.method],) = ax.plot(
                x, get_means(summaries), color=color, linewidth=1.6, marker="o", markersize=4
            )
        ax.set_xticks([0, 1], [group.matching, network])
        ax.set_xlim(-0.3, 1.3)
        ax.grid(False, axis="x")
    for ax in figure.axes[len(others) :]:
        ax.remove()
    for ax in figure.axes[::columns]:
        ax.set_ylabel(f"{group.scope.split} accuracy in %")
    add_legend(figure, handles)
    return figure
