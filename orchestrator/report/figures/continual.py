"""Class-incremental learning: accuracy over the classes seen so far, after each step."""

from collections.abc import Iterator, Sequence
from typing import Any

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
    """Draw each scope, network and IPC that has results: a panel a number of steps, a line a
    method.
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
        title = format_headline(
            scope, format_ipc(ipc), f"class-incremental learning on {network}", *format_point(sweep)
        )
        yield Chart(
            figure=draw_steps(chosen, seen, title),
            name=(*scope.name, "steps", format_ipc(ipc), network, *format_point(sweep)),
            title=title,
            group="continual",
            caption="Accuracy over the classes seen so far. "
            + describe_evidence(chosen, "bands", "class orders"),
        )


def draw_steps(
    chosen: Sequence[Trajectory], seen: dict[tuple[str, int], int], title: str
) -> Figure:
    """Draw trajectories.

    Args:
        chosen: trajectories with results.
        seen: number of classes seen, by unit and step.
        title: of the figure.
    """
    counts = sorted({t.steps for t in chosen})
    palette, handles = assign_colors(t.method for t in chosen), {}
    figure = create_panels(title, 1, len(counts), width=3.6, height=2.9)
    for ax, steps in zip(figure.axes, counts, strict=True):
        if ax is not figure.axes[0]:
            ax.sharey(figure.axes[0])
        for t in (t for t in chosen if t.steps == steps):
            x = [seen[t.keys[0], step + 1] for step in range(steps)]
            summaries = [summary for summary in t.summaries if summary]
            handles[t.method] = draw_line(ax, x, summaries, palette[t.method])
        label_ticks(ax.xaxis, x, [str(classes) for classes in x])
        ax.margins(x=0.04)
        ax.set_title(f"{steps} {'steps' if steps > 1 else 'step'}")
        ax.set_xlabel("classes seen")
    figure.axes[0].set_ylabel(f"{chosen[0].scope.split} accuracy in %")
    figure.axes[0].set_ylim(bottom=max(0, figure.axes[0].get_ylim()[0]))
    add_legend(figure, handles)
    return figure
