"""`iid status`: how far the search spaces of a store are."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.options import JsonOption, StoreOption, build_console, print_json
from orchestrator.errors import StoreError
from orchestrator.launch.display import render
from orchestrator.launch.status import STATES, LaunchNote, Status, StudyNote, read_status
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.text import format_count, format_duration
from orchestrator.units import KINDS, describe_unit, name_units


def status(
    store: StoreOption = "store",
    tracebacks: Annotated[
        bool, typer.Option("--tracebacks", help="Show where in the code units failed.")
    ] = False,
    units: Annotated[
        bool, typer.Option("--units", help="List all units: key, state and what they are.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is done, running, failed and waiting.

    Failed units are listed with their reasons, the last launch with its log file. A launch that
    runs now, here or elsewhere, shows its progress.
    """
    if as_json:
        print_json(describe_status(read_status(open_store(store))))
        return
    console = build_console(asked=True)
    if units:
        list_units(open_store(store), console)
    else:
        show_status(open_store(store), console, tracebacks=tracebacks)


def describe_status(status: Status) -> dict[str, object]:
    """Return a status as plain values: counts by state and kind, and the failed units."""
    launch = status.last_launch
    return {
        "spaces": list(status.spaces),
        "counts": {state: dict(status.counts[state]) for state in STATES},
        "failures": [
            {
                "key": failure.unit.key,
                "unit": status.names.get(failure.unit.key) or describe_unit(failure.unit),
                "error": failure.error,
                "reason": failure.reason,
            }
            for failure in status.failures
        ],
        "others": status.others,
        "states": dict(status.states),
        "searches": [
            {
                "key": study.key,
                "title": study.title,
                "trials": dict(study.states),
                "best": study.best,
            }
            for study in status.studies
        ],
        "running": [
            {"run": found.run, "space": found.space, "seconds_ago": found.age, **asdict(found.view)}
            for found in status.running_launches
        ],
        "last_launch": launch
        and {"run": launch.run, "outcome": launch.outcome, "log": launch.log and str(launch.log)},
    }


def list_units(store: Store, console: Console) -> None:
    """Print the key, the state and the name of each unit: the planned ones, then others.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    found = read_status(store)
    for key, state in found.states.items():
        console.print(Text(f"{key}  {state:<8} {found.names[key]}"), soft_wrap=True)
    for key in sorted(store.find_done_keys() - found.states.keys()):
        console.print(Text(f"{key}  {'done':<8} {_describe_done(store, key)}"), soft_wrap=True)


def _describe_done(store: Store, key: str) -> str:
    try:
        unit = store.read_unit(key)
        known = {unit.key: unit}
        for parent in unit.parents[:1]:
            known[parent] = store.read_unit(parent)
        return name_units(known)[key]
    except StoreError as error:
        return str(error)


def show_status(store: Store, console: Console, *, tracebacks: bool = False) -> None:
    """Print how many units are done, running, failed, waiting and blocked, and why units failed.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    found = read_status(store)
    console.print(render_status(found, tracebacks=tracebacks))
    for place, launch in enumerate(found.running_launches):
        if not launch.is_silent:
            console.print()
            title = f"{launch.space}, launch {launch.run}, {format_duration(launch.age)} ago:"
            console.print(Text(title), soft_wrap=True)
            console.print(render(launch.view))
        elif place == 0:
            console.print(
                Text(
                    f"Launch {launch.run} was last heard of {format_duration(launch.age)} ago: it"
                    " was killed or stands still. The same command continues its work."
                ),
                soft_wrap=True,
            )
    if found.last_launch is not None:
        console.print(format_launch(found.last_launch), soft_wrap=True)


def render_status(status: Status, *, tracebacks: bool = False) -> RenderableType:
    """Draw a status: a row per kind, then the failures with their reasons."""
    if not status.spaces and not status.studies and status.others:
        return Text(
            f"{format_count(status.others, 'unit')} done, but no launch has a record that can be"
            " read: see iid verify."
        )
    if not status.spaces and not status.studies:
        return Text("Nothing was launched on this store yet.")
    lines = []
    for failure in status.failures:
        name = status.names.get(failure.unit.key) or describe_unit(failure.unit)
        lines.append(Text(f"failed: {name}: {failure.error}: {failure.reason}", style="red"))
    if status.others:
        lines.append(
            Text(f"{format_count(status.others, 'more unit')} done, which earlier launches planned")
        )
    lines += [Text(_format_study(study)) for study in status.studies]
    if tracebacks:
        lines += [Text(failure.traceback) for failure in status.failures]
    return Group(_build_table(status), *lines)


def _format_study(study: StudyNote) -> str:
    states = ", ".join(f"{count} {state}" for state, count in study.states.items())
    best = "" if study.best is None else f"; best on held-out images {100 * study.best:.2f} %"
    total = sum(study.states.values())
    return f"search {study.title} [{study.key[:6]}]: {total} trials, {states}{best}"


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
