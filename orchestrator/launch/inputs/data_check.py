"""The check of data sets before anything starts: units must not find out one by one.

Each data set is read once. What was found is printed, compared with what the store remembers and
with what units need, and goes into the record of the launch.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from distill_core.datasets.files import locate, missing_datasets_error
from distill_core.datasets.info import DatasetError
from distill_core.datasets.record import list_some
from distill_core.settings import HOLD_OUT_FRACTION, DatasetRef
from orchestrator.launch.inputs.data_summaries import (
    DataSummary,
    build_summary,
    is_remembered,
    summarize_dataset,
)
from orchestrator.store.store import Store
from orchestrator.units import Distill, Select, Unit

if TYPE_CHECKING:
    from distill_core.datasets.load import Dataset

_log = logging.getLogger(__name__)

Summaries = Mapping[DatasetRef, DataSummary]
"""By the whole data set, whatever classes units use."""

_SMALLEST_DIGITS = 100
"""Fewer images than any class of the digits has in any split of its training images."""


def check_units(
    units: Iterable[Unit], store: Store, root: Path, console: Console, *, download: bool = False
) -> Summaries:
    """Read the data sets of units once, print what was found, and refuse what cannot work.

    The digits are part of scikit-learn. They are read only if a unit needs many of them.

    Raises:
        DatasetError: data sets are missing or cannot be read, or have too few images for a unit;
            names all of them.
        StoreError: the store has results from other images.
    """
    by_dataset: dict[DatasetRef, list[Unit]] = {}
    for unit in units:
        by_dataset.setdefault(replace(unit.dataset, classes=()), []).append(unit)
    check_presence(by_dataset, root, download=download)
    wanted = [ref for ref, users in by_dataset.items() if not _is_surely_fine(ref, users)]
    if unread := [ref.name for ref in wanted if not is_remembered(ref, root)]:
        # It may take a minute, before anything else is shown.
        console.print(Text(f"Reading {list_some(unread)} once, to check it"), soft_wrap=True)
    summaries = _read_all(wanted, root, download=download)
    for ref, summary in summaries.items():
        print_summary(ref, summary, console)
        for line in compare_with_store(ref, summary, store):
            console.print(Text(line, style="yellow"), soft_wrap=True)
    problems: list[str] = []
    for ref, summary in summaries.items():
        problems += dict.fromkeys(_find_problems(ref, summary, by_dataset[ref]))
    _raise_together(problems)
    return summaries


def check_loaded(ref: DatasetRef, data: "Dataset", store: Store, console: Console) -> Summaries:
    """Print what was found in a data set that is in memory, and compare it with the store.

    Raises:
        StoreError: the store has results from other images.
    """
    summary = build_summary(data)
    print_summary(ref, summary, console)
    for line in compare_with_store(ref, summary, store):
        console.print(Text(line, style="yellow"), soft_wrap=True)
    return {ref: summary}


def check_presence(refs: Iterable[DatasetRef], root: Path, *, download: bool) -> None:
    """Check that data sets are there; with `download`, those that can be fetched may be missing.

    Raises:
        DatasetError: names all that are missing.
    """
    missing = [ref for ref in dict.fromkeys(refs) if locate(ref, root) is None]
    if download:
        from distill_core.datasets.readers.torchvision_files import DOWNLOADS

        missing = [ref for ref in missing if ref.name not in DOWNLOADS]
    if missing:
        raise missing_datasets_error(missing, root)


def _is_surely_fine(ref: DatasetRef, units: Iterable[Unit]) -> bool:
    return ref.name == "digits" and all(_count_needed(unit) <= _SMALLEST_DIGITS for unit in units)


def _read_all(refs: Iterable[DatasetRef], root: Path, *, download: bool) -> Summaries:
    summaries: dict[DatasetRef, DataSummary] = {}
    problems = []
    for ref in refs:
        try:
            summaries[ref] = summarize_dataset(ref, root, download=download)
        except DatasetError as error:
            problems.append(str(error))
    _raise_together(problems)
    return summaries


def _raise_together(problems: list[str]) -> None:
    if len(problems) == 1:
        raise DatasetError(problems[0])
    if problems:
        raise DatasetError("\n  ".join(["several things are wrong with the data:", *problems]))


def print_summary(ref: DatasetRef, summary: DataSummary, console: Console) -> None:
    """Print what a data set holds; of a known one only what is unusual."""
    lines = list(summary.lines)
    if ref.path is not None or lines:
        lines.insert(0, f"{ref.name}: {summary.describe()}")
    for line in lines:
        _log.info("data set %s: %s", ref.name, line)
    console.print(Text("\n  ".join(lines)) if lines else Text(), end="\n" * bool(lines))


def compare_with_store(ref: DatasetRef, summary: DataSummary, store: Store) -> list[str]:
    """Return a line about each class that had another name when the store's results were made.

    Raises:
        StoreError: the store has results from other images.
    """
    known = store.read_class_names(ref, summary.fingerprint)
    if known is None or known == list(summary.classes):
        return []
    changed = [
        f"{old} is now {new}"
        for old, new in zip(known, summary.classes, strict=False)
        if old != new
    ]
    return [
        f"{ref.name}: classes have other names than when this store's results were made:"
        f" {list_some(changed)}. Sets that are there keep the old names; give the data set a new"
        " version to make them again"
    ]


def build_record(summaries: Summaries) -> dict[str, object]:
    """Return what the record of a launch keeps of its data sets."""
    return {f"{ref.name}@{ref.version}": asdict(summary) for ref, summary in summaries.items()}


def _find_problems(ref: DatasetRef, summary: DataSummary, units: Iterable[Unit]) -> list[str]:
    """Return why units cannot work with these images."""
    problems = []
    for unit in units:
        classes = unit.dataset.classes or range(len(summary.classes))
        if wrong := [c for c in classes if c >= len(summary.classes)]:
            last = len(summary.classes) - 1
            problems.append(f"{ref.name} has no class {wrong[0]}; its classes are 0 … {last}")
            continue
        strict = getattr(unit, "protocol", None) == "strict"
        if strict and (single := [c for c, n in enumerate(summary.train) if n < 2]):
            problems.append(
                f"{ref.name}: class {summary.classes[single[0]]!r} has one training image; protocol"
                " strict needs two of each class, one of which is held out"
            )
            continue
        if isinstance(unit, Distill) and summary.image_size % unit.settings.partition:
            problems.append(
                f"{ref.name}: images of {summary.image_size} pixels cannot be cut into"
                f" {unit.settings.partition} parts per side; give another image_size or partition"
            )
        counts = {c: _count_usable(summary.train[c], strict) for c in classes}
        need = _count_needed(unit)
        if short := [c for c in classes if counts[c] < need]:
            problems.append(_describe_short(ref, summary, counts, short, need))
    return problems


def _describe_short(
    ref: DatasetRef, summary: DataSummary, counts: Mapping[int, int], short: list[int], need: int
) -> str:
    names = [f"{summary.classes[c]} ({counts[c]})" for c in sorted(short, key=lambda c: counts[c])]
    what = "class has" if len(short) == 1 else "classes have"
    return (
        f"{ref.name}: {need} training images of each class are needed, and {len(short)} {what}"
        f" fewer: {list_some(names)}; lower ipc, or add images"
    )


def _count_usable(images: int, strict: bool) -> int:
    """Return how many training images of a class are left after the hold-out."""
    if not strict:
        return images
    return images - min(max(round(images * HOLD_OUT_FRACTION), 1), images - 1)


def _count_needed(unit: Unit) -> int:
    """Return how many real images of each class a unit starts from."""
    if isinstance(unit, Distill):
        return unit.images_per_class if unit.settings.init == "real" else 0
    return unit.ipc if isinstance(unit, Select) else 0
