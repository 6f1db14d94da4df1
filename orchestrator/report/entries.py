"""Entries of result tables: how an accuracy, an interval or a difference is printed.

Accuracies are printed in percent, differences in points.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

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

REFERENCE = "Random"
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


def rank_summaries(competing: Mapping[T, GroupSummary | None]) -> dict[T, Emphasis]:
    """Return which summaries are best and second; none has a rank where all are equal."""
    # Ranks compare the printed means, so that numbers which read the same are marked the same.
    means = {name: format_percent(summary.mean) for name, summary in competing.items() if summary}
    ordered = sorted(set(means.values()), key=float, reverse=True)
    if len(ordered) < 2:
        return {}
    emphasis = dict(zip(ordered, _RANKS, strict=False))
    return {name: emphasis[mean] for name, mean in means.items() if mean in emphasis}


def pair_methods(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Pair every method with Random, and "DM+IID" with its base "DM"."""
    to_reference = [(m, REFERENCE) for m in methods if m != REFERENCE and REFERENCE in methods]
    to_base = [(m, m.split("+")[0]) for m in methods if "+" in m and m.split("+")[0] in methods]
    return to_reference + to_base


def collect_footnotes(sources: Iterable[Measurement | Trajectory]) -> tuple[str, ...]:
    """Return the distinct notes of a table's measurements, in order."""
    notes: dict[str, None] = {}
    for source in sources:
        notes.update(dict.fromkeys(_collect_notes(source)))
    return tuple(notes)


def _collect_notes(source: Measurement | Trajectory) -> list[str]:
    notes = list(dict.fromkeys(cell.note for cell in source.cells if cell.note))
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
