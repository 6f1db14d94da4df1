"""CSV files that say the labels of the images beside them: a column of names, one of labels."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill_core.datasets.folders import (
    TABLES,
    TEST_NAMES,
    TRAIN_NAMES,
    compose,
    require_regular,
    show,
)
from distill_core.datasets.info import DatasetError
from distill_core.datasets.readers.options import LABEL_COLUMNS, Columns, list_other_columns
from distill_core.datasets.record import Skipped, list_some

_NO_LABELS = "submission"
"""In the name of a file that contests ask to be filled in; its labels are made up."""
_LOOKED_AT = 100
"""Rows by which the column of names is found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labeled:
    """Images and the labels that a file gives them."""

    file: Path
    file_column: str
    label_column: str
    images: tuple[Path, ...]
    labels: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]

    @property
    def are_labels(self) -> bool:
        """Whether they look like it: values that repeat, and not the splits of the images."""
        values = {label.casefold() for label in self.labels}
        return 2 * len(values) <= len(self.labels) and not values <= {*TRAIN_NAMES, *TEST_NAMES}


def find_labels(
    folder: Path,
    root: Path,
    images: Sequence[Path],
    columns: Columns,
    *,
    of_train: Path | None = None,
) -> Labeled | None:
    """Find the file that labels the images of a folder; None if there is none.

    Args:
        folder: folder of the images.
        root: folder of the data set, where the file may lie too.
        images: the images.
        columns: the column of labels, if the user names it.
        of_train: for a test split, the file of the training images. Often images of both splits
            have the same names, so it counts only where it has the names of their folders too.

    Raises:
        DatasetError: a file is damaged, several files could be meant, or its column of labels is
            not clear.
    """
    found = []
    for file in _list_files(folder, root):
        names = _index_names(folder, root, images, with_folder=file == of_train)
        rows = _read_rows(file)
        column = _find_file_column(rows, names)
        if column is not None:
            found.append((file, rows, column, names))
    if len(found) > 1:
        named = [each for each in found if folder.name.lower() in each[0].stem.lower()]
        found = named if len(named) == 1 else found
    if len(found) > 1:
        files = list_some([each[0].name for each in found])
        raise DatasetError(
            f"{folder}: {files} all name its images; keep the one with the labels there"
        )
    return _label(*found[0], columns, images) if found else None


def _list_files(folder: Path, root: Path) -> list[Path]:
    files = []
    for place in dict.fromkeys((folder, root)):
        for path in sorted(place.iterdir()):
            hidden = path.name.startswith(".") or _NO_LABELS in path.name.lower()
            if place == root != folder and _is_of_other_split(path, folder):
                continue
            if path.suffix.lower() in TABLES and not hidden and not path.is_dir():
                files.append(path)
    return files


def _is_of_other_split(file: Path, folder: Path) -> bool:
    """Whether a file's name is that of another split, as trainLabels.csv is for a test split."""
    words = set(re.sub(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z]+", " ", file.stem).lower().split())
    name = folder.name.lower()
    others = TRAIN_NAMES if name in TEST_NAMES else TEST_NAMES
    return name not in words and not words.isdisjoint(others)


def _index_names(
    folder: Path, root: Path, images: Sequence[Path], *, with_folder: bool
) -> dict[str, Path]:
    """Return images by what a file may call them: path or name, with or without the suffix.

    A name that several images have stands for none.
    """
    index: dict[str, Path | None] = {}
    for image in images:
        names = set() if with_folder else {image.name, image.stem}
        for base in (root,) if with_folder else (folder, root):
            inner = image.relative_to(base)
            names |= {inner.as_posix(), inner.with_suffix("").as_posix()}
        for name in names:
            key = compose(name)
            index[key] = None if index.get(key, image) != image else image
    return {name: image for name, image in index.items() if image is not None}


def _read_rows(file: Path) -> list[dict[str, str]]:
    require_regular(file)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            beginning = stream.read(8192)
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=_find_delimiter(beginning))
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise DatasetError(
                        f"{file}, line {reader.line_num}: has other columns than the first line;"
                        " correct it"
                    )
                rows.append(row)
            return rows
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{file}: not a CSV file in UTF-8 ({error}); write it again, or remove it"
        ) from error


def _find_delimiter(beginning: str) -> str:
    first = beginning.split("\n", 1)[0]
    return max(",;\t|", key=first.count)


def _find_file_column(rows: Sequence[Mapping[str, str]], names: Mapping[str, Path]) -> str | None:
    """Return the column whose values name images, in at least half of the first rows."""
    some = rows[:_LOOKED_AT]
    if not some:
        return None
    hits = {}
    for column in rows[0]:
        # Each once: a label may be spelled like the name of an image, but names do not repeat.
        hits[column] = len(names.keys() & {compose(row[column]) for row in rows})
    best = max(hits, key=lambda column: hits[column])
    return best if hits[best] and 2 * hits[best] >= min(len(rows), len(names)) else None


def _label(
    file: Path,
    rows: Sequence[Mapping[str, str]],
    file_column: str,
    names: Mapping[str, Path],
    columns: Columns,
    images: Sequence[Path],
) -> Labeled:
    label_column, notes = _find_label_column(file, list(rows[0]), file_column, columns)
    labels: dict[Path, str] = {}
    absent = []
    for row in rows:
        image, label = names.get(compose(row[file_column])), compose(row[label_column]).strip()
        if image is None:
            absent.append(row[file_column])
        elif not label:
            raise DatasetError(
                f"{file}: {row[file_column]} has no label; add it, or remove the row"
            )
        elif labels.setdefault(image, label) != label:
            raise DatasetError(
                f"{file}: {row[file_column]} has two labels, {labels[image]} and {label}; keep one"
            )
    if absent:
        notes.append(f"{len(absent):,} rows of {file.name} name no image, such as {absent[0]}")
    left = [image for image in images if image not in labels]
    skipped = (
        (Skipped(f"without a label in {file.name}", len(left), show(str(left[0]))),) if left else ()
    )
    kept = tuple(image for image in images if image in labels)
    return Labeled(
        file=file,
        file_column=file_column,
        label_column=label_column,
        images=kept,
        labels=tuple(show(labels[image]) for image in kept),
        skipped=skipped,
        notes=tuple(notes),
    )


def _find_label_column(
    file: Path, there: list[str], file_column: str, columns: Columns
) -> tuple[str, list[str]]:
    others = [name for name in there if name != file_column]
    if columns.label is not None:
        if columns.label in others:
            return columns.label, []
        raise DatasetError(
            f"{file}: no column {columns.label!r} (label_column); there are {', '.join(others)}"
        )
    lower = {name.lower(): name for name in reversed(others)}
    for known in LABEL_COLUMNS:
        if known in lower:
            chosen = lower[known]
            rest = list_other_columns(others, LABEL_COLUMNS, chosen)
            note = [f"there is also {list_some(rest)} (label_column chooses)"] if rest else []
            return chosen, note
    if len(others) == 1:
        return others[0], []
    raise DatasetError(
        f"{file}: which column has the labels? There are {', '.join(others) or 'none'}; name one"
        " with label_column"
    )
