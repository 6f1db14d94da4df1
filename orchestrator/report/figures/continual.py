"""Class-incremental learning: accuracy over the classes seen so far, after each step."""

from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.figure import Figure

from orchestrator.report.figures.drawing import (
    Chart,
    draw_line,
    evidence,
    headline,
    label_ticks,
    legend,
    panels,
)
from orchestrator.report.figures.style import colors
from orchestrator.report.results import Results, Trajectory, size
from orchestrator.report.swept_settings import point


def charts(results: Results) -> Iterator[Chart]:
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
        title = headline(
            scope, size(ipc), f"class-incremental learning on {network}", *point(sweep)
        )
        yield Chart(
            figure=step_figure(chosen, seen, title),
            name=(*scope.name, "steps", size(ipc), network, *point(sweep)),
            title=title,
            group="continual",
            caption="Accuracy over the classes seen so far. "
            + evidence(chosen, "bands", "class orders"),
        )


def step_figure(
    chosen: Sequence[Trajectory], seen: dict[tuple[str, int], int], title: str
) -> Figure:
    """Draw trajectories.

    Args:
        chosen: trajectories with results.
        seen: number of classes seen, by unit and step.
        title: of the figure.
    """
    counts = sorted({t.steps for t in chosen})
    palette, handles = colors(t.method for t in chosen), {}
    figure = panels(title, 1, len(counts), width=3.6, height=2.9)
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
    legend(figure, handles)
    return figure
