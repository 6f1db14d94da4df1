"""`iid spaces` and `iid datasets`: what is shipped, what is known, what is there."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from distill_core.datasets.files import how_to_get, locate
from distill_core.datasets.info import REGISTRY
from search_spaces.load import list_spaces


def show_spaces(console: Console) -> None:
    """Print the shipped search spaces, a line each."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, description in list_spaces():
        table.add_row(Text(name, style="bold"), Text(description))
    console.print(table)


def show_datasets(data: Path, console: Console) -> None:
    """Print the known data sets, which are present in the data folder, and how to get the
    others.
    """
    table = Table("name", "images", "classes", "size", "", box=SIMPLE_HEAD, pad_edge=False)
    places = {name: locate(name, data) for name in REGISTRY}
    for info in REGISTRY.values():
        images = f"{info.train_images:,} + {info.test_images:,}"
        side = f"{info.image_size}×{info.image_size}×{info.channels}"
        state = (
            Text("present", style="green") if places[info.name] else Text("missing", style="yellow")
        )
        table.add_row(info.name, images, str(len(info.classes)), side, state)
    console.print(table)
    for name, folder in places.items():
        line = f"{name} is in {folder}" if folder else f"{name}: {how_to_get(name)}"
        console.print(line, highlight=False, markup=False)
    console.print(
        "Your own images: a data set {name: …, format: parquet or imagefolder, path: …} in a search"
        " space.",
        highlight=False,
        markup=False,
    )
