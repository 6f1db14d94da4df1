"""The Hugging Face image layout: Parquet with columns of encoded images and labels.

Labels are numbers, names or categories. `docs/data.md` shows every form.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from distill_core.datasets.folders import TEST_NAMES, TRAIN_NAMES, compose, require_regular, show
from distill_core.datasets.info import DatasetError
from distill_core.datasets.raw import EncodedData, EncodedImage, EncodedSplit, Labels, check_labels
from distill_core.datasets.readers.options import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    Columns,
    choose_column,
    list_other_columns,
    name_classes,
)
from distill_core.datasets.record import DataRecord, list_some
from distill_core.datasets.shards import find_parquet_root, find_parquet_shards
from distill_core.datasets.splits import split_off_test

_UNLABELED = -1
"""What Hugging Face writes for the labels of a test split that are not published."""


@dataclass(frozen=True, slots=True)
class _Split:
    """Images of a split, and their labels: integers, or names."""

    files: Sequence[Path]
    images: Sequence[EncodedImage]
    labels: Labels | tuple[str, ...]
    columns: tuple[str, str]
    """Of the images, and of the labels."""
    others: tuple[str, ...]
    """Columns that could have the labels too."""

    @property
    def is_unlabeled(self) -> bool:
        """Whether the file says of no image what it shows."""
        return not isinstance(self.labels, tuple) and bool((self.labels == _UNLABELED).all())


def read_parquet(
    folder: Path, name: str, columns: Columns | None = None, *, test_split: str | None = None
) -> EncodedData:
    """Read the splits in a folder (see `shards`) without decoding the images.

    Class names come from the Hugging Face metadata of the schema, or are the labels themselves:
    names, or the numbers "0", "1", ….

    Args:
        folder: where the files are.
        name: name of the data set; it seeds the test split if there is none.
        columns: columns of images and labels, where the user names them.
        test_split: name of the test split; by default the first of `TEST_NAMES` with labels.

    Raises:
        DatasetError: a file is damaged, has other columns or types, or a label is out of range.
    """
    columns = columns or Columns()
    root = find_parquet_root(folder) or folder
    train_files = next(filter(None, (find_parquet_shards(root, each) for each in TRAIN_NAMES)), [])
    train = _read_split(train_files, columns)
    assert train is not None  # only a test split may lack labels
    if train.is_unlabeled:
        raise DatasetError(
            f"{train_files[0]}: all labels are {_UNLABELED}, so the training images have none; get"
            " a version with labels"
        )
    classes = _read_class_names(train) or _name_labels(train)
    test, notes = _choose_test(root, train, test_split)
    notes = [*_describe(folder, root, train), *notes]
    encoded = _encode(train, classes)
    record = DataRecord(layout="Parquet", notes=tuple(notes))
    shown = tuple(map(show, classes))
    if test is None:
        return EncodedData(*split_off_test(encoded, name, shown), shown, record)
    return EncodedData(encoded, _encode(test, classes), shown, record)


def _describe(folder: Path, root: Path, train: _Split) -> list[str]:
    notes = [f"read from {root}"] if root not in (folder, folder / "data") else []
    if train.columns not in (("image", "label"), ("img", "label")):
        notes.append("images are column {!r}, labels are column {!r}".format(*train.columns))
    if train.others:
        notes.append(f"there is also {list_some(train.others)} (label_column chooses)")
    return notes


def _choose_test(
    root: Path,
    train: _Split,
    wanted: str | None,
) -> tuple[_Split | None, list[str]]:
    """Return the labeled test split, None if there is none, and what to tell about that."""
    names = TEST_NAMES if wanted is None else (wanted,)
    there = [(name, files) for name in names if (files := find_parquet_shards(root, name))]
    if wanted is not None and not there:
        raise DatasetError(f"{root}: has no files of the split {wanted!r} (test_split)")
    notes: list[str] = []
    for place, (name, files) in enumerate(there):
        split = _read_split(files, Columns(*train.columns), optional=True)
        if split is None or split.is_unlabeled:
            if wanted is not None:
                raise DatasetError(
                    f"{files[0]}: has no labels (test_split: {wanted}); name another split"
                )
            notes.append(f"{name} has no labels and is not used")
            continue
        left = [other for other, _ in there[place + 1 :]]
        if left:
            notes.append(
                f"{name} is the test split; {list_some(left)} not used (test_split chooses)"
            )
        elif notes:
            notes.append(f"{name} is the test split")
        return split, notes
    notes.append("no test split with labels: a fifth of the images of each class is held out")
    return None, notes


def _encode(split: _Split, classes: Sequence[str]) -> EncodedSplit:
    """Turn labels into numbers of classes."""
    if isinstance(split.labels, tuple):
        numbers = {name: number for number, name in enumerate(classes)}
        unknown = [row for row, name in enumerate(split.labels) if name not in numbers]
        if unknown:
            raise DatasetError(
                f"{split.images[unknown[0]].where}: label {split.labels[unknown[0]]!r} is no label"
                f" of the training images; those are {list_some(classes)}"
            )
        labels = np.array([numbers[name] for name in split.labels], dtype=np.int64)
        return EncodedSplit(split.images, labels)
    check_labels(split.labels, len(classes), lambda index: split.images[index].where)
    return EncodedSplit(split.images, split.labels)


def _name_labels(split: _Split) -> tuple[str, ...]:
    if isinstance(split.labels, tuple):
        return name_classes(split.labels)
    highest = int(split.labels.max())
    if highest >= len(split.labels):
        image = split.images[int(split.labels.argmax())]
        raise DatasetError(
            f"{image.where}: label {highest}, but there are only {len(split.labels)} training"
            " images"
        )
    return tuple(map(str, range(highest + 1)))


def _read_class_names(split: _Split) -> tuple[str, ...] | None:
    """Return the class names of the label column's ClassLabel feature, if the schema has one."""
    if isinstance(split.labels, tuple):
        return None
    try:
        metadata = pq.read_schema(split.files[0]).metadata or {}
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][split.columns[1]]
        return tuple(map(str, feature["names"]))
    except (KeyError, TypeError, ValueError):
        return None


def _read_split(
    files: Sequence[Path], columns: Columns, *, optional: bool = False
) -> _Split | None:
    """Read a split; None if it may lack the column of labels (`optional`) and does."""
    parts = [_read_file(file, columns, optional=optional) for file in files]
    images: list[EncodedImage] = []
    names: list[str] = []
    numbers: list[Labels] = []
    for part in parts:
        if part is None:
            return None
        images += part.images
        if isinstance(part.labels, tuple):
            names += part.labels
        elif len(part.labels):
            numbers.append(part.labels)
    if not images:
        raise DatasetError(
            f"{files[0]}: has no rows; get it again, or remove it if there is no such split"
        )
    if names and numbers:
        raise DatasetError(f"{files[0]}: its labels are names, those of other files are numbers")
    first = parts[0]
    assert first is not None
    labels = tuple(names) if names else np.concatenate(numbers)
    return _Split(files, images, labels, first.columns, first.others)


def _read_file(file: Path, columns: Columns, *, optional: bool) -> _Split | None:
    require_regular(file)
    try:
        with pq.ParquetFile(file) as parquet:
            there = parquet.schema_arrow.names
            if twice := [name for name in there if there.count(name) > 1]:
                raise DatasetError(f"{file}: has several columns {twice[0]!r}; keep one")
            image = choose_column(
                there, IMAGE_COLUMNS, columns.image, key="image_column", where=str(file)
            )
            if optional and columns.label not in there:
                return None
            label = choose_column(
                there, LABEL_COLUMNS, columns.label, key="label_column", where=str(file)
            )
            table = parquet.read(columns=list(dict.fromkeys((image, label))))
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file}: damaged, or not Parquet ({error}); get it again") from error
    contents = _read_contents(table.column(image), f"{file}, column {image!r}")
    labels = _read_labels(table.column(label), f"{file}, column {label!r}")
    images = [EncodedImage(content, f"{file}, row {row}") for row, content in enumerate(contents)]
    others = list_other_columns(there, LABEL_COLUMNS, label)
    return _Split([file], images, labels, (image, label), tuple(others))


def _read_contents(column: pa.ChunkedArray, where: str) -> list[bytes | None]:
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise DatasetError(
            f"{where}: {column.type} does not hold encoded images; expected bytes or struct<bytes,"
            " path>; image_column names another column"
        )
    return list(column.to_pylist())


def _read_labels(column: pa.ChunkedArray, where: str) -> Labels | tuple[str, ...]:
    """Return labels as numbers where they are whole numbers, otherwise as names."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if column.null_count == len(column) and len(column):
        return np.full(len(column), _UNLABELED, dtype=np.int64)
    if column.null_count:
        raise _lacking_labels(column.null_count, where)
    if _is_text(kind):
        names = tuple(compose(label) for label in column.to_pylist())
        if any(names) and not all(names):
            raise _lacking_labels(names.count(""), where)
        return names if any(names) else np.full(len(column), _UNLABELED, dtype=np.int64)
    if pa.types.is_boolean(kind):
        return tuple(str(label) for label in column.to_pylist())
    if pa.types.is_floating(kind):
        values = np.asarray(column.to_numpy(), dtype=np.float64)
        if np.isnan(values).all():
            return np.full(len(column), _UNLABELED, dtype=np.int64)
        if not (np.isfinite(values) & (values == np.round(values))).all():
            raise DatasetError(
                f"{where}: labels are {kind}, and not all are whole numbers; name another column"
                " with label_column"
            )
        return values.astype(np.int64)
    if not pa.types.is_integer(kind):
        raise DatasetError(
            f"{where}: labels are {kind}; expected whole numbers or names; label_column names"
            " another column"
        )
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _lacking_labels(count: int, where: str) -> DatasetError:
    rows = "row has" if count == 1 else "rows have"
    return DatasetError(f"{where}: {count:,} {rows} no label; write the file without them")


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
