"""Single entries of result tables: how a measurement or a difference is printed. Accuracies are printed in percent."""

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.report.model import MISSING, Emphasis, Entry
from orchestrator.report.results import Measurement
from orchestrator.statistics import Interval, Summary, paired_differences, summarise

_RANKS: tuple[Emphasis, ...] = ("best", "second")


def percent(fraction: float) -> str:
    """Return a fraction in percent with one decimal."""
    return f"{100 * fraction:.1f}"


def accuracy_text(measurement: Measurement) -> str:
    """Return "mean ± std" in percent; one network has no ±, no network is a dash."""
    summary = measurement.summary
    if summary is None:
        return MISSING
    return percent(summary.mean) + (f" ± {percent(summary.std)}" if summary.networks > 1 else "")


def accuracy_entry(measurement: Measurement | None, emphasis: Emphasis | None, notes: Sequence[str]) -> Entry:
    """Return a measurement's entry with its marks for a table's footnotes; what was never planned stays empty."""
    if measurement is None:
        return Entry(text="")
    numbers = tuple(notes.index(text) + 1 for text in _cell_notes(measurement))
    return Entry(text=accuracy_text(measurement), emphasis=emphasis, notes=numbers, keys=measurement.keys)


def difference_entry(first: Measurement | None, second: Measurement | None) -> Entry:
    """Return first − second in points, paired by seed and network, with its interval."""
    if first is None or second is None or None in (first.ipc, second.ipc):
        return Entry(text=MISSING)
    if first.set_keys == second.set_keys:
        return Entry(text="same set")
    differences = paired_differences(first.accuracies, second.accuracies)
    if not differences:
        return Entry(text=MISSING)
    summary = summarise(differences)
    keys = (*first.keys, *second.keys)
    if summary.interval is None:
        return Entry(text=_signed(summary.mean), keys=keys)
    low, high = summary.interval
    text = f"{_signed(summary.mean)} [{_signed(low)}, {_signed(high)}]"
    clear = summary.sets > 1 and (low > 0 or high < 0)  # one set says nothing about others
    return Entry(text=text, emphasis="clear" if clear else None, keys=keys)


def spread_texts(measurement: Measurement, summary: Summary) -> tuple[str, ...]:
    """Return mean ± std, interval, std between sets and within them, and sets × networks."""
    spread = (MISSING if std is None else percent(std) for std in (summary.std_sets, summary.std_networks))
    return accuracy_text(measurement), _interval_text(summary.interval), *spread, _counts(measurement)


def ranks(column: Mapping[str, Measurement]) -> dict[str, Emphasis]:
    """Best and second of a column by the printed mean, so that equal figures look alike.

    The whole training set does not compete, and one method alone has no rank.
    """
    means = {name: percent(m.summary.mean) for name, m in column.items() if m.summary and m.ipc is not None}
    if len(means) < 2:
        return {}
    ordered = sorted(set(means.values()), key=float, reverse=True)
    emphasis = dict(zip(ordered, _RANKS, strict=False))
    return {name: emphasis[mean] for name, mean in means.items() if mean in emphasis}


def footnotes(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """Return the distinct notes of a table's measurements, in order."""
    return tuple(dict.fromkeys(note for m in measurements for note in _cell_notes(m)))


def _cell_notes(measurement: Measurement) -> list[str]:
    notes = list(dict.fromkeys(cell.note for cell in measurement.cells if cell.note))
    if measurement.accuracies and measurement.missing:
        notes.append(f"{len(measurement.accuracies)} of {len(measurement.cells)} sets so far")
    return notes


def _signed(fraction: float) -> str:
    text = f"{100 * fraction:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def _interval_text(interval: Interval | None) -> str:
    return MISSING if interval is None else f"[{percent(interval[0])}, {percent(interval[1])}]"


def _counts(measurement: Measurement) -> str:
    sizes = sorted({len(values) for values in measurement.accuracies.values()})
    networks = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]}–{sizes[-1]}"
    return f"{len(measurement.accuracies)} × {networks}"
