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
from orchestrator.report.model import MISSING, Emphasis, Entry
from orchestrator.report.results import Measurement, Trajectory

T = TypeVar("T", bound=Hashable)

REFERENCE = "Random"
SAME_SET = "same set"
"""In the place of a difference: both methods are answered by the same units."""

_RANKS: tuple[Emphasis, ...] = ("best", "second")


def percent(fraction: float) -> str:
    """Return a fraction in percent with one decimal."""
    return f"{100 * fraction:.1f}"


def signed(fraction: float, decimals: int = 1) -> str:
    """Return a difference in points with its sign; what prints as zero has none."""
    text = f"{100 * fraction:+.{decimals}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


def summary_text(summary: Summary | None) -> str:
    """Return "mean ± std" in percent; one network has no ±, no network is a dash."""
    if summary is None:
        return MISSING
    return percent(summary.mean) + (f" ± {percent(summary.std)}" if summary.networks > 1 else "")


def interval_text(interval: Interval | None) -> str:
    """Return "[low, high]" in percent; a dash where there is no interval."""
    return MISSING if interval is None else f"[{percent(interval[0])}, {percent(interval[1])}]"


def accuracy_entry(
    measurement: Measurement | None, emphasis: Emphasis | None, notes: Sequence[str]
) -> Entry:
    """Return a measurement's entry with its marks for a table's footnotes; what was never planned
    stays empty.
    """
    if measurement is None:
        return Entry(text="")
    return summary_entry(measurement, measurement.summary, emphasis, notes)


def summary_entry(
    source: Measurement | Trajectory,
    summary: Summary | None,
    emphasis: Emphasis | None,
    notes: Sequence[str],
) -> Entry:
    """Return the entry of one summary of a measurement or trajectory, with its marks for a table's
    footnotes.
    """
    numbers = tuple(notes.index(text) + 1 for text in _cell_notes(source))
    return Entry(text=summary_text(summary), emphasis=emphasis, notes=numbers, keys=source.keys)


def difference_entry(first: Measurement | None, second: Measurement | None) -> Entry:
    """Return first − second in points, paired by seed and network, with its interval."""
    if first is None or second is None or None in (first.ipc, second.ipc):
        return Entry(text=MISSING)
    if planned(first) == planned(second):
        return Entry(text=SAME_SET)
    return paired_entry(first.accuracies, second.accuracies, (*first.keys, *second.keys))


def paired_entry(
    first: Mapping[int, Array], second: Mapping[int, Array], keys: tuple[str, ...]
) -> Entry:
    """Return first − second in points with its interval, to two decimals: differences are small
    beside accuracies.

    Args:
        first: accuracies (networks,) by seed.
        second: the same of what it is compared with.
        keys: units that both come from.
    """
    differences = paired_differences(first, second)
    if not differences:
        return Entry(text=MISSING)
    summary = summarize(differences)
    if summary.interval is None:
        return Entry(text=signed(summary.mean, 2), keys=keys)
    low, high = summary.interval
    text = f"{signed(summary.mean, 2)} [{signed(low, 2)}, {signed(high, 2)}]"
    # sets whose means agree by chance pass the test, however much their networks differ
    clear = differs_from_zero(differences) and not low <= 0 <= high
    return Entry(text=text, emphasis="clear" if clear else None, keys=keys)


def spread_entries(
    accuracies: Mapping[int, Array], summary: Summary, keys: tuple[str, ...]
) -> tuple[Entry, ...]:
    """Return mean ± std, interval, std between sets and within them, and sets × networks; `keys`
    made the numbers.
    """
    spread = (
        MISSING if std is None else percent(std) for std in (summary.std_sets, summary.std_networks)
    )
    texts = (summary_text(summary), interval_text(summary.interval), *spread, _counts(accuracies))
    return tuple(Entry(text=text, keys=keys) for text in texts)


def ranks(competing: Mapping[T, Summary | None]) -> dict[T, Emphasis]:
    """Best and second by the printed mean, so that equal figures look alike; where all are equal
    none has a rank.
    """
    means = {name: percent(summary.mean) for name, summary in competing.items() if summary}
    ordered = sorted(set(means.values()), key=float, reverse=True)
    if len(ordered) < 2:
        return {}
    emphasis = dict(zip(ordered, _RANKS, strict=False))
    return {name: emphasis[mean] for name, mean in means.items() if mean in emphasis}


def comparisons(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Pair every method with Random, and every method with added losses ("DM+IID") with its base
    ("DM").
    """
    to_reference = [(m, REFERENCE) for m in methods if m != REFERENCE and REFERENCE in methods]
    to_base = [(m, m.split("+")[0]) for m in methods if "+" in m and m.split("+")[0] in methods]
    return to_reference + to_base


def footnotes(sources: Iterable[Measurement | Trajectory]) -> tuple[str, ...]:
    """Return the distinct notes of a table's measurements, in order."""
    return tuple(dict.fromkeys(note for source in sources for note in _cell_notes(source)))


def _cell_notes(source: Measurement | Trajectory) -> list[str]:
    notes = list(dict.fromkeys(cell.note for cell in source.cells if cell.note))
    if source.accuracies and source.missing:
        what = "class orders" if isinstance(source, Trajectory) else "sets"
        notes.append(f"{len(source.accuracies)} of {len(source.cells)} {what} so far")
    return notes


def planned(source: Measurement | Trajectory) -> list[str]:
    """Return the units that answer a measurement or trajectory, done or not."""
    return [cell.evaluation_key for cell in source.cells]


def _counts(accuracies: Mapping[int, Array]) -> str:
    sizes = sorted({len(values) for values in accuracies.values()})
    networks = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]}–{sizes[-1]}"
    return f"{len(accuracies)} × {networks}"
