"""Figures of class-incremental learning: accuracy over the classes seen so far, after each step.

They show the trajectories with results.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from orchestrator.report.figures.drawing import (
    Chart,
    add_legend,
    create_panels,
    describe_evidence,
    draw_line,
    format_headline,
    label_ticks,
)
from orchestrator.report.figures.style import assign_colors
from orchestrator.report.results import Results, Trajectory, format_ipc
from orchestrator.report.swept_settings import format_point


def draw_charts(results: Results) -> Iterator[Chart]:
    """Draw each scope, network and IPC that has results.

    A figure has a panel per number of steps, and a line per method.
    """
    rows = results.rows["continual"]
    seen = {
        (str(key), int(step)): len(classes)
        for key, step, classes in zip(rows["key"], rows["step"], rows["classes"], strict=True)
    }
    groups: dict[Any, list[Trajectory]] = {}
    for t in results.trajectories:
        if t.accuracies:
            groups.setdefault((t.scope, t.network, t.ipc, t.sweep), []).append(t)
    for (scope, network, ipc, sweep), chosen in groups.items():
        size, point = format_ipc(ipc), format_point(sweep)
        title = format_headline(scope, size, f"class-incremental learning on {network}", *point)
        evidence = describe_evidence(chosen, "bands", "class orders")
        yield Chart(
            figure=draw_steps(chosen, seen, title),
            name=(*scope.name, "steps", size, network, *point),
            title=title,
            group="continual",
            caption=f"Accuracy over the classes seen so far. {evidence}",
        )


def draw_steps(
    chosen: Sequence[Trajectory], seen: Mapping[tuple[str, int], int], title: str
) -> Figure:
    """Draw trajectories.

    Args:
        chosen: trajectories with results.
        seen: number of classes seen, by unit and step.
        title: of the figure.
    """
    counts = sorted({t.steps for t in chosen})
    palette = assign_colors(t.method for t in chosen)
    handles: dict[str, Artist] = {}
    figure = create_panels(title, 1, len(counts), width=3.6, height=2.9)
    first = figure.axes[0]
    for ax, steps in zip(figure.axes, counts, strict=True):
        if ax is not first:
            ax.sharey(first)
        for t in chosen:
            if t.steps != steps:
                continue
            x = [seen[t.keys[0], step] for step in range(1, steps + 1)]
            summaries = [summary for summary in t.summaries if summary]
            handles[t.method] = draw_line(ax, x, summaries, palette[t.method])
        label_ticks(ax.xaxis, x, [str(classes) for classes in x])
        ax.margins(x=0.04)
        ax.set_title(f"{steps} {'steps' if steps > 1 else 'step'}")
        ax.set_xlabel("classes seen")
    first.set_ylabel(f"{chosen[0].scope.split} accuracy in %")
    # The lower margin must not reach below zero, where no accuracy can be.
    first.set_ylim(bottom=max(0, first.get_ylim()[0]))
    add_legend(figure, handles)
    return figure
