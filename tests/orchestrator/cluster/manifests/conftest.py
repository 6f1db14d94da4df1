"""Jobs to write files for, values that try to break out of them, and checks of what is written."""

import re

import pytest
import yaml

from orchestrator.cluster.manifests.job import ClusterJob
from orchestrator.cluster.manifests.ray_up import build_ray_up_config

SIZES = {"nodes": 3, "cpus": 8, "gpus": 2, "memory": 64}
HOSTILE = ["a b", "a'b", 'a"b', "a;b", "$(touch x)", "a`b`", "{{ 7*7 }}", "a: b", "#a", "- a", "é"]

RAYJOB = {
    "activeDeadlineSeconds",
    "backoffLimit",
    "clusterSelector",
    "deletionStrategy",
    "entrypoint",
    "entrypointNumCpus",
    "entrypointNumGpus",
    "entrypointResources",
    "jobId",
    "managedBy",
    "metadata",
    "preRunningDeadlineSeconds",
    "rayClusterSpec",
    "runtimeEnvYAML",
    "shutdownAfterJobFinishes",
    "submissionMode",
    "submitterConfig",
    "submitterPodTemplate",
    "suspend",
    "ttlSecondsAfterFinished",
}
"""Fields of a RayJob's spec in the CRD of KubeRay's main branch, August 2026; as those below."""
RAYCLUSTER = {
    "authOptions",
    "autoscalerOptions",
    "enableInTreeAutoscaling",
    "gcsFaultToleranceOptions",
    "headGroupSpec",
    "headServiceAnnotations",
    "historyServerOptions",
    "managedBy",
    "networkPolicy",
    "rayVersion",
    "suspend",
    "tlsOptions",
    "upgradeStrategy",
    "workerGroupSpecs",
}
WORKERS = {
    "groupName",
    "idleTimeoutSeconds",
    "labels",
    "maxReplicas",
    "minReplicas",
    "numOfHosts",
    "priority",
    "rayStartParams",
    "replicas",
    "resources",
    "scaleStrategy",
    "suspend",
    "template",
}


@pytest.fixture
def make_job():
    """Makes a job, with some of its fields changed."""

    def make(**changed):
        fields = {"space": "quickstart", "store": "/shared/store", "data": "/shared/data"}
        return ClusterJob(**fields | SIZES | changed)

    return make


@pytest.fixture
def build_cluster_file():
    """Builds a file for `ray up`: the machine type has the sizes, gcp gets a project."""

    def build(job, *, provider, **options):
        fitting = {"worker_type": "big.one", "project": "lab" if provider == "gcp" else None}
        return build_ray_up_config(job, provider=provider, **fitting | options)

    return build


@pytest.fixture(params=["plain", *HOSTILE])
def any_value(request):
    """A plain value, or a hostile one."""
    return request.param


@pytest.fixture(params=HOSTILE)
def hostile_value(request):
    """A value that means something to a shell, to YAML or to Jinja."""
    return request.param


@pytest.fixture
def check_rayjob():
    """Checks the part of the CRD that the file uses: names, required fields, types."""

    def check(text):
        made = yaml.safe_load(text)
        assert (made["apiVersion"], made["kind"]) == ("ray.io/v1", "RayJob")
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,45}[a-z0-9])?", made["metadata"]["name"])
        spec = made["spec"]
        cluster = spec["rayClusterSpec"]
        assert set(spec) <= RAYJOB and set(cluster) <= RAYCLUSTER
        assert cluster["authOptions"] == {"mode": "token"}
        assert all(
            type(spec[name]) is int
            for name in ("activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
        )
        assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
        (workers,) = cluster["workerGroupSpecs"]
        assert set(workers) <= WORKERS and {
            "groupName",
            "minReplicas",
            "maxReplicas",
            "template",
        } <= set(workers)
        for group in (cluster["headGroupSpec"], workers):
            assert all(isinstance(value, str) for value in group["rayStartParams"].values())
            (container,) = group["template"]["spec"]["containers"]
            volumes = {volume["name"] for volume in group["template"]["spec"]["volumes"]}
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert all(
                isinstance(value, str) for value in container["resources"]["limits"].values()
            )
            assert (
                group["template"]["spec"]["securityContext"]["fsGroup"] == 1000
            )  # or only root may write to the claim
        return made

    return check
