"""Cluster files are valid for Ray's schema and for `ray up` itself."""

import json
import os
import subprocess
from pathlib import Path

import jsonschema
import pytest
import ray.autoscaler
import yaml

from distill_core.settings import SettingsError
from orchestrator.cluster.manifests.kuberay import build_kuberay_job


@pytest.mark.parametrize("provider", ["aws", "gcp"])
@pytest.mark.parametrize("spot", [False, True])
def test_a_cluster_file_fits_rays_own_schema(provider, spot, make_job, build_cluster_file):
    text = build_cluster_file(
        make_job(),
        provider=provider,
        image="me/iid:1",
        nfs="files.internal:/export",
        spot=spot,
        machine_image="ami-123",
        region="eu-central-1",
        zone="eu-central-1a",
    )
    made = yaml.safe_load(text)
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(made, schema)
    workers = made["available_node_types"]["worker"]
    assert workers["resources"] == {"CPU": 8, "GPU": 2}
    assert (workers["min_workers"], workers["max_workers"], made["max_workers"]) == (3, 3, 3)
    assert ("spot" in json.dumps(workers)) == (spot and provider == "aws")
    head = " ".join(made["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in head and "RAY_AUTH_MODE=token ray start --head" in head
    assert "RAY_AUTH_MODE=token ray start --address" in " ".join(made["worker_start_ray_commands"])
    for command in (
        *made["initialization_commands"],
        *made["setup_commands"],
        *made["head_start_ray_commands"],
    ):
        subprocess.run(["bash", "-n"], input=command, text=True, check=True)


def test_folders_that_storage_lacks_are_made_for_the_containers_user(
    any_value, tmp_path, monkeypatch, make_job, build_cluster_file
):
    mount = tmp_path / "shared"
    (mount / "data").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    sudo = tmp_path / "bin" / "sudo"
    sudo.write_text(f'#!/bin/bash\necho "${{@:1:6}}" >> {tmp_path}/asked\nexec "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sudo.parent}:{os.environ['PATH']}")
    job = make_job(store=str(mount / any_value), data=str(mount / "data"))
    (command,) = yaml.safe_load(
        build_cluster_file(job, provider="aws", image="i", nfs="h:/", mount=str(mount))
    )["setup_commands"]
    for _ in range(2):  # the second machine finds them there
        subprocess.run(["bash", "-c", command], check=True)
    assert {path.name for path in mount.iterdir()} == {any_value, "data", "reports"}
    made = f"install -d -o {os.getuid()} -g {os.getgid()}"
    assert (tmp_path / "asked").read_text().splitlines() == [made] * 2
    remote = build_cluster_file(
        make_job(store="s3://bucket/x"), provider="aws", image="i", nfs="h:/"
    )
    assert "s3:" not in yaml.safe_load(remote)["setup_commands"][0]


@pytest.mark.parametrize("provider", ["aws", "gcp"])
def test_ray_itself_takes_the_cluster_file(provider, make_job, build_cluster_file):
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load(
        build_cluster_file(make_job(), provider=provider, image="me/iid:1", nfs="h:/")
    )
    validate_config(prepare_config(config))


def test_what_a_cloud_needs_is_asked_for(make_job, build_cluster_file):
    with pytest.raises(SettingsError, match="--project is missing"):
        build_cluster_file(make_job(), provider="gcp", image="i", nfs="h:/a", project=None)
    with pytest.raises(SettingsError, match="--nfs is 'h'"):
        build_cluster_file(make_job(), provider="aws", image="i", nfs="h")
    with pytest.raises(SettingsError, match="--mount"):
        build_kuberay_job(make_job(), image="i", claim="c", mount="/a b")


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        (
            {"gpus": 4},
            {},
            "g6.4xlarge has 16 CPU cores and 1 GPU, not 16 and 4; .* --instance-type",
        ),
        ({"cpus": 64}, {}, "not 64 and 1"),
        (
            {},
            {"region": "eu-central-1", "zone": "us-west-2a"},
            "--zone is 'us-west-2a', which is not in --region eu",
        ),
        ({}, {"project": "mine"}, "--project is 'mine', which is for gcp alone"),
    ],
)
def test_machines_that_no_cloud_has_are_refused(
    sizes, options, message, make_job, build_cluster_file
):
    with pytest.raises(SettingsError, match=message):
        job = make_job(**{"cpus": 16, "gpus": 1, **sizes})
        build_cluster_file(job, provider="aws", image="i", nfs="h:/a", worker_type=None, **options)
