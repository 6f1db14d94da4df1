"""A cluster file for `ray up`, which starts machines on AWS or Google Cloud."""

import re
from pathlib import PurePosixPath
from typing import Literal

from distill_core.settings import SettingsError
from orchestrator.cluster.manifests.job import ClusterJob
from orchestrator.cluster.manifests.render import check_words, render_template

Provider = Literal["aws", "gcp"]

HEAD_TYPES: dict[Provider, str] = {"aws": "m6i.large", "gcp": "n2-standard-2"}
WORKER_TYPES: dict[Provider, str] = {"aws": "g6.4xlarge", "gcp": "g2-standard-16"}
WORKER_CPUS, WORKER_GPUS = 16, 1
"""Sizes of the `WORKER_TYPES`; the GPU is an NVIDIA L4."""
REGIONS: dict[Provider, str] = {"aws": "us-west-2", "gcp": "us-west1"}
_GCP_IMAGE = (
    "projects/deeplearning-platform-release/global/images/family/"
    "common-cu128-ubuntu-2204-nvidia-570"
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
    """Return a cluster file for `ray up`.

    Args:
        job: what is to run, on how many workers.
        provider: the cloud.
        image: container image with this package and its Ray.
        nfs: network file system for store and data, as host:/path (EFS, Filestore).
        mount: where all machines mount it.
        file: name that the user will give the file, for the commands in its first lines.
        region: region of the cloud.
        zone: availability zone.
        project: project id, for gcp.
        worker_type: machine type of the workers; must have the job's CPU cores and GPUs.
        machine_image: image of the machines (with Docker and the GPU's driver); by default the
            usual one of the provider.
        spot: whether workers are machines that may be taken away, which are cheaper.

    Raises:
        SettingsError: an option is missing for this cloud, or paths lie outside of the mount.
    """
    region = region or REGIONS[provider]
    _check_options(provider, nfs=nfs, region=region, zone=zone, project=project)
    _check_worker_type(job, provider, worker_type)
    words = {"image": image, "region": region, "zone": zone, "project": project}
    check_words({**words, "instance-type": worker_type})
    if provider == "gcp":
        zone = zone or f"{region}-a"
        machine_image = machine_image or _GCP_IMAGE
    return render_template(
        "ray-up.yaml",
        job,
        provider=provider,
        image=image,
        nfs=nfs,
        mount=mount,
        file=file,
        region=region,
        zone=zone,
        project=project,
        head_type=HEAD_TYPES[provider],
        worker_type=worker_type or WORKER_TYPES[provider],
        machine_image=machine_image,
        spot=spot,
        command=job.build_command_on_mount(mount),
        folders=_list_shared_folders(job, mount),
    )


def _check_options(
    provider: Provider,
    *,
    nfs: str,
    region: str,
    zone: str | None,
    project: str | None,
) -> None:
    """Raise SettingsError if an option is missing or does not fit the cloud."""
    if provider == "gcp" and not project:
        raise SettingsError("--project is missing; gcp needs the id of your project")
    if provider != "gcp" and project:
        raise SettingsError(
            f"--project is {project!r}, which is for gcp alone; leave it out, or give"
            " --provider gcp"
        )
    if zone is not None and re.fullmatch(re.escape(region) + r"-?[a-z].*", zone) is None:
        raise SettingsError(
            f"--zone is {zone!r}, which is not in --region {region}; give a zone of that region"
        )
    if re.fullmatch(r"[^\s:]+:/\S*", nfs) is None:
        raise SettingsError(f"--nfs is {nfs!r}; give a network file system as host:/path")


def _check_worker_type(job: ClusterJob, provider: Provider, worker_type: str | None) -> None:
    """Raise SettingsError if the usual machine type is too small; others are not known here."""
    if worker_type is None and (job.cpus > WORKER_CPUS or job.gpus > WORKER_GPUS):
        raise SettingsError(
            f"{WORKER_TYPES[provider]} has {WORKER_CPUS} CPU cores and {WORKER_GPUS} GPU, not"
            f" {job.cpus} and {job.gpus}; name a machine type that has them with --instance-type"
        )


def _list_shared_folders(job: ClusterJob, mount: str) -> list[str]:
    """Return the folders that must exist on the mount before the launch."""
    folders = [job.data, str(PurePosixPath(mount) / "reports")]
    return folders if job.is_store_remote else [job.store, *folders]
