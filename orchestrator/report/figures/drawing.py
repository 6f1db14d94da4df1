"""What figures share: panels with a title and a legend, lines with intervals, captions, files."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from orchestrator.analysis.statistics import GroupSummary
from orchestrator.report.figures.style import MUTED, create_figure, save_figure
from orchestrator.report.model import Picture, PictureGroup, make_slug
from orchestrator.report.results import Measurement, Scope, Trajectory

Array = NDArray[np.float64]

LOG_RANGE = 20
"""An axis whose values span more than this factor is logarithmic."""
_COLORS = 256
"""Of a PNG."""
_TITLE_LETTER = 0.092
"""Inches per letter of a title."""
_TICK_LETTER = 0.075
"""Inches per letter of a tick's label."""
_MIN_WIDTH = 4.6
"""Inches."""
_TICK_GAP = 0.06
"""Smallest distance between labeled ticks, as a fraction of the axis."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A figure that is drawn but not written."""

    figure: Figure
    name: tuple[object, ...]
    """Parts of its file name."""
    title: str
    group: PictureGroup
    caption: str


def write_chart(chart: Chart, out: Path) -> Picture:
    """Write a chart as SVG and PNG into the `figures` folder of a report."""
    path = Path("figures") / f"{make_slug(*chart.name)}.png"
    save_figure(chart.figure, (out / path).with_suffix(".svg"))
    save_figure(chart.figure, out / path, colors=_COLORS)
    return Picture(title=chart.title, path=path, group=chart.group, caption=chart.caption)


def format_headline(scope: Scope, *parts: str) -> str:
    """Return the title of a figure of a scope: "ratio: cifar10, IPC 10"."""
    return f"{scope.experiment}: " + ", ".join((*scope.name[1:], *parts))


def create_panels(
    title: str, rows: int, columns: int, *, width: float, height: float, legend_width: float = 1.3
) -> Figure:
    """Return a figure of rows × columns panels with a title over them.

    Args:
        title: of the figure; it wraps where it would reach the legend.
        rows: number of rows of panels.
        columns: number of panels per row.
        width: of a panel with its labels, in inches.
        height: of a panel with its labels, in inches.
        legend_width: space for the legend, in inches.
    """
    total_width = max(_MIN_WIDTH, columns * width + legend_width)
    lines = textwrap.wrap(title, int((total_width - legend_width) / _TITLE_LETTER))
    figure = create_figure(total_width, rows * height + 0.25 + 0.17 * len(lines))
    figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=11, fontweight="bold")
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.06, wspace=0.03, hspace=0.04)
    figure.subplots(rows, columns, squeeze=False)
    return figure


def add_legend(figure: Figure, handles: Mapping[str, Artist]) -> None:
    """Put a legend to the right of all panels."""
    if handles:
        box = figure.legend(list(handles.values()), list(handles), loc="outside right upper")
        box.set_alignment("left")


def draw_line(ax: Axes, x: ArrayLike, summaries: Sequence[GroupSummary], color: str) -> Artist:
    """Draw means in percent, and their 95 % intervals as a band where there are any."""
    points, means, (low, high) = np.asarray(x), get_means(summaries), get_bounds(summaries)
    ax.fill_between(points, low, high, color=color, alpha=0.18, linewidth=0)
    if len(points) == 1:  # a band over one point would not be visible
        ax.vlines(points, low, high, color=color, linewidth=1.2)
    (line,) = ax.plot(
        points, means, color=color, linewidth=1.6, marker="o", markersize=4, solid_capstyle="round"
    )
    return line


def draw_chance(ax: Axes, shown: Sequence[Measurement]) -> dict[str, Artist]:
    """Draw what guessing reaches as a dotted level line, and return it for a legend."""
    levels = sorted({m.tested.chance for m in shown if m.tested})
    lines = [ax.axhline(100 * level, color=MUTED, linewidth=1, linestyle=":") for level in levels]
    return {"chance": lines[0]} if lines else {}


def get_means(summaries: Iterable[GroupSummary]) -> Array:
    """Return the means (n,) in percent."""
    return np.array([100 * summary.mean for summary in summaries])


def get_bounds(summaries: Iterable[GroupSummary]) -> Array:
    """Return the ends of the intervals (2, n) in percent, NaN where there is no interval."""
    # Matplotlib draws nothing at NaN, so a point without an interval has no band.
    ends = [(np.nan, np.nan) if s.interval is None else s.interval for s in summaries]
    return 100 * np.array(ends, dtype=np.float64).reshape(-1, 2).T


def label_ticks(axis: Axis, values: Sequence[float], labels: Sequence[str]) -> None:
    """Put ticks at some values, and leave out those too close to the one before.

    Args:
        axis: it has its scale already.
        values: in ascending order.
        labels: one per value.
    """
    places = axis.get_transform().transform(np.asarray(values, dtype=np.float64))
    gap = _TICK_GAP * (places[-1] - places[0])
    # Distances are those on the drawn axis, where labels overlap, not those of the values.
    kept = [0]
    for i in range(1, len(values)):
        if places[i] - places[kept[-1]] >= gap:
            kept.append(i)
    axis.set_ticks([values[i] for i in kept], [labels[i] for i in kept])
    axis.set_minor_locator(NullLocator())


def name_ticks(axis: Axis, names: Sequence[str], width: float) -> None:
    """Put names at 0, 1, …, broken after underscores.

    Names are slanted where they are still wider than `width` in inches.
    """
    letters = int(width / _TICK_LETTER)
    broken: list[str] = []
    longest = 0
    for name in names:
        # textwrap does not break at underscores, so each gets a space, which is removed again.
        lines = textwrap.wrap(name.replace("_", "_ "), letters, break_long_words=False)
        lines = [line.replace("_ ", "_") for line in lines]
        longest = max(longest, *map(len, lines), 0)
        broken.append("\n".join(lines))
    if longest > letters:
        axis.set_ticks(range(len(names)), broken, rotation=30, ha="right", rotation_mode="anchor")
    else:
        axis.set_ticks(range(len(names)), broken)


def is_wide_range(values: ArrayLike) -> bool:
    """Return whether values are positive and spread so far that their axis is logarithmic."""
    finite = _select_finite(values)
    return finite.size > 0 and bool(finite.min() > 0 and finite.max() > LOG_RANGE * finite.min())


def scale_from_zero(ax: Axes, values: ArrayLike) -> None:
    """Let the vertical axis begin at zero, or make it logarithmic where the range is wide."""
    if is_wide_range(values):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())
        return
    finite = _select_finite(values)
    ax.set_ylim(0, 1.06 * finite.max() if finite.size and finite.max() > 0 else 1)


def describe_evidence(
    shown: Sequence[Measurement | Trajectory], marks: str, sets: str = "sets"
) -> str:
    """Return the end of a caption: how many sets and networks the numbers of a figure come from.

    Args:
        shown: what the figure draws, all with results.
        marks: how it draws intervals: "bands", "bars"; empty where it does not.
        sets: what a seed stands for, in the plural.
    """
    text = _describe_numbers(shown, marks, sets)
    missing, planned = sum(m.missing for m in shown), sum(len(m.cells) for m in shown)
    if not missing:
        return text
    return f"{text} {missing} of {planned} results are still missing."


def format_range(counts: Iterable[int]) -> str:
    """Return the range of some counts: "3" or "1–5"."""
    ordered = sorted(set(counts))
    return str(ordered[0]) if len(ordered) == 1 else f"{ordered[0]}–{ordered[-1]}"


def _describe_numbers(shown: Sequence[Measurement | Trajectory], marks: str, sets: str) -> str:
    counts: list[int] = []
    for m in shown:
        counts += [accuracies.shape[-1] for accuracies in m.accuracies.values()]
    seeds, networks = format_range(len(m.accuracies) for m in shown), format_range(counts)
    single = sets[:-1]
    if seeds == networks == "1":
        return f"One {single} and one network each, so there are no intervals."
    text = (
        f"Mean over {seeds} {_inflect(sets, seeds)} × {networks} {_inflect('networks', networks)}"
    )
    if not marks:
        return f"{text}."
    text += f"; {marks}: 95 % interval of the mean (Student's t over the means of {sets})"
    return f"{text}; one {single} says nothing about others." if seeds == "1" else f"{text}."


def _select_finite(values: ArrayLike) -> Array:
    numbers = np.ravel(np.asarray(values, dtype=np.float64))
    return numbers[np.isfinite(numbers)]


def _inflect(plural: str, number: str) -> str:
    return plural[:-1] if number == "1" else plural
