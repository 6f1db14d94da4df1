"""`iid cluster`: job files for clusters, printed or written."""

import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from distill_core.paths import PathError, explain_os_error, show_path
from orchestrator.cli.commands.run import run
from orchestrator.cli.options import (
    MANY,
    USAGE_ERROR,
    PlainCommand,
    PlainGroup,
    build_command,
    build_request,
    check_file,
)
from orchestrator.cluster.manifests.job import ClusterJob
from orchestrator.cluster.manifests.kuberay import build_kuberay_job
from orchestrator.cluster.manifests.ray_up import build_ray_up_config
from orchestrator.cluster.manifests.slurm import build_slurm_script
from orchestrator.planning.request import Request

FIXED_OPTIONS = {
    "store": "pass it to iid cluster itself",
    "data": "pass it to iid cluster itself",
    "address": "leave it out",
    "download": (
        "a job on a cluster cannot download data sets; do that first, with iid run on one machine"
    ),
}
"""Options of `iid run` that the files set themselves or that a job cannot have."""

cluster = typer.Typer(
    cls=PlainGroup,
    help="Write job files for Slurm, Kubernetes, AWS or Google Cloud.",
    no_args_is_help=True,
    add_completion=False,
)


class Cloud(StrEnum):
    """Where `ray up` starts machines."""

    AWS = "aws"
    GCP = "gcp"


Space = Annotated[
    str,
    typer.Argument(metavar="SPACE", help="Shipped search space, or YAML file that the nodes see."),
]
Store = Annotated[
    str,
    typer.Option("--store", help="Folder of results that all nodes share, or s3://BUCKET/FOLDER."),
]
Data = Annotated[str, typer.Option("--data", help="Folder of data sets.")]
Nodes = Annotated[int, typer.Option("--nodes", max=MANY, help="Number of machines that compute.")]
Cpus = Annotated[int, typer.Option("--cpus", max=MANY, help="CPU cores per machine.")]
Gpus = Annotated[int, typer.Option("--gpus", max=MANY, help="GPUs per machine.")]
Memory = Annotated[
    int, typer.Option("--memory", metavar="GB", max=MANY, help="Memory per machine, in gigabytes.")
]
Time = Annotated[str, typer.Option("--time", metavar="D-HH:MM:SS", help="Time limit of the job.")]
Image = Annotated[str, typer.Option("--image", help="Container image with iid and Ray.")]
Mount = Annotated[
    str, typer.Option("--mount", help="Mount point of the shared storage on all nodes.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write the file instead of printing it.",
        callback=check_file,
    ),
]
Run = Annotated[
    str,
    typer.Option(
        "--run-options",
        metavar="ARGUMENTS",
        help="More options for iid run, such as '--set seeds=3'.",
    ),
]


@cluster.command(cls=PlainCommand)
def slurm(
    space: Space,
    store: Store = "store",
    data: Data = "data",
    nodes: Nodes = 2,
    cpus: Cpus = 16,
    gpus: Gpus = 1,
    memory: Memory = 64,
    time: Time = "24:00:00",
    partition: Annotated[str | None, typer.Option(help="Slurm partition.")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm account.")] = None,
    setup: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LINE",
            help="Shell command that prepares a node; repeatable (default: this environment).",
        ),
    ] = None,
    run_options: Run = "",
    out: Out = None,
) -> None:
    """Write a script for sbatch, with ray symmetric-run on every node."""
    job = _build_job(space, store, data, nodes, cpus, gpus, memory, time, run_options)
    _write_or_print(
        build_slurm_script(job, partition=partition, account=account, setup=tuple(setup or ())),
        out,
    )


@cluster.command(cls=PlainCommand)
def kuberay(
    space: Space,
    image: Image,
    claim: Annotated[
        str, typer.Option(help="PersistentVolumeClaim (ReadWriteMany) with store and data.")
    ],
    store: Store = "/shared/store",
    data: Data = "/shared/data",
    nodes: Nodes = 2,
    cpus: Cpus = 8,
    gpus: Gpus = 1,
    memory: Memory = 32,
    time: Time = "24:00:00",
    mount: Mount = "/shared",
    run_options: Run = "",
    out: Out = None,
) -> None:
    """Write a RayJob for kubectl apply."""
    job = _build_job(space, store, data, nodes, cpus, gpus, memory, time, run_options)
    _write_or_print(build_kuberay_job(job, image=image, claim=claim, mount=mount), out)


@cluster.command("ray-up", cls=PlainCommand)
def ray_up(
    space: Space,
    image: Image,
    nfs: Annotated[
        str, typer.Option(metavar="HOST:/PATH", help="Network file system with store and data.")
    ],
    provider: Annotated[Cloud, typer.Option(help="The cloud.")] = Cloud.AWS,
    store: Store = "/shared/store",
    data: Data = "/shared/data",
    nodes: Nodes = 2,
    cpus: Cpus = 16,
    gpus: Gpus = 1,
    region: Annotated[str | None, typer.Option(help="Region of the cloud.")] = None,
    zone: Annotated[str | None, typer.Option(help="Availability zone.")] = None,
    project: Annotated[str | None, typer.Option(help="Project id (gcp).")] = None,
    instance_type: Annotated[str | None, typer.Option(help="Machine type of the workers.")] = None,
    machine_image: Annotated[
        str | None, typer.Option(help="Their machine image, with Docker and the GPU driver.")
    ] = None,
    spot: Annotated[
        bool, typer.Option("--spot", help="Cheaper machines that may be taken away.")
    ] = False,
    mount: Mount = "/shared",
    run_options: Run = "",
    out: Out = None,
) -> None:
    """Write a cluster file for ray up, on AWS or Google Cloud."""
    job = _build_job(space, store, data, nodes, cpus, gpus, 1, "24:00:00", run_options)
    text = build_ray_up_config(
        job,
        provider=provider.value,
        image=image,
        nfs=nfs,
        mount=mount,
        file=str(out or "cluster.yaml"),
        region=region,
        zone=zone,
        project=project,
        worker_type=instance_type,
        machine_image=machine_image,
        spot=spot,
    )
    _write_or_print(text, out)


def _build_job(
    space: str,
    store: str,
    data: str,
    nodes: int,
    cpus: int,
    gpus: int,
    memory: int,
    time: str,
    run_options: str,
) -> ClusterJob:
    try:
        options = tuple(shlex.split(run_options))
    except ValueError as error:
        raise typer.BadParameter(f"{error}", param_hint="--run-options") from error
    job = ClusterJob(
        space=space,
        store=store,
        data=data,
        nodes=nodes,
        cpus=cpus,
        gpus=gpus,
        memory=memory,
        time=time,
        options=options,
    )
    request = _parse_run_options(space, options)
    if not _is_elsewhere(space):
        request.load()
    else:
        print(
            f"note: {space} is not on this machine, so it was not checked; the nodes must find it"
            " under this name",
            file=sys.stderr,
        )
    return job


def _parse_run_options(space: str, options: tuple[str, ...]) -> Request:
    """Parse the options as `iid run` will, so that a mistake shows before the job starts."""
    command = build_command("run", run)
    try:
        context = command.make_context("iid run", [space, *options])
    except USAGE_ERROR as error:
        message = error.format_message()  # type: ignore[attr-defined]
        raise typer.BadParameter(message, param_hint="--run-options") from error
    for name in FIXED_OPTIONS:
        if context.get_parameter_source(name).name == "COMMANDLINE":
            raise typer.BadParameter(
                f"--{name} does not belong there; {FIXED_OPTIONS[name]}", param_hint="--run-options"
            )
    return build_request(space, context.params["overrides"], context.params["smoke"])


def _is_elsewhere(space: str) -> bool:
    """Tell whether a search space is a file that only the nodes may see."""
    path = Path(space)
    return (path.suffix in {".yaml", ".yml"} or path.is_absolute()) and not os.path.exists(space)  # noqa: PTH110


def _write_or_print(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PathError(f"--out: {show_path(out)}: {explain_os_error(error)}") from error
    print(f"Wrote {out}", file=sys.stderr)
