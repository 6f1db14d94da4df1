"""`iid spaces` and `iid datasets`: what is shipped, what is known, what is present."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from distill_core.datasets.files import describe_source, locate
from distill_core.datasets.info import REGISTRY, DatasetInfo
from orchestrator.cli.options import DataOption, JsonOption, build_console, print_json
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


def datasets(data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """List the known data sets and how to get them."""
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
        "Your own images: a data set {name: …, format: parquet or imagefolder, path: …} in a search"
        " space.",
        highlight=False,
        markup=False,
    )


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
