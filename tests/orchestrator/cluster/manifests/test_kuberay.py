import json

import pytest
import ray

from distill_core.settings import SettingsError
from orchestrator.cluster.manifests.kuberay import build_kuberay_job


def test_a_rayjob_fits_its_crd_and_requests_the_sizes_of_the_job(make_job, check_rayjob):
    made = check_rayjob(
        build_kuberay_job(make_job(time="02:00:00"), image="me/iid:1", claim="shared-claim")
    )
    assert (
        made["metadata"]["name"] == "iid-quickstart"
        and made["spec"]["activeDeadlineSeconds"] == 7200
    )
    (workers,) = made["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    assert workers["replicas"] == 3 and made["spec"]["shutdownAfterJobFinishes"] is True
    assert container["resources"]["limits"] == {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"}
    assert made["spec"]["rayClusterSpec"]["rayVersion"] == ray.__version__
    without = check_rayjob(
        build_kuberay_job(make_job(gpus=0), image="me/iid:1", claim="shared-claim")
    )
    assert "nvidia.com/gpu" not in json.dumps(without)


@pytest.mark.parametrize("claim", ["Shared_Files", "-a", "a.", "a..b", "a/b", "a" * 254])
def test_a_claim_that_kubernetes_would_not_take_is_refused(claim, make_job, check_rayjob):
    with pytest.raises(SettingsError, match="--claim is"):
        build_kuberay_job(make_job(), image="i", claim=claim)
    check_rayjob(build_kuberay_job(make_job(), image="i", claim="shared-files.2"))
