"""`iid datasets DATASET`: what a data set holds, and how it is read."""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from distill_core.datasets.files import locate
from distill_core.datasets.folders import show
from distill_core.datasets.info import REGISTRY, DatasetError, find_registered
from distill_core.datasets.record import ImageTraits, list_some
from distill_core.paths import check_path
from distill_core.settings import DatasetRef, SettingsError
from search_spaces.errors import InvalidValue, SpaceError

if TYPE_CHECKING:
    from distill_core.datasets.load import Dataset

_MANY = 20
"""Classes that are listed even if all have the same number of images."""
_SIZES = 5
"""Image sizes that are listed; the others are counted."""


def find_datasets(text: str, data: Path) -> list[DatasetRef]:
    """Return the data sets that a word of the command line stands for.

    Args:
        text: a known name, a mapping as in a search space, a search space's file, or a folder, here
            or in the data folder.
        data: the data folder.

    Raises:
        DatasetError, SpaceError: it stands for none.
    """
    if text.strip().startswith("{"):
        return _parse_mapping(text)
    if text in REGISTRY:
        return [DatasetRef(name=text)]
    path = check_path(text, "DATASET")
    if path.suffix in (".yaml", ".yml"):
        from search_spaces.load import load_space

        refs = [ref for each in load_space(text).experiments for ref in each.datasets]
        return list(dict.fromkeys(dataclasses.replace(ref, classes=()) for ref in refs))
    inside = check_path(data / path, "DATASET")
    for folder, given in ((inside, text), (path, str(path.absolute()))):
        if folder.is_dir():
            return [_guess(folder, given, data)]
    try:
        find_registered(text)
    except DatasetError as error:
        raise DatasetError(f"{error} There is no folder {text} either, here or in {data}") from None
    raise AssertionError(text)


def _parse_mapping(text: str) -> list[DatasetRef]:
    from search_spaces.schema import Axes, validate
    from search_spaces.yaml_document import parse_document

    value = parse_document("DATASET", text, lines=False).value
    try:
        return list(validate(Axes, {"datasets": value}).list_datasets())
    except InvalidValue as invalid:
        raise SpaceError(f"DATASET: {invalid.message}") from invalid


def _guess(folder: Path, given: str, data: Path) -> DatasetRef:
    """Return a folder as a data set of the format that it has."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")[:64] or "mine"
    name = f"my-{name}" if name.lower() in REGISTRY else name
    for format in ("parquet", "imagefolder"):
        ref = DatasetRef(name=name, format=format, path=given)
        if locate(ref, data) is not None:
            return ref
    raise DatasetError(
        f"{folder}: holds neither Parquet files of a split nor folders with images; put"
        " train.parquet or train/<class>/<images> there"
    )


def check_dataset(
    ref: DatasetRef, data: Path, console: Console, *, contact_sheet: Path | None = None
) -> dict[str, object]:
    """Read a data set, print what it holds, and return that.

    Raises:
        DatasetError: it is missing or cannot be read.
        SettingsError: the contact sheet cannot be written.
    """
    from distill_core.datasets.load import load_dataset

    dataset = load_dataset(ref, data)
    _print_dataset(ref, dataset, console)
    if contact_sheet is not None:
        _write_contact_sheet(dataset, contact_sheet)
        console.print(Text(f"Contact sheet: {contact_sheet}"), soft_wrap=True)
    return _describe(ref, dataset)


def _write_contact_sheet(dataset: "Dataset", file: Path) -> None:
    from distill_core.datasets.contact_sheet import draw_contact_sheet

    sheet = draw_contact_sheet(dataset)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(file)
    except (OSError, ValueError) as error:  # ValueError: a suffix that Pillow does not know
        raise SettingsError(f"--contact-sheet {show(str(file))}: {error}; try a .png") from error


def _print_dataset(ref: DatasetRef, dataset: "Dataset", console: Console) -> None:
    from orchestrator.launch.inputs.data_summaries import build_summary

    def line(text: str) -> None:
        console.print(Text(text), soft_wrap=True)

    record = dataset.record
    line(f"{ref.name}: {build_summary(dataset).describe()}")
    if record.layout:
        line(f"Read as: {record.layout}")
    for each in record.list_lines():
        line(f"  {each}")
    _print_classes(dataset, console)
    for split, traits in (("Training", record.train), ("Test", record.test)):
        if traits is not None:
            line(f"{split} images: {_describe_traits(traits)}")
            for each in traits.list_lines():
                line(f"  {each}")
    line(f"Fingerprint: {dataset.fingerprint}")
    if ref.path is not None:
        line(f"In a search space: datasets: {format_mapping(ref)}")


def _print_classes(dataset: "Dataset", console: Console) -> None:
    train, test = dataset.train.counts, dataset.test.counts
    if len(set(train)) == len(set(test)) == 1 and len(train) > _MANY:
        text = f"Each class has {train[0]:,} training and {test[0]:,} test images."
        console.print(Text(text))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("class")
    for name in ("training", "test"):
        table.add_column(name, justify="right")
    for name, *counts in zip(dataset.info.classes, train, test, strict=True):
        table.add_row(Text(name), *(f"{count:,}" for count in counts))
    console.print(table)


def _describe_traits(traits: ImageTraits) -> str:
    sizes = {f"of {width}×{height}": count for (width, height), count in traits.sizes.items()}
    parts = [_count(values) for values in (traits.formats, traits.modes, sizes)]
    return "; ".join(parts)


def _count(values: Mapping[str, int]) -> str:
    common = sorted(values, key=lambda value: (-values[value], value))
    return list_some([f"{values[value]:,} {value}" for value in common], _SIZES)


def format_mapping(ref: DatasetRef) -> str:
    """Write a data set as a search space has it."""
    pairs = []
    for field in dataclasses.fields(ref):
        value = getattr(ref, field.name)
        if value != field.default and value not in (None, ()):
            quoted = isinstance(value, str) and not re.fullmatch(r"[A-Za-z][\w./-]*", value)
            pairs.append(f"{field.name}: {json.dumps(value) if quoted else value}")
    return f"{{{', '.join(pairs)}}}"


def _describe(ref: DatasetRef, dataset: "Dataset") -> dict[str, object]:
    from orchestrator.launch.inputs.data_summaries import build_summary

    summary = dataclasses.asdict(build_summary(dataset))
    summary["layout"] = dataset.record.layout
    for split in ("train", "test"):
        traits: ImageTraits | None = getattr(dataset.record, split)
        if traits is not None:
            sizes = [[*size, count] for size, count in traits.sizes.items()]
            summary[f"{split}_images"] = {**dataclasses.asdict(traits), "sizes": sizes}
    return {"name": ref.name, **summary}
