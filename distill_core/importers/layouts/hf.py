"""Parquet in the Hugging Face image layout: columns of encoded images and labels.

Our own `hf` exports also have `soft_label`, probabilities of the classes.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from distill_core.importers.files.image_files import ImageSource, read_stacked
from distill_core.importers.raw_set import FoundSets, ImportSetError, RawSet, read_labels

IMAGES = ("image", "img", "images")
LABELS = ("label", "labels", "fine_label", "target")
SOFT_LABELS = ("soft_label", "soft_labels")


def list_parquet(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder or its `data/`: those named train, if any are."""
    files = sorted([*folder.glob("[!.]*.parquet"), *folder.glob("data/[!.]*.parquet")])
    return [path for path in files if path.name.startswith("train")] or files


def find(files: list[Path]) -> FoundSets:
    """Read the layout; ImportSetError if a file is damaged or has other columns."""
    where = str(files[0])
    try:
        table = pa.concat_tables([pq.read_table(path) for path in files])
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ImportSetError(f"{where} cannot be read, or is damaged: {error}") from error
    image, label = _find_column(table, IMAGES), _find_column(table, (*SOFT_LABELS, *LABELS))
    if image is None or label is None or not len(table):
        raise ImportSetError(
            f"{where}: expected rows with a column {IMAGES[0]!r} and {LABELS[0]!r}, found"
            f" {len(table)} rows of {', '.join(table.column_names)[:200]}"
        )
    sources = [
        ImageSource(content or b"", f"{where}, row {row}")
        for row, content in enumerate(_read_contents(table.column(image), where))
    ]
    try:
        labels = read_labels(_to_array(table.column(label)), len(sources), f"{where}, {label!r}")
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise ImportSetError(f"{where}: column {label!r} has no labels: {error}") from error
    left_out = sorted(set(table.column_names) - {image, label} - set(LABELS))
    found = RawSet(
        where=where,
        images=read_stacked(sources),
        labels=labels,
        normalized=False,
        zca=False,
        partition=1,
        image_files=True,
        class_names=_read_class_names(table.schema),
        soft_kind="probabilities" if label in SOFT_LABELS else None,
        notes=(f"columns left out: {', '.join(left_out)[:80]}",) if left_out else (),
    )
    reason = f"Parquet with columns {image!r} and {label!r}: a data set of Hugging Face"
    return FoundSets(layout="hf", reason=reason, sets=(found,), files=tuple(files))


def _find_column(table: pa.Table, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in table.column_names), None)


def _read_contents(column: pa.ChunkedArray, where: str) -> list[bytes | None]:
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise ImportSetError(f"{where}: images are {column.type}, not encoded images (bytes)")
    return list(column.to_pylist())


def _to_array(column: pa.ChunkedArray) -> Any:
    import numpy as np

    return np.array(column.to_pylist())


def _read_class_names(schema: pa.Schema) -> tuple[str, ...]:
    """Return the names of the classes that the metadata of the schema has."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        label = next(name for name in LABELS if name in features)
        names = features[label]["names"]
        return tuple(names) if all(isinstance(name, str) for name in names) else ()
    except (KeyError, TypeError, ValueError, StopIteration, RecursionError):
        return ()
