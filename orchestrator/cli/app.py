"""The command line `iid`: arguments here, what commands do in the modules beside this one.

Commands import what they need when they are called, so that listing and planning start without Ray
or torch.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from orchestrator.cli.cluster import app as cluster
from orchestrator.errors import USER_ERRORS
from orchestrator.planning.request import Request


class Commands(typer.core.TyperGroup):
    """Commands that end with a message and exit code 2 where the input is wrong."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run a command."""
        try:
            return super().invoke(ctx)
        except USER_ERRORS as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    help="Distributed experiments in dataset distillation: plan, distil, evaluate, resume, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(cluster, name="cluster")

SpaceArgument = Annotated[
    str, typer.Argument(metavar="SPACE", help="A shipped search space, or a YAML file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Set an axis or a setting for all experiments; repeatable.",
    ),
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store", metavar="FOLDER|URL", help="Where results are: a folder, or s3://BUCKET/FOLDER."
    ),
]
DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Folder of data sets.",
        file_okay=False,
        callback=lambda path: path.expanduser(),
    ),
]

SmokeOption = Annotated[
    bool,
    typer.Option(
        "--smoke", help="The small version: digits, narrow networks, a few iterations; minutes."
    ),
]


class Device(StrEnum):
    """What `iid unit` can run on."""

    CPU = "cpu"
    CUDA = "cuda"


class ProtocolName(StrEnum):
    """Protocols by name."""

    PAPER = "paper"
    STRICT = "strict"


class SamplerName(StrEnum):
    """What suggests the settings that `iid search` tries."""

    TPE = "tpe"
    RANDOM = "random"
    GRID = "grid"


class SchedulerName(StrEnum):
    """What stops trials of `iid search` early."""

    ASHA = "asha"
    NONE = "none"


def request(space: str, overrides: list[str] | None, smoke: bool) -> Request:
    """Put together what a command asks for."""
    return Request(space=space, overrides=tuple(overrides or ()), smoke=smoke)


@app.command()
def spaces() -> None:
    """List the shipped search spaces."""
    from orchestrator.cli.listings import show_spaces

    show_spaces(Console())


@app.command()
def plan(
    space: SpaceArgument,
    store: StoreOption = "store",
    overrides: SetOption = None,
    smoke: SmokeOption = False,
    gpus: Annotated[
        int | None, typer.Option(min=0, help="GPUs to reckon with (default: this machine's).")
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPU cores to reckon with (default: this machine's).")
    ] = None,
) -> None:
    """Show what would run, what the store already has, and how long the rest takes; runs
    nothing.
    """
    from orchestrator.cli.plan import show_plan, this_machine
    from orchestrator.store.open import open_store

    show_plan(
        request(space, overrides, smoke), open_store(store), this_machine(cpus, gpus), Console()
    )


@app.command()
def datasets(data: DataOption = Path("data")) -> None:
    """List the known data sets: which are there, and how to get the others."""
    from orchestrator.cli.listings import show_datasets

    show_datasets(data, Console())


@app.command()
def report(
    space: SpaceArgument,
    store: StoreOption = "store",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report (default: reports/SPACE).")
    ] = None,
    overrides: SetOption = None,
    smoke: SmokeOption = False,
) -> None:
    """Write the report of a search space: tables, pictures, curves, what failed and what is
    missing.
    """
    from orchestrator.cli.report import show_report
    from orchestrator.store.open import open_store

    show_report(request(space, overrides, smoke), open_store(store), out, Console())


@app.command()
def run(
    space: SpaceArgument,
    store: StoreOption = "store",
    data: DataOption = Path("data"),
    overrides: SetOption = None,
    smoke: SmokeOption = False,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(help="GPUs a unit, such as 0.25 (default: what its memory needs)."),
    ] = None,
    cpus_per_trial: Annotated[
        float | None, typer.Option(help="CPU cores a unit (default: 1).")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster to join, auto or host:port (default: Ray on this machine)."),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch missing data sets where possible.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report (default: reports/SPACE).")
    ] = None,
) -> None:
    """Compute what the store lacks of a search space; Ctrl-C stops after checkpointing, and running
    again goes on.
    """
    from orchestrator.cli.run import run as run_space
    from orchestrator.store.open import open_store

    code = run_space(
        request(space, overrides, smoke),
        open_store(store),
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
def evaluate(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Files, folders, or keys of sets in the store."),
    ],
    dataset: Annotated[
        str, typer.Option(help="What the sets stand for, by name as in a search space.")
    ],
    architectures: Annotated[str, typer.Option(help="Networks, such as ConvNet,ResNet18.")] = "",
    protocol: Annotated[
        ProtocolName,
        typer.Option(
            help="Whether training images are held out: docs/search-spaces.md, Protocol strict."
        ),
    ] = ProtocolName.PAPER,
    beside: Annotated[
        str, typer.Option(help="Methods to compare with, such as Random,Herding,Whole.")
    ] = "",
    name: Annotated[
        str | None, typer.Option(help="Name of the sets' method (default: the file's).")
    ] = None,
    num_eval: Annotated[int | None, typer.Option(help="Networks trained on each set.")] = None,
    overrides: SetOption = None,
    normalised: Annotated[
        str | None, typer.Option(help="How every PATH is stored: yes, no, or MEANS,STDS.")
    ] = None,
    zca: Annotated[
        str | None,
        typer.Option(help="Whether every PATH is ZCA-whitened: yes, no, or a file of it."),
    ] = None,
    factor: Annotated[
        int | None,
        typer.Option(min=1, help="Cells a side into which images of every PATH are cut."),
    ] = None,
    soft_labels: Annotated[
        str | None, typer.Option(help="What every PATH's soft labels are: logits or probabilities.")
    ] = None,
    lr_net: Annotated[
        str | None, typer.Option(help="Learning rate instead of the protocol's: a number, or file.")
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read pickles; only from who you trust.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Import even if the pixels make no sense.")
    ] = False,
    store: StoreOption = "store",
    data: DataOption = Path("data"),
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the data set where possible.")
    ] = False,
    gpus_per_trial: Annotated[float | None, typer.Option(help="GPUs a unit, as for run.")] = None,
    cpus_per_trial: Annotated[
        float | None, typer.Option(help="CPU cores a unit, as for run.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join, as for run.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report.")] = None,
) -> None:
    """Evaluate distilled sets made elsewhere, or in the store, under one protocol beside one
    another.

    Options of how sets are stored apply to every PATH that is no key, and win over what a file
    says. For sets that need different ones, give each its own command first, and then their keys
    together.
    """
    from orchestrator.cli.evaluate import Resources, ask, evaluate_sets, read_options
    from orchestrator.store.open import open_store

    options = read_options(
        normalised=normalised, zca=zca, factor=factor, soft_labels=soft_labels, check=not no_check
    )
    code = evaluate_sets(
        paths,
        ask(dataset, architectures, protocol.value, beside, overrides or [], num_eval),
        open_store(store),
        data,
        Console(),
        options=options,
        name=name,
        lr_net=lr_net,
        allow_pickle=allow_pickle,
        download=download,
        out=out,
        resources=Resources(
            cpus_per_trial=cpus_per_trial, gpus_per_trial=gpus_per_trial, address=address
        ),
    )
    raise typer.Exit(code)


@app.command()
def export(
    what: Annotated[
        str, typer.Argument(metavar="KEY|SPACE", help="Key of a set, or a space for all its sets.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--format", help="safetensors, dc, mtt, imagefolder, hf (Hugging Face) or ddranking."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; for a space, a folder a set in it.")],
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Read it back, train on it, and compare with the recorded accuracy."
        ),
    ] = False,
    store: StoreOption = "store",
    data: DataOption = Path("data"),
    overrides: SetOption = None,
    smoke: SmokeOption = False,
) -> None:
    """Write sets in the layouts that others read, with their metadata and a script that trains on
    them.
    """
    from orchestrator.cli.export import export_sets
    from orchestrator.store.open import open_store

    code = export_sets(
        what,
        request(what, overrides, smoke),
        kind,
        out.expanduser(),
        open_store(store),
        data,
        Console(),
        check=check,
    )
    raise typer.Exit(code)


@app.command()
def search(
    space: SpaceArgument,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials of each study, in all; raise it to go on.")
    ] = 24,
    sampler: Annotated[SamplerName, typer.Option(help="What suggests settings.")] = SamplerName.TPE,
    scheduler: Annotated[
        SchedulerName, typer.Option(help="Whether poor trials are stopped early.")
    ] = (SchedulerName.ASHA),
    max_concurrent: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time (default: all that fit).")
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="Optional setting to search too, such as lr_img.")
    ] = None,
    store: StoreOption = "store",
    data: DataOption = Path("data"),
    overrides: SetOption = None,
    smoke: SmokeOption = False,
    gpus_per_trial: Annotated[float | None, typer.Option(help="GPUs a trial, as for run.")] = None,
    cpus_per_trial: Annotated[
        float | None, typer.Option(help="CPU cores a trial, as for run.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join, as for run.")] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch missing data sets where possible.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report (default: reports/SPACE-search).")
    ] = None,
    found: Annotated[
        Path | None, typer.Option(help="File for the found settings (default: in the report).")
    ] = None,
) -> None:
    """Choose settings such as the weights of both losses on held-out images; the test images are
    never read.
    """
    from orchestrator.cli.search import search_space
    from orchestrator.search.search import Search
    from orchestrator.store.open import open_store

    how = Search(
        store=open_store(store),
        data_root=data,
        trials=trials,
        console=Console(),
        max_concurrent=max_concurrent,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        address=address,
    )
    asked = request(space, overrides, smoke)
    code = search_space(
        asked,
        how,
        sampler=sampler.value,
        scheduler=scheduler.value,
        also=also or (),
        download=download,
        out=out,
        found=found,
    )
    raise typer.Exit(code)


@app.command()
def status(
    store: StoreOption = "store",
    tracebacks: Annotated[
        bool, typer.Option("--tracebacks", help="Show where units failed.")
    ] = False,
) -> None:
    """Show what is done, running, failed, waiting and blocked, and the reasons of failures."""
    from orchestrator.cli.status import show_status
    from orchestrator.store.open import open_store

    show_status(open_store(store), Console(), tracebacks=tracebacks)


@app.command()
def unit(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Key of a unit, or its beginning.")],
    store: StoreOption = "store",
    data: DataOption = Path("data"),
    device: Annotated[Device, typer.Option(help="What it runs on.")] = Device.CPU,
) -> None:
    """Compute one unit in this process, for debugging."""
    from orchestrator.cli.unit import run_one
    from orchestrator.store.open import open_store

    raise typer.Exit(run_one(key, open_store(store), data, device.value, Console()))


@app.command()
def verify(
    store: StoreOption = "store",
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Set what is damaged aside, so that the next run computes it again."
        ),
    ] = False,
) -> None:
    """Check a whole store against its hashes, and say which units have to be computed again;
    deletes nothing.
    """
    from orchestrator.cli.verify import show_verification
    from orchestrator.store.open import open_store

    raise typer.Exit(show_verification(open_store(store), Console(), mend=repair))


def main() -> None:
    """Run the command line."""
    app()
