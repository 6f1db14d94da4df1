"""`iid status`: how far the search spaces of a store are."""

from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.options import JsonOption, StoreOption, build_console, print_json
from orchestrator.launch.status import STATES, LaunchNote, Status, read_status
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.text import format_count
from orchestrator.units import KINDS, describe_unit


def status(
    store: StoreOption = "store",
    tracebacks: Annotated[
        bool, typer.Option("--tracebacks", help="Show where in the code units failed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is done, running, failed and waiting.

    Failed units are listed with their reasons, the last launch with its log file.
    """
    if as_json:
        print_json(describe_status(read_status(open_store(store))))
        return
    show_status(open_store(store), build_console(asked=True), tracebacks=tracebacks)


def describe_status(status: Status) -> dict[str, object]:
    """Return a status as plain values: counts by state and kind, and the failed units."""
    launch = status.last_launch
    return {
        "spaces": list(status.spaces),
        "counts": {state: dict(status.counts[state]) for state in STATES},
        "failures": [
            {
                "key": failure.unit.key,
                "unit": describe_unit(failure.unit),
                "error": failure.error,
                "reason": failure.reason,
            }
            for failure in status.failures
        ],
        "others": status.others,
        "last_launch": launch
        and {"run": launch.run, "outcome": launch.outcome, "log": launch.log and str(launch.log)},
    }


def show_status(store: Store, console: Console, *, tracebacks: bool = False) -> None:
    """Print how many units are done, running, failed, waiting and blocked, and why units failed.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    found = read_status(store)
    console.print(render_status(found, tracebacks=tracebacks))
    if found.last_launch is not None:
        console.print(format_launch(found.last_launch), soft_wrap=True)


def render_status(status: Status, *, tracebacks: bool = False) -> RenderableType:
    """Draw a status: a row per kind, then the failures with their reasons."""
    if not status.spaces and status.others:
        return Text(
            f"{format_count(status.others, 'unit')} done, but no launch has a record that can be"
            " read: see iid verify."
        )
    if not status.spaces:
        return Text("Nothing was launched on this store yet.")
    lines = []
    for failure in status.failures:
        name = describe_unit(failure.unit)
        lines.append(Text(f"failed: {name}: {failure.error}: {failure.reason}", style="red"))
    if status.others:
        lines.append(
            Text(f"{format_count(status.others, 'more unit')} done, which earlier launches planned")
        )
    if tracebacks:
        lines += [Text(failure.traceback) for failure in status.failures]
    return Group(_build_table(status), *lines)


def format_launch(launch: LaunchNote) -> Text:
    """Write how a launch ended, and where its log is."""
    parts = [f"Last launch: {launch.run}"]
    if launch.outcome is not None:
        parts.append(launch.outcome)
    elif launch.log is not None:  # records without a log say nothing about the end either
        parts.append("running or killed")
    if launch.log is not None:
        parts.append(f"log: {launch.log}")
    return Text(", ".join(parts))


def _build_table(status: Status) -> Table:
    title = f"search spaces: {', '.join(status.spaces)}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("kind")
    for state in STATES:
        table.add_column(state, justify="right")
    for kind in KINDS:
        numbers = [status.counts[state][kind] for state in STATES]
        if any(numbers):
            table.add_row(kind, *map(str, numbers))
    totals = [str(status.counts[state].total()) for state in STATES]
    table.add_row("all", *totals, style="bold")
    return table
