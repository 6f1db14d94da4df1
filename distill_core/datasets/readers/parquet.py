"""The Hugging Face image layout: Parquet with columns of encoded images and integer labels."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from distill_core.datasets.files import TEST_NAMES, find_parquet_shards
from distill_core.datasets.info import DatasetError
from distill_core.datasets.raw import EncodedData, EncodedImage, EncodedSplit, Labels, check_labels
from distill_core.datasets.splits import split_off_test

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label")


def read_parquet(folder: Path, name: str) -> EncodedData:
    """Read the splits in a folder (see `files.parquet_shards`) without decoding the images.

    Class names come from the Hugging Face metadata of the schema; otherwise they are the labels
    "0", "1", ….

    Args:
        folder: where the files are.
        name: name of the data set; it seeds the test split if there is none.

    Raises:
        DatasetError: a file is damaged, has other columns or types, or a label is out of range.
    """
    train_files = find_parquet_shards(folder, "train")
    test_files: list[Path] = []
    for split in TEST_NAMES:
        test_files = test_files or find_parquet_shards(folder, split)
    train = _read_split(train_files)
    classes = _read_class_names(pq.read_schema(train_files[0])) or _number_classes(train)
    _check_split_labels(train, classes)
    if not test_files:
        return EncodedData(*split_off_test(train, name), classes)
    test = _read_split(test_files)
    _check_split_labels(test, classes)
    return EncodedData(train, test, classes)


def _check_split_labels(split: EncodedSplit, classes: Sequence[str]) -> None:
    check_labels(split.labels, len(classes), lambda index: split.images[index].where)


def _number_classes(split: EncodedSplit) -> tuple[str, ...]:
    highest = int(split.labels.max())
    if highest >= len(split.labels):
        image = split.images[int(split.labels.argmax())]
        raise DatasetError(
            f"{image.where}: label {highest}, but there are only {len(split.labels)} training"
            " images"
        )
    return tuple(map(str, range(highest + 1)))


def _read_class_names(schema: pa.Schema) -> tuple[str, ...] | None:
    """Return the class names of the label column's ClassLabel feature, if the schema has one."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(map(str, features[_find_column(schema, LABEL_COLUMNS, "")]["names"]))
    except (KeyError, TypeError, ValueError):
        return None


def _read_split(files: Sequence[Path]) -> EncodedSplit:
    parts = [_read_file(file) for file in files]
    images: list[EncodedImage] = []
    for part in parts:
        images += part.images
    if not images:
        raise DatasetError(
            f"{files[0]}: has no rows; get it again, or remove it if there is no such split"
        )
    return EncodedSplit(images, np.concatenate([part.labels for part in parts]))


def _read_file(file: Path) -> EncodedSplit:
    try:
        with pq.ParquetFile(file) as parquet:
            image_column = _find_column(parquet.schema_arrow, IMAGE_COLUMNS, f"{file}: ")
            label_column = _find_column(parquet.schema_arrow, LABEL_COLUMNS, f"{file}: ")
            table = parquet.read(columns=[image_column, label_column])
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file}: damaged, or not Parquet ({error}); get it again") from error
    contents = _read_contents(table.column(image_column), f"{file}, column {image_column!r}")
    labels = _read_labels(table.column(label_column), f"{file}, column {label_column!r}")
    images = [EncodedImage(content, f"{file}, row {row}") for row, content in enumerate(contents)]
    return EncodedSplit(images, labels)


def _find_column(schema: pa.Schema, names: Sequence[str], where: str) -> str:
    for name in names:
        if name in schema.names:
            return name
    raise DatasetError(
        f"{where}no column {' or '.join(map(repr, names))}; there are {', '.join(schema.names)}"
    )


def _read_contents(column: pa.ChunkedArray, where: str) -> list[bytes | None]:
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise DatasetError(
            f"{where}: {column.type} does not hold encoded images; expected bytes or struct<bytes,"
            " path>"
        )
    return list(column.to_pylist())


def _read_labels(column: pa.ChunkedArray, where: str) -> Labels:
    if not pa.types.is_integer(column.type):
        raise DatasetError(f"{where}: labels are {column.type}; expected integers starting at 0")
    if column.null_count:
        raise DatasetError(f"{where}: {column.null_count} labels are empty; remove those rows")
    return np.asarray(column.to_numpy(), dtype=np.int64)
