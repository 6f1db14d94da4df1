"""Columns of labels and images: their names, and the classes that labels stand for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from distill_core.datasets.info import DatasetError

IMAGE_COLUMNS = ("image", "img", "images", "picture", "photo", "jpg", "png")
LABEL_COLUMNS = (
    "label",
    "fine_label",
    "labels",
    "target",
    "targets",
    "class",
    "class_label",
    "class_name",
    "category",
    "coarse_label",
)
"""In any case; the first that is there is read."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What a search space says about the columns of a file."""

    image: str | None = None
    label: str | None = None


def choose_column(
    there: Sequence[str], known: Sequence[str], wanted: str | None, *, key: str, where: str
) -> str:
    """Choose a column: the one that is wanted, or the first known one.

    Raises:
        DatasetError: there is no such column; names `key`, which chooses one.
    """
    if wanted is not None:
        if wanted in there:
            return wanted
        raise DatasetError(
            f"{where}: no column {wanted!r} ({key}); there are {', '.join(there) or 'none'}"
        )
    lower = {name.lower(): name for name in reversed(there)}
    for name in known:
        if name in lower:
            return lower[name]
    raise DatasetError(
        f"{where}: no column {' or '.join(map(repr, known[:2]))}; there are"
        f" {', '.join(there) or 'none'}; name one with {key}"
    )


def list_other_columns(there: Sequence[str], known: Sequence[str], chosen: str) -> list[str]:
    """Return further columns that could have been meant."""
    return [name for name in there if name.lower() in known and name != chosen]


def name_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the classes of labels, in order of numbers if all are numbers, else by letters."""
    names = set(labels)
    if all(name.isascii() and name.isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))
