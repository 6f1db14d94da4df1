"""Fills the templates in. What a user gives is checked and quoted, so that no value can become a
part of a script.
"""

import json
import re
import shlex
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Literal

from distill_core.settings import SettingsError
from orchestrator.store.remote.objects import check_protocol

Provider = Literal["aws", "gcp"]

_TIME = re.compile(r"(?:(\d{1,3})-)?(\d{1,3}):([0-5]\d):([0-5]\d)")
_WORD = re.compile(r"[\w./:@+=-]+", re.ASCII)
_KUBERNETES_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_GCP_IMAGE = (
    "projects/deeplearning-platform-release/global/images/family/"
    "common-cu128-ubuntu-2204-nvidia-570"
)
HEAD_TYPES: dict[Provider, str] = {"aws": "m6i.large", "gcp": "n2-standard-2"}
WORKER_TYPES: dict[Provider, str] = {"aws": "g6.4xlarge", "gcp": "g2-standard-16"}
WORKER_CPUS, WORKER_GPUS = 16, 1
"""Of these; the GPU is an NVIDIA L4."""
REGIONS: dict[Provider, str] = {"aws": "us-west-2", "gcp": "us-west1"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterJob:
    """What is to run, and on how much.

    Raises:
        SettingsError: a size cannot be; names the option.
        StoreError: the store's URL is of a kind that no store can have.
    """

    space: str
    """A shipped search space, or a YAML file that the nodes see."""
    store: str
    data: str
    nodes: int
    cpus: int
    """CPU cores a node."""
    gpus: int
    """GPUs a node."""
    memory: int
    """Gigabytes a node."""
    time: str = "24:00:00"
    """As Slurm writes it: HH:MM:SS or D-HH:MM:SS."""
    options: tuple[str, ...] = field(default=())
    """More arguments for `iid run`."""

    def __post_init__(self) -> None:
        for name, least in (("nodes", 1), ("cpus", 1), ("gpus", 0), ("memory", 1)):
            if (value := getattr(self, name)) < least:
                raise SettingsError(f"--{name} is {value}; give at least {least}")
        if _TIME.fullmatch(self.time) is None or self.seconds == 0:
            raise SettingsError(
                f"--time is {self.time!r}; give HH:MM:SS or D-HH:MM:SS, more than 0, with minutes"
                " and seconds below 60"
            )
        for name in ("space", "store", "data"):
            if not (value := getattr(self, name)).strip() or not value.isprintable():
                raise SettingsError(f"{_spelt(name)} is {value!r}; give a name or a path")
        if self.behind_url:
            check_protocol(self.store)

    @property
    def name(self) -> str:
        """Name of the job, as Kubernetes allows it."""
        stem = (
            PurePosixPath(self.space).stem if self.space.endswith((".yaml", ".yml")) else self.space
        )
        return f"iid-{re.sub(r'[^a-z0-9]+', '-', stem.lower()).strip('-')[:40].strip('-') or 'run'}"

    @property
    def seconds(self) -> int:
        """The time in seconds."""
        match = _TIME.fullmatch(self.time)
        days, hours, minutes, seconds = (
            (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
        )
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    @property
    def behind_url(self) -> bool:
        """Whether the store is not in a folder, as on S3."""
        return "://" in self.store

    def machines(self, noun: str) -> str:
        """What it runs on in words, such as "2 nodes, each with 8 CPU cores and 1 GPU"."""
        sizes = [
            f"{n} {what}{'s' * (n != 1)}"
            for n, what in ((self.cpus, "CPU core"), (self.gpus, "GPU"))
            if n
        ]
        return f"{self.nodes} {noun}{'s, each' * (self.nodes != 1)} with {' and '.join(sizes)}"

    def command(self, *more: str) -> list[str]:
        """Return the command that runs on the first node."""
        where = ["--address", "auto", "--store", self.store, "--data", self.data]
        return ["iid", "run", self.space, *where, *more, *self.options]


def build_slurm_script(
    job: ClusterJob,
    *,
    partition: str | None = None,
    account: str | None = None,
    setup: tuple[str, ...] = (),
) -> str:
    """Return a Slurm script; `setup` are shell lines that make `ray` and `iid` known, by default
    this environment.
    """
    for name, value in (("partition", partition), ("account", account)):
        _require_word(name, value)
    if not setup:
        setup = (f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",)
    return _fill(
        "slurm.sh", job, partition=partition, account=account, setup=setup, command=job.command()
    )


def build_kuberay_job(job: ClusterJob, *, image: str, claim: str, mount: str = "/shared") -> str:
    """Return a KubeRay `RayJob`.

    Args:
        job: what is to run, on how many worker pods.
        image: container image with this package and its Ray.
        claim: PersistentVolumeClaim (ReadWriteMany) that all pods mount, for store and data.
        mount: where they mount it.

    Raises:
        SettingsError: the store, the data or the search space lie outside of it, or no claim can
            have this name.
    """
    for name, value in (("image", image), ("claim", claim)):
        _require_word(name, value)
    if len(claim) > 253 or _KUBERNETES_NAME.fullmatch(claim) is None:
        raise SettingsError(
            f"--claim is {claim!r}; Kubernetes names have small letters, digits, - and . alone"
        )
    return _fill(
        "kuberay.yaml",
        job,
        image=image,
        claim=claim,
        mount=mount,
        ray_version=metadata.version("ray"),
        command=_command_on_mount(job, mount),
    )


def build_ray_up_config(
    job: ClusterJob,
    *,
    provider: Provider,
    image: str,
    nfs: str,
    mount: str = "/shared",
    file: str = "cluster.yaml",
    region: str | None = None,
    zone: str | None = None,
    project: str | None = None,
    worker_type: str | None = None,
    machine_image: str | None = None,
    spot: bool = False,
) -> str:
    """Return a cluster for `ray up`.

    Args:
        job: what is to run, on how many workers.
        provider: the cloud.
        image: container image with this package and its Ray.
        nfs: network file system for store and data, as host:/path (EFS, Filestore).
        mount: where all machines mount it.
        file: what the user will call the file, for the commands in its head.
        region: of the cloud.
        zone: availability zone.
        project: project id, for gcp.
        worker_type: machine type of the workers; must have the job's CPU cores and GPUs.
        machine_image: image of the machines (with Docker and the GPU's driver); the provider's
            usual one by default.
        spot: whether workers are machines that may be taken away, which are cheaper.

    Raises:
        SettingsError: an option is missing for this cloud, or paths lie outside of the mount.
    """
    if provider == "gcp" and not project:
        raise SettingsError("--project is missing; gcp needs the id of your project")
    if provider != "gcp" and project:
        raise SettingsError(
            f"--project is {project!r}, which is for gcp alone; leave it out, or give"
            " --provider gcp"
        )
    region = region or REGIONS[provider]
    if zone is not None and re.fullmatch(re.escape(region) + r"-?[a-z].*", zone) is None:
        raise SettingsError(
            f"--zone is {zone!r}, which is not in --region {region}; give a zone of that region"
        )
    if worker_type is None and (job.cpus > WORKER_CPUS or job.gpus > WORKER_GPUS):
        raise SettingsError(
            f"{WORKER_TYPES[provider]} has {WORKER_CPUS} CPU cores and {WORKER_GPUS} GPU, not"
            f" {job.cpus} and {job.gpus}; name a machine type that has them with --instance-type"
        )
    if re.fullmatch(r"[^\s:]+:/\S*", nfs) is None:
        raise SettingsError(f"--nfs is {nfs!r}; give a network file system as host:/path")
    named = {
        "image": image,
        "region": region,
        "zone": zone,
        "project": project,
        "instance-type": worker_type,
    }
    for name, value in named.items():
        _require_word(name, value)
    return _fill(
        "ray-up.yaml",
        job,
        provider=provider,
        image=image,
        nfs=nfs,
        mount=mount,
        file=file,
        region=region,
        zone=zone or (f"{region}-a" if provider == "gcp" else None),
        project=project,
        head_type=HEAD_TYPES[provider],
        worker_type=worker_type or WORKER_TYPES[provider],
        machine_image=machine_image or (_GCP_IMAGE if provider == "gcp" else None),
        spot=spot,
        command=_command_on_mount(job, mount),
        folders=[
            *([] if job.behind_url else [job.store]),
            job.data,
            str(PurePosixPath(mount) / "reports"),
        ],
    )


def _command_on_mount(job: ClusterJob, mount: str) -> list[str]:
    if re.fullmatch(r"(/[\w.-]+)+", mount, re.ASCII) is None:
        raise SettingsError(f"--mount is {mount!r}; give an absolute path of plain names")
    for name in ("store", "data") + (("space",) if job.space.endswith((".yaml", ".yml")) else ()):
        path = PurePosixPath(getattr(job, name))
        if name == "store" and job.behind_url:
            continue
        if not path.is_relative_to(mount) or ".." in path.parts:
            raise SettingsError(
                f"{_spelt(name)} is '{path}'; put it below {mount}, which all nodes share (see"
                " --mount)"
            )
    return job.command(
        "--out", str(PurePosixPath(mount) / "reports" / job.name.removeprefix("iid-"))
    )


def _spelt(name: str) -> str:
    return name.upper() if name == "space" else f"--{name}"


def _require_word(name: str, value: str | None) -> None:
    if value is not None and _WORD.fullmatch(value) is None:
        raise SettingsError(
            f"--{name} is {value!r}; give a name without spaces or special characters"
        )


def _fill(template: str, job: ClusterJob, **values: object) -> str:
    from jinja2 import (
        Environment,
        PackageLoader,
        StrictUndefined,
    )  # only now: every command imports this module

    environment = Environment(
        loader=PackageLoader("orchestrator.cluster.manifests"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # neither template is HTML; values are quoted by `shell` and `yaml`
    )
    environment.filters["shell"] = shlex.quote
    environment.filters["yaml"] = json.dumps  # JSON is YAML
    return environment.get_template(f"{template}.jinja").render(job=job, space=job.space, **values)
