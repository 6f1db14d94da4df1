"""`iid cluster`: print ready files for clusters, or write them."""

import os
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cluster.manifests import generate
from orchestrator.cluster.manifests.generate import ClusterJob
from orchestrator.errors import StoreError
from orchestrator.planning.request import Request

FIXED_OPTIONS = {
    "store": "give it to iid cluster itself",
    "data": "give it to iid cluster itself",
    "address": "leave it out",
    "download": (
        "no job on a cluster can fetch data sets; do that before, with iid run on one machine"
    ),
}
"""Of `iid run`, which the files set themselves, or which cannot be."""
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""Of click, or of Typer's own copy of it."""

app = typer.Typer(
    help="Print ready files for a cluster: a Slurm script, a KubeRay job, a ray up cluster.",
    no_args_is_help=True,
)


class Cloud(StrEnum):
    """Where `ray up` starts machines."""

    AWS = "aws"
    GCP = "gcp"


Space = Annotated[
    str, typer.Argument(metavar="SPACE", help="A shipped search space, or a YAML file nodes see.")
]
Store = Annotated[
    str,
    typer.Option("--store", help="Folder of results that all nodes share, or s3://BUCKET/FOLDER."),
]
Data = Annotated[str, typer.Option("--data", help="Folder of data sets.")]
Nodes = Annotated[int, typer.Option("--nodes", help="Machines that compute.")]
Cpus = Annotated[int, typer.Option("--cpus", help="CPU cores of each.")]
Gpus = Annotated[int, typer.Option("--gpus", help="GPUs of each.")]
Memory = Annotated[
    int, typer.Option("--memory", metavar="GB", help="Memory of each, in gigabytes.")
]
Time = Annotated[str, typer.Option("--time", metavar="D-HH:MM:SS", help="Longest time of the job.")]
Image = Annotated[str, typer.Option("--image", help="Container image with iid and its Ray in it.")]
Mount = Annotated[str, typer.Option("--mount", help="Where all nodes see the shared storage.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the file instead of printing it."),
]
Run = Annotated[
    str,
    typer.Option(
        "--run-options", metavar="ARGUMENTS", help="More for iid run, such as '--set seeds=3'."
    ),
]


@app.command()
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
            help="Shell line that prepares a node; repeatable (default: this environment).",
        ),
    ] = None,
    run_options: Run = "",
    out: Out = None,
) -> None:
    """A script for sbatch: ray symmetric-run on every node."""
    job = _job(space, store, data, nodes, cpus, gpus, memory, time, run_options)
    _give(
        generate.build_slurm_script(
            job, partition=partition, account=account, setup=tuple(setup or ())
        ),
        out,
    )


@app.command()
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
    """A RayJob for kubectl apply."""
    job = _job(space, store, data, nodes, cpus, gpus, memory, time, run_options)
    _give(generate.build_kuberay_job(job, image=image, claim=claim, mount=mount), out)


@app.command("ray-up")
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
    instance_type: Annotated[
        str | None, typer.Option(help="Machine type of those that compute.")
    ] = None,
    machine_image: Annotated[
        str | None, typer.Option(help="Their image: Docker and the GPU's driver.")
    ] = None,
    spot: Annotated[
        bool, typer.Option("--spot", help="Cheaper machines that may be taken away.")
    ] = False,
    mount: Mount = "/shared",
    run_options: Run = "",
    out: Out = None,
) -> None:
    """A cluster file for ray up, on AWS or Google Cloud."""
    job = _job(space, store, data, nodes, cpus, gpus, 1, "24:00:00", run_options)
    text = generate.build_ray_up_config(
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
    _give(text, out)


def _job(
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
    request = _request(space, options)
    if not _is_elsewhere(space):
        request.load()
    else:
        typer.echo(
            f"note: {space} is not here, so nobody looked at it; the nodes have to see it under"
            " this name",
            err=True,
        )
    return job


def _request(space: str, options: tuple[str, ...]) -> Request:
    """Read the options as `iid run` will, so that a slip shows here rather than when the job
    starts.
    """
    from orchestrator.cli.app import app as iid
    from orchestrator.cli.app import request

    run = typer.main.get_command(iid).commands["run"]  # type: ignore[attr-defined]
    try:
        context = run.make_context("iid run", [space, *options])
    except USAGE_ERROR as error:
        told = error.format_message()  # type: ignore[attr-defined]
        raise typer.BadParameter(told, param_hint="--run-options") from error
    for name in FIXED_OPTIONS:
        if context.get_parameter_source(name).name == "COMMANDLINE":
            raise typer.BadParameter(
                f"--{name} has no place there; {FIXED_OPTIONS[name]}", param_hint="--run-options"
            )
    return request(space, context.params["overrides"], context.params["smoke"])


def _is_elsewhere(space: str) -> bool:
    """Whether a search space is a file that this machine does not see; the nodes may."""
    path = Path(space)
    return (path.suffix in {".yaml", ".yml"} or path.is_absolute()) and not os.path.exists(space)  # noqa: PTH110


def _give(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
    except OSError as error:
        raise StoreError(f"--out: {out} cannot be written ({error.strerror})") from error
    typer.echo(f"Wrote {out}", err=True)
