"""A `RayJob` for the KubeRay operator on Kubernetes."""

import re
from importlib import metadata

from distill_core.settings import SettingsError
from orchestrator.cluster.manifests.job import ClusterJob
from orchestrator.cluster.manifests.render import check_words, render_template

_KUBERNETES_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_MAX_KUBERNETES_NAME = 253


def build_kuberay_job(job: ClusterJob, *, image: str, claim: str, mount: str = "/shared") -> str:
    """Return a `RayJob` for `kubectl apply`.

    Args:
        job: what is to run, on how many worker pods.
        image: container image with this package and its Ray.
        claim: PersistentVolumeClaim (ReadWriteMany) that all pods mount, for store and data.
        mount: where they mount it.

    Raises:
        SettingsError: the store, the data or the search space is outside of the mount, or a name
            is not allowed.
    """
    check_words({"image": image, "claim": claim})
    if len(claim) > _MAX_KUBERNETES_NAME or _KUBERNETES_NAME.fullmatch(claim) is None:
        raise SettingsError(
            f"--claim is {claim!r}; Kubernetes names have only lower-case letters, digits, - and ."
        )
    return render_template(
        "kuberay.yaml",
        job,
        image=image,
        claim=claim,
        mount=mount,
        ray_version=metadata.version("ray"),
        command=job.build_command_on_mount(mount),
    )
