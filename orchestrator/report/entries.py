"""Entries of result tables: how an accuracy, an interval or a difference is printed.

Accuracies are printed in percent, differences in points.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from orchestrator.analysis.statistics import (
    Array,
    GroupSummary,
    Interval,
    differs_from_zero,
    paired_differences,
    summarize,
)
from orchestrator.report.model import MISSING, Emphasis, TableEntry
from orchestrator.report.results import Measurement, Trajectory

T = TypeVar("T", bound=Hashable)

SAME_SET = "same set"
"""Shown in place of a difference where both methods are answered by the same units."""

_RANKS: tuple[Emphasis, ...] = ("best", "second")


def format_percent(fraction: float) -> str:
    """Return a fraction in percent with one decimal."""
    return f"{100 * fraction:.1f}"


def format_points(fraction: float, decimals: int = 1) -> str:
    """Return a difference in points with its sign."""
    text = f"{100 * fraction:+.{decimals}f}".replace("-", "−")
    # A difference that rounds to zero has no sign: "−0.0" would claim a direction.
    rounds_to_zero = not text.strip("+−0.")
    return text[1:] if rounds_to_zero else text


def format_summary(summary: GroupSummary | None) -> str:
    """Return "mean ± std" in percent; without ± for one network, a dash for none."""
    if summary is None:
        return MISSING
    mean = format_percent(summary.mean)
    return f"{mean} ± {format_percent(summary.std)}" if summary.networks > 1 else mean


def format_interval(interval: Interval | None) -> str:
    """Return "[low, high]" in percent; a dash where there is no interval."""
    if interval is None:
        return MISSING
    low, high = interval
    return f"[{format_percent(low)}, {format_percent(high)}]"


def build_accuracy_entry(
    measurement: Measurement | None, emphasis: Emphasis | None, notes: Sequence[str]
) -> TableEntry:
    """Return a measurement's entry with its footnotes; empty where nothing was planned.

    Args:
        measurement: what to print.
        emphasis: its rank in the table.
        notes: all footnotes of the table, in order.
    """
    if measurement is None:
        return TableEntry(text="")
    return build_summary_entry(measurement, measurement.summary, emphasis, notes)


def build_summary_entry(
    source: Measurement | Trajectory,
    summary: GroupSummary | None,
    emphasis: Emphasis | None,
    notes: Sequence[str],
) -> TableEntry:
    """Return the entry of one summary of a measurement or trajectory, with its footnotes."""
    numbers = tuple(notes.index(text) + 1 for text in _collect_notes(source))
    return TableEntry(
        text=format_summary(summary), emphasis=emphasis, notes=numbers, keys=source.keys
    )


def build_difference_entry(first: Measurement | None, second: Measurement | None) -> TableEntry:
    """Return first − second in points, paired by seed and network, with its interval."""
    if first is None or second is None or first.ipc is None or second.ipc is None:
        return TableEntry(text=MISSING)
    if first.planned_keys == second.planned_keys:
        return TableEntry(text=SAME_SET)
    return build_paired_entry(first.accuracies, second.accuracies, (*first.keys, *second.keys))


def build_paired_entry(
    first: Mapping[int, Array], second: Mapping[int, Array], keys: tuple[str, ...]
) -> TableEntry:
    """Return first − second in points with its interval.

    Args:
        first: accuracies (networks,) by seed.
        second: the same for the method that it is compared with.
        keys: units that both come from.
    """
    differences = paired_differences(first, second)
    if not differences:
        return TableEntry(text=MISSING)
    summary = summarize(differences)
    # Differences are small compared with accuracies, so they get two decimals instead of one.
    mean = format_points(summary.mean, 2)
    if summary.interval is None:
        return TableEntry(text=mean, keys=keys)
    low, high = summary.interval
    is_clear = differs_from_zero(differences)
    return TableEntry(
        text=f"{mean} [{format_points(low, 2)}, {format_points(high, 2)}]",
        emphasis="clear" if is_clear else None,
        keys=keys,
    )


def build_spread_entries(
    accuracies: Mapping[int, Array], summary: GroupSummary, keys: tuple[str, ...]
) -> tuple[TableEntry, ...]:
    """Return the entries of a spread table.

    They are mean ± std, the interval, the std between sets and within them, and sets × networks.

    Args:
        accuracies: (networks,) by seed.
        summary: their statistics.
        keys: units that the numbers come from.
    """
    texts = (
        format_summary(summary),
        format_interval(summary.interval),
        _format_std(summary.std_sets),
        _format_std(summary.std_networks),
        _format_counts(accuracies),
    )
    return tuple(TableEntry(text=text, keys=keys) for text in texts)


def rank_measurements(competing: Mapping[T, Measurement | None]) -> dict[T, Emphasis]:
    """Return which measurements are best and second, as `rank_accuracies` does.

    One that is not above chance has no rank.
    """
    measured = {name: m for name, m in competing.items() if m is not None and m.accuracies}
    ranks = rank_accuracies({name: m.accuracies for name, m in measured.items()})
    return {name: rank for name, rank in ranks.items() if not measured[name].is_chance}


def rank_accuracies(competing: Mapping[T, Mapping[int, Array]]) -> dict[T, Emphasis]:
    """Return which accuracies (networks,) by seed are best and second.

    See `rank_clearly`; differences are paired by seed and network.
    """
    means = {
        name: float(np.concatenate(list(found.values())).mean())
        for name, found in competing.items()
        if found
    }

    def is_worse(low: T, high: T) -> bool:
        differences = paired_differences(competing[high], competing[low])
        return bool(differences) and differs_from_zero(differences)

    return rank_clearly(sorted(means, key=lambda name: -means[name]), is_worse)


def rank_clearly(ordered: Sequence[T], is_worse: Callable[[T, T], bool]) -> dict[T, Emphasis]:
    """Return which of some names are best and second, as far as they clearly differ.

    Best are the first and all that are not clearly worse; second are the same among the others.
    Nothing is marked where nothing is clearly worse than the marked.

    Args:
        ordered: names, best first.
        is_worse: returns whether its first argument is clearly worse than its second.
    """
    ranks: dict[T, Emphasis] = {}
    left = list(ordered)
    for rank in _RANKS:
        if not left:
            break
        first = left[0]
        worse = [name for name in left[1:] if is_worse(name, first)]
        # The last group is second on its own only if it is one: ranks within it are unknown.
        if not worse and not (ranks and len(left) == 1):
            break
        ranks |= dict.fromkeys((name for name in left if name not in worse), rank)
        left = worse
    return ranks


def collect_footnotes(sources: Iterable[Measurement | Trajectory]) -> tuple[str, ...]:
    """Return the distinct notes of a table's measurements, in order."""
    notes: dict[str, None] = {}
    for source in sources:
        notes.update(dict.fromkeys(_collect_notes(source)))
    return tuple(notes)


def _collect_notes(source: Measurement | Trajectory) -> list[str]:
    notes = list(dict.fromkeys(cell.note for cell in source.cells if cell.note))
    if isinstance(source, Measurement) and source.is_chance:
        notes.append("not above chance")
    if source.accuracies and source.missing:
        sets = "class orders" if isinstance(source, Trajectory) else "sets"
        notes.append(f"{len(source.accuracies)} of {len(source.cells)} {sets} so far")
    return notes


def _format_std(std: float | None) -> str:
    return MISSING if std is None else format_percent(std)


def _format_counts(accuracies: Mapping[int, Array]) -> str:
    sizes = sorted({len(values) for values in accuracies.values()})
    networks = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]}–{sizes[-1]}"
    return f"{len(accuracies)} × {networks}"
