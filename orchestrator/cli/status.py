"""`iid status`: how far the search spaces of a store are."""

from typing import Annotated

import typer
from rich.console import Console

from orchestrator.cli.options import StoreOption
from orchestrator.launch.status import read_status, render_status
from orchestrator.store.open import open_store
from orchestrator.store.store import Store


def status(
    store: StoreOption = "store",
    tracebacks: Annotated[
        bool, typer.Option("--tracebacks", help="Show where in the code units failed.")
    ] = False,
) -> None:
    """Show what is done, running, failed and waiting.

    Failed units are listed with their reasons, the last launch with its log file.
    """
    show_status(open_store(store), Console(), tracebacks=tracebacks)


def show_status(store: Store, console: Console, *, tracebacks: bool = False) -> None:
    """Print how many units are done, running, failed, waiting and blocked, and why units failed.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    console.print(render_status(read_status(store), tracebacks=tracebacks))
