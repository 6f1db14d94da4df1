"""The command line `iid`: arguments here, what commands do in `orchestrator.commands`.

Commands import what they need when they are called, so that listing and planning start without Ray or torch.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from distill_core.datasets.info import DatasetError
from distill_core.settings import SettingsError
from orchestrator.files import StoreError
from orchestrator.launch import LaunchError
from orchestrator.tables import TableError
from search_spaces.errors import SpaceError

OWN_ERRORS = (SpaceError, SettingsError, DatasetError, TableError, StoreError, LaunchError)
"""Errors whose message is all that a user needs."""


class Commands(typer.core.TyperGroup):
    """Commands that end with a message and exit code 2 where the input is wrong."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run a command."""
        try:
            return super().invoke(ctx)
        except OWN_ERRORS as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    help="Distributed experiments in dataset distillation: plan, distil, evaluate, resume, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SpaceArgument = Annotated[str, typer.Argument(metavar="SPACE", help="A shipped search space, or a YAML file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set an axis or a setting for all experiments; repeatable."),
]
StoreOption = Annotated[
    Path, typer.Option("--store", help="Folder of results.", file_okay=False, callback=lambda path: path.expanduser())
]
DataOption = Annotated[
    Path, typer.Option("--data", help="Folder of data sets.", file_okay=False, callback=lambda path: path.expanduser())
]


class Device(StrEnum):
    """What `iid unit` can run on."""

    CPU = "cpu"
    CUDA = "cuda"


@app.command()
def spaces() -> None:
    """List the shipped search spaces."""
    from orchestrator.commands.listings import show_spaces

    show_spaces(Console())


@app.command()
def plan(
    space: SpaceArgument,
    store: StoreOption = Path("store"),
    overrides: SetOption = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs to reckon with (default: this machine's).")] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="CPU cores to reckon with (default: this machine's).")] = None,
) -> None:
    """Show what would run, what the store already has, and how long the rest takes; runs nothing."""
    from orchestrator.commands.plan import show_plan, this_machine
    from orchestrator.store import Store

    show_plan(space, overrides or [], Store(store), this_machine(cpus, gpus), Console())


@app.command()
def datasets(data: DataOption = Path("data")) -> None:
    """List the known data sets: which are there, and how to get the others."""
    from orchestrator.commands.listings import show_datasets

    show_datasets(data, Console())


@app.command()
def report(
    space: SpaceArgument,
    store: StoreOption = Path("store"),
    out: Annotated[Path | None, typer.Option(help="Folder for the report (default: reports/SPACE).")] = None,
    overrides: SetOption = None,
) -> None:
    """Write the report of a search space: tables, pictures, curves, what failed and what is missing."""
    from orchestrator.commands.report import show_report
    from orchestrator.store import Store

    show_report(space, overrides or [], Store(store), out, Console())


@app.command()
def run(
    space: SpaceArgument,
    store: StoreOption = Path("store"),
    data: DataOption = Path("data"),
    overrides: SetOption = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="GPUs a unit, such as 0.25 (default: 1 where there are GPUs).")
    ] = None,
    cpus_per_trial: Annotated[float | None, typer.Option(help="CPU cores a unit (default: 1).")] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join, auto or host:port (default: Ray on this machine).")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch missing data sets where possible.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the report (default: reports/SPACE).")] = None,
) -> None:
    """Compute what the store lacks of a search space; Ctrl-C stops after checkpointing, and running again goes on."""
    from orchestrator.commands.run import run as run_space
    from orchestrator.store import Store

    code = run_space(
        space,
        overrides or [],
        Store(store),
        data,
        Console(),
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        address=address,
        download=download,
        out=out,
    )
    raise typer.Exit(code)


@app.command()
def status(
    store: StoreOption = Path("store"),
    tracebacks: Annotated[bool, typer.Option("--tracebacks", help="Show where units failed.")] = False,
) -> None:
    """Show what is done, running, failed, waiting and blocked, and the reasons of failures."""
    from orchestrator.commands.status import show_status
    from orchestrator.store import Store

    show_status(Store(store), Console(), tracebacks=tracebacks)


@app.command()
def unit(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Key of a unit, or its beginning.")],
    store: StoreOption = Path("store"),
    data: DataOption = Path("data"),
    device: Annotated[Device, typer.Option(help="What it runs on.")] = Device.CPU,
) -> None:
    """Compute one unit in this process, for debugging."""
    from orchestrator.commands.unit import run_one
    from orchestrator.store import Store

    raise typer.Exit(run_one(key, Store(store), data, device.value, Console()))


def main() -> None:
    """Run the command line."""
    app()
