"""`iid spaces` and `iid datasets`: what is shipped, what is known, what is present."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from distill_core.datasets.files import describe_source, locate
from distill_core.datasets.info import REGISTRY
from orchestrator.cli.options import DataOption
from search_spaces.load import list_spaces


def spaces() -> None:
    """List the shipped search spaces."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, description in list_spaces():
        table.add_row(Text(name, style="bold"), Text(description))
    Console().print(table)


def datasets(data: DataOption = Path("data")) -> None:
    """List the known data sets and how to get them."""
    console = Console()
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
