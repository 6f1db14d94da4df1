"""Single entries of result tables: how a measurement or a difference is printed. Accuracies are
printed in percent.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from orchestrator.analysis.statistics import (
    Array,
    Interval,
    Summary,
    differs_from_zero,
    paired_differences,
    summarize,
)
from orchestrator.report.model import MISSING, Emphasis, TableEntry
from orchestrator.report.results import Measurement, Trajectory

T = TypeVar("T", bound=Hashable)

REFERENCE = "Random"
SAME_SET = "same set"
"""In the place of a difference: both methods are answered by the same units."""

_RANKS: tuple[Emphasis, ...] = ("best", "second")


def format_percent(fraction: float) -> str:
    """Return a fraction in percent with one decimal."""
    return f"{100 * fraction:.1f}"


def format_points(fraction: float, decimals: int = 1) -> str:
    """Return a difference in points with its sign; what prints as zero has none."""
    text = f"{100 * fraction:+.{decimals}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


def format_summary(summary: Summary | None) -> str:
    """Return "mean ± std" in percent; one network has no ±, no network is a dash."""
    if summary is None:
        return MISSING
    return format_percent(summary.mean) + (
        f" ± {format_percent(summary.std)}" if summary.networks > 1 else ""
    )


def format_interval(interval: Interval | None) -> str:
    """Return "[low, high]" in percent; a dash where there is no interval."""
    return (
        MISSING
        if interval is None
        else f"[{format_percent(interval[0])}, {format_percent(interval[1])}]"
    )


def build_accuracy_entry(
    measurement: Measurement | None, emphasis: Emphasis | None, notes: Sequence[str]
) -> TableEntry:
    """Return a measurement's entry with its marks for a table's footnotes; what was never planned
    stays empty.
    """
    if measurement is None:
        return TableEntry(text="")
    return build_summary_entry(measurement, measurement.summary, emphasis, notes)


def build_summary_entry(
    source: Measurement | Trajectory,
    summary: Summary | None,
    emphasis: Emphasis | None,
    notes: Sequence[str],
) -> TableEntry:
    """Return the entry of one summary of a measurement or trajectory, with its marks for a table's
    footnotes.
    """
    numbers = tuple(notes.index(text) + 1 for text in _collect_notes(source))
    return TableEntry(
        text=format_summary(summary), emphasis=emphasis, notes=numbers, keys=source.keys
    )


def build_difference_entry(first: Measurement | None, second: Measurement | None) -> TableEntry:
    """Return first − second in points, paired by seed and network, with its interval."""
    if first is None or second is None or None in (first.ipc, second.ipc):
        return TableEntry(text=MISSING)
    if list_planned_keys(first) == list_planned_keys(second):
        return TableEntry(text=SAME_SET)
    return build_paired_entry(first.accuracies, second.accuracies, (*first.keys, *second.keys))


def build_paired_entry(
    first: Mapping[int, Array], second: Mapping[int, Array], keys: tuple[str, ...]
) -> TableEntry:
    """Return first − second in points with its interval, to two decimals: differences are small
    beside accuracies.

    Args:
        first: accuracies (networks,) by seed.
        second: the same of what it is compared with.
        keys: units that both come from.
    """
    differences = paired_differences(first, second)
    if not differences:
        return TableEntry(text=MISSING)
    summary = summarize(differences)
    if summary.interval is None:
        return TableEntry(text=format_points(summary.mean, 2), keys=keys)
    low, high = summary.interval
    text = f"{format_points(summary.mean, 2)} [{format_points(low, 2)}, {format_points(high, 2)}]"
    # sets whose means agree by chance pass the test, however much their networks differ
    clear = differs_from_zero(differences) and not low <= 0 <= high
    return TableEntry(text=text, emphasis="clear" if clear else None, keys=keys)


def build_spread_entries(
    accuracies: Mapping[int, Array], summary: Summary, keys: tuple[str, ...]
) -> tuple[TableEntry, ...]:
    """Return mean ± std, interval, std between sets and within them, and sets × networks; `keys`
    made the numbers.
    """
    spread = (
        MISSING if std is None else format_percent(std)
        for std in (summary.std_sets, summary.std_networks)
    )
    texts = (
        format_summary(summary),
        format_interval(summary.interval),
        *spread,
        _format_counts(accuracies),
    )
    return tuple(TableEntry(text=text, keys=keys) for text in texts)


def rank_summaries(competing: Mapping[T, Summary | None]) -> dict[T, Emphasis]:
    """Best and second by the printed mean, so that equal figures look alike; where all are equal
    none has a rank.
    """
    means = {name: format_percent(summary.mean) for name, summary in competing.items() if summary}
    ordered = sorted(set(means.values()), key=float, reverse=True)
    if len(ordered) < 2:
        return {}
    emphasis = dict(zip(ordered, _RANKS, strict=False))
    return {name: emphasis[mean] for name, mean in means.items() if mean in emphasis}


def pair_methods(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Pair every method with Random, and every method with added losses ("DM+IID") with its base
    ("DM").
    """
    to_reference = [(m, REFERENCE) for m in methods if m != REFERENCE and REFERENCE in methods]
    to_base = [(m, m.split("+")[0]) for m in methods if "+" in m and m.split("+")[0] in methods]
    return to_reference + to_base


def collect_footnotes(sources: Iterable[Measurement | Trajectory]) -> tuple[str, ...]:
    """Return the distinct notes of a table's measurements, in order."""
    return tuple(dict.fromkeys(note for source in sources for note in _collect_notes(source)))


def _collect_notes(source: Measurement | Trajectory) -> list[str]:
    notes = list(dict.fromkeys(cell.note for cell in source.cells if cell.note))
    if source.accuracies and source.missing:
        what = "class orders" if isinstance(source, Trajectory) else "sets"
        notes.append(f"{len(source.accuracies)} of {len(source.cells)} {what} so far")
    return notes


def list_planned_keys(source: Measurement | Trajectory) -> list[str]:
    """Return the units that answer a measurement or trajectory, done or not."""
    return [cell.evaluation_key for cell in source.cells]


def _format_counts(accuracies: Mapping[int, Array]) -> str:
    sizes = sorted({len(values) for values in accuracies.values()})
    networks = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]}–{sizes[-1]}"
    return f"{len(accuracies)} × {networks}"
