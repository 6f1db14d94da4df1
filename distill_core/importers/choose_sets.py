"""Choosing among the sets of a file: which of them, and whether they are parts of one set."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.importers.evidence import measure_same_run
from distill_core.importers.raw_set import (
    Answer,
    FoundSets,
    ImportQuestionError,
    ImportSetError,
    RawSet,
)
from distill_core.importers.reading import Reading
from distill_core.synthetic_set import to_normalized

ALL = "all"
_SAME_RUN = 0.5
"""Correlation of images, beyond their classes; that of independent runs is about 0, of snapshots
of one run 0.9."""
Group = tuple[int, ...]
"""Numbers of the sets that make one set."""


def split_path(text: str) -> tuple[str, str | None]:
    """Split `file.pt#-1` into the path and the choice; None without one."""
    path, mark, choice = text.rpartition("#")
    if mark and re.fullmatch(r"-?[0-9]{1,6}|all", choice):
        return path, choice
    return text, None


def choose_groups(
    found: FoundSets, choice: str | None, dataset: Dataset, *, join: bool
) -> list[Group]:
    """Return the sets to import, each as the numbers of its parts.

    Args:
        found: all sets of a file.
        choice: the user's: a number, "all", or None.
        dataset: the data set that they stand for.
        join: whether the user says that they are parts of one set.

    Raises:
        ImportQuestionError: they look like snapshots of one run, or like parts of one set.
        ImportSetError: there is no such set.
    """
    count = len(found.sets)
    if choice is not None and choice != ALL:
        number = int(choice)
        if not -count <= number < count:
            raise ImportSetError(
                f"{found.files[0]}#{choice}: there are {count} sets, numbers 0 to {count - 1}, or"
                " −1 for the last"
            )
        return [(number % count,)]
    if join and count > 1:
        return [tuple(range(count))]
    if choice is None and count > 1 and found.layout != "own":
        _require_runs(found, dataset)
    return [(number,) for number in range(count)]


def build_set(found: FoundSets, reading: Reading) -> RawSet:
    """Return the set that a reading is about, its parts joined.

    Raises:
        ImportSetError: the file has no such set, or its parts do not fit together.
    """
    numbers = reading.joined or (reading.number,)
    return join_sets(found, numbers, classes=len(reading.classes))


def join_sets(found: FoundSets, numbers: Sequence[int], *, classes: int = 0) -> RawSet:
    """Join sets of a file, with the images of each behind those of the one before.

    Args:
        found: all sets.
        numbers: those to join.
        classes: how many stored classes the user named; if the parts have so many together, each
            numbers its own from 0, and the numbers continue from part to part.

    Raises:
        ImportSetError: there is no such set, or shapes or labels do not fit together.
    """
    if max(numbers) >= len(found.sets):
        raise ImportSetError(f"{found.files[0]} has {len(found.sets)} sets, not {max(numbers) + 1}")
    parts = [found.sets[number] for number in numbers]
    first = parts[0]
    if len(parts) == 1:
        return first
    if len({tuple(part.images.shape[1:]) for part in parts}) > 1:
        raise ImportSetError(f"{first.where}: the parts to join have images of several sizes")
    if any(part.native is not None or part.labels is None for part in parts):
        raise ImportSetError(f"{first.where}: only sets with labels of their own can be joined")
    labels = [torch.as_tensor(part.labels) for part in parts]
    if len({tuple(each.shape[1:]) for each in labels}) > 1:
        raise ImportSetError(f"{first.where}: the parts to join have labels of several kinds")
    if labels[0].dim() == 1 and sum(int(each.max()) + 1 for each in labels) == classes:
        labels = _continue_numbers(labels)
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    return replace(
        first,
        images=torch.cat([part.images for part in parts]),
        labels=torch.cat(labels),
        notes=(*notes, f"joined from {len(parts)} parts"),
    )


def _continue_numbers(labels: Sequence[Tensor]) -> list[Tensor]:
    """Return labels of parts that each number their classes from 0 as labels of one set."""
    start, continued = 0, []
    for each in labels:
        continued.append(each + start)
        start += int(each.max()) + 1
    return continued


def _require_runs(found: FoundSets, dataset: Dataset) -> None:
    """Raise ImportQuestionError unless several sets of a file look like independent runs."""
    sets, path = found.sets, found.files[0]
    labels = [_list_classes(raw) for raw in sets]
    needed = set(range(len(dataset.info.classes)))
    one = Answer("one set, of all parts", ("--join",))
    if all(labels) and any(each < needed for each in labels):
        counts = ", ".join(str(len(each)) for each in labels[:6])
        raise ImportQuestionError(
            f"{path} holds {len(sets)} sets with {counts}{', …' * (len(labels) > 6)} of the"
            f" {len(needed)} classes, such as the steps of class-incremental learning; --join makes"
            " them one set",
            [one],
        )
    if found.layout == "dd":
        raise ImportQuestionError(
            f"{path} holds the sets of {len(sets)} training steps; --join makes them one set, and"
            f" {path.name}#0 is the first alone",
            [one, Answer("the last step alone", place="#-1")],
        )
    likeness = [
        measure_likeness(earlier, later, dataset) for earlier, later in itertools.pairwise(sets)
    ]
    if any(value is not None and value > _SAME_RUN for value in likeness):
        shown = ", ".join("different shapes" if v is None else f"{v:.2f}" for v in likeness[:8])
        raise ImportQuestionError(
            f"{path} holds {len(sets)} sets that look like snapshots of one run, not like"
            f" repetitions: the images of neighbors have correlations {shown} beyond their classes."
            f" Name the last with {path.name}#-1, another by its number, or all as repetitions"
            f" with {path.name}#{ALL}",
            [
                Answer("the last snapshot", place="#-1"),
                Answer("the first snapshot", place="#0"),
                Answer("independent repetitions after all", place=f"#{ALL}"),
            ],
        )


def measure_likeness(first: RawSet, second: RawSet, dataset: Dataset) -> float | None:
    """Return the correlation of two stored sets; None if they cannot be compared."""
    labels = find_hard_labels(first)
    real = dataset.train
    if first.images.shape != second.images.shape or labels is None:
        return None
    if first.images.shape[1:] != real.images.shape[1:]:
        return None
    if not 0 <= int(labels.min()) <= int(labels.max()) < real.classes:
        return None
    images = first.images, second.images
    if first.normalized is False:
        norm = dataset.info.mean, dataset.info.std
        images = to_normalized(first.images, *norm), to_normalized(second.images, *norm)
    return measure_same_run(*images, labels, real)


def _list_classes(raw: RawSet) -> set[int]:
    labels = find_hard_labels(raw)
    return set() if labels is None else set(labels.tolist())


def find_hard_labels(raw: RawSet) -> Tensor | None:
    """Return the stored class of each image, int64 (N,); None where images have no labels."""
    if raw.labels is None:
        return None
    return raw.labels if raw.labels.dim() == 1 else raw.labels.argmax(1)
