"""`iid spaces` and `iid datasets`: what is shipped, what is known, what is present."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from distill_core.datasets.files import describe_source, locate
from distill_core.datasets.info import REGISTRY, DatasetError, DatasetInfo
from distill_core.settings import SettingsError
from orchestrator.cli.options import (
    DataOption,
    JsonOption,
    build_console,
    check_file,
    print_json,
)
from search_spaces.load import list_spaces

FIRST = "quickstart"


def spaces(as_json: JsonOption = False) -> None:
    """List the shipped search spaces."""
    listed = sorted(list_spaces(), key=lambda space: space[0] != FIRST)
    if as_json:
        print_json([{"name": name, "description": text} for name, text in listed])
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, description in listed:
        table.add_row(Text(name, style="bold"), Text(description))
    build_console(asked=True).print(table)


def datasets(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATASET]...",
            help="What to read and check: a name, a folder, a search space's file, or {…} as in"
            " one.",
        ),
    ] = None,
    data: DataOption = Path("data"),
    contact_sheet: Annotated[
        Path | None,
        typer.Option(
            "--contact-sheet",
            metavar="FILE",
            help="Draw images of every class of the data set.",
            callback=check_file,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the known data sets, or check data sets.

    A check reads a data set as a run would. It shows counts by class, formats and sizes, what was
    mapped or passed over, and every image that cannot be read.
    """
    if names:
        raise typer.Exit(_check(names, data, contact_sheet, as_json))
    if contact_sheet is not None:
        raise SettingsError("--contact-sheet: name a data set to draw, such as digits")
    if as_json:
        print_json([_describe_dataset(info, locate(info.name, data)) for info in REGISTRY.values()])
        return
    console = build_console(asked=True)
    table = Table("name", "images", "classes", "size", "", box=SIMPLE_HEAD, pad_edge=False)
    places = {name: locate(name, data) for name in REGISTRY}
    for info in REGISTRY.values():
        images = f"{info.train_images:,} + {info.test_images:,}"
        size = f"{info.image_size}×{info.image_size}×{info.channels}"
        if places[info.name]:
            state = Text("present", style="green")
        else:
            state = Text("missing", style="yellow")
        table.add_row(info.name, images, str(len(info.classes)), size, state)
    console.print(table)
    for name, folder in places.items():
        line = f"{name} is in {folder}" if folder else f"{name}: {describe_source(name)}"
        console.print(line, highlight=False, markup=False)
    console.print(
        "Your own images: iid datasets FOLDER shows how they are read. A search space names them as"
        " {name: …, format: parquet or imagefolder, path: …}.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _check(names: Sequence[str], data: Path, contact_sheet: Path | None, as_json: bool) -> int:
    """Check data sets one after the other, and return the exit code."""
    from orchestrator.cli.data_sets import check_dataset, find_datasets

    refs = [ref for name in names for ref in find_datasets(name, data)]
    if contact_sheet is not None and len(refs) != 1:
        raise SettingsError(f"--contact-sheet: name one data set, not {len(refs)}")
    console = Console(quiet=True) if as_json else build_console(asked=True)
    found: list[dict[str, object]] = []
    for number, ref in enumerate(refs):
        console.print(end="\n" * bool(number))
        try:
            found.append(check_dataset(ref, data, console, contact_sheet=contact_sheet))
        except DatasetError as error:
            problems = getattr(error, "problems", (str(error),))
            found.append({"name": ref.name, "problems": list(problems)})
            headline = f"{ref.name}: {len(problems):,} images cannot be read"
            lines = [headline, *problems] if len(problems) > 1 else [f"error: {problems[0]}"]
            console.print(Text("\n".join(lines), style="red"), soft_wrap=True)
    if as_json:
        print_json(found)
    return 2 if any("problems" in each for each in found) else 0


def _describe_dataset(info: DatasetInfo, folder: Path | None) -> dict[str, object]:
    return {
        "name": info.name,
        "title": info.title,
        "train_images": info.train_images,
        "test_images": info.test_images,
        "classes": list(info.classes),
        "image_size": info.image_size,
        "channels": info.channels,
        "folder": None if folder is None else str(folder),
        "source": describe_source(info.name),
    }
