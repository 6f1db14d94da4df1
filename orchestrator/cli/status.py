"""`iid status`: where a store stands."""

from rich.console import Console

from orchestrator.launch.status import read_status, render_status
from orchestrator.store.store import Store


def show_status(store: Store, console: Console, *, tracebacks: bool = False) -> None:
    """Print how many units are done, running, failed, waiting and blocked, and why units failed.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    console.print(render_status(read_status(store), tracebacks=tracebacks))
