"""What is true of the files for all kinds of clusters."""

import subprocess

import pytest
import yaml

from distill_core.settings import SettingsError
from orchestrator.cluster.manifests.kuberay import build_kuberay_job
from orchestrator.cluster.manifests.slurm import build_slurm_script


def test_a_store_behind_a_url_needs_no_mount(make_job):
    for made in (
        build_kuberay_job(make_job(store="s3://bucket/x"), image="i", claim="c"),
        build_slurm_script(make_job(store="s3://bucket/x")),
    ):
        assert "--store s3://bucket/x" in made


def test_a_file_says_what_a_store_behind_a_url_needs(make_job, build_cluster_file, check_rayjob):
    cloud = {"provider": "aws", "image": "i", "nfs": "h:/"}
    remote = make_job(store="s3://b/x")
    for made, local in (
        (
            build_kuberay_job(remote, image="i", claim="c"),
            build_kuberay_job(make_job(), image="i", claim="c"),
        ),
        (build_cluster_file(remote, **cloud), build_cluster_file(make_job(), **cloud)),
    ):
        comments = "\n".join(line for line in made.splitlines() if line.startswith("#"))
        assert "AWS_ACCESS_KEY_ID" in comments and "pip install s3fs" in comments
        assert "AWS_" not in local and "s3fs" not in local
    check_rayjob(build_kuberay_job(remote, image="i", claim="c"))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({}, "3 nodes, each with 8 CPU cores and 2 GPUs"),
        ({"nodes": 1, "cpus": 1, "gpus": 1}, "1 node with 1 CPU core and 1 GPU"),
        ({"nodes": 1, "gpus": 0}, "1 node with 8 CPU cores"),
    ],
)
def test_files_say_in_words_what_they_ask_for(sizes, words, make_job, build_cluster_file):
    assert f"# quickstart on {words}.\n" in build_slurm_script(make_job(**sizes))
    assert f"# quickstart on {words.replace('node', 'pod')}, and" in build_kuberay_job(
        make_job(**sizes), image="i", claim="c"
    )
    text = build_cluster_file(make_job(**sizes), provider="aws", image="i", nfs="h:/a")
    assert text.startswith(f"# quickstart on {words.replace('node', 'aws machine')}, and")


def test_no_value_becomes_a_part_of_a_file(
    hostile_value, make_job, build_cluster_file, check_rayjob
):
    job = make_job(
        store=f"/shared/{hostile_value}",
        data=f"/shared/{hostile_value}",
        options=("--set", hostile_value),
    )
    made = check_rayjob(build_kuberay_job(job, image="me/iid:1", claim="c"))
    expected = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {made['spec']['entrypoint']}"],
        text=True,
        capture_output=True,
        check=True,
    )
    assert expected.stdout.splitlines()[5:9] == [
        "--store",
        f"/shared/{hostile_value}",
        "--data",
        f"/shared/{hostile_value}",
    ]
    assert hostile_value in expected.stdout.splitlines()
    yaml.safe_load(build_cluster_file(job, provider="aws", image="me/iid:1", nfs="h:/a"))
    for option in ({"image": hostile_value, "claim": "c"}, {"image": "i", "claim": hostile_value}):
        if hostile_value != "é":
            with pytest.raises(SettingsError, match="give a name without spaces"):
                build_kuberay_job(make_job(), **option)
    with pytest.raises(SettingsError, match="--partition"):
        build_slurm_script(make_job(), partition=hostile_value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"store": "store"}, "--store is 'store'; put it below /shared"),
        ({"data": "/shared/../data"}, "--data is"),
        ({"space": "found.yaml"}, "SPACE is 'found.yaml'"),
    ],
)
def test_what_other_machines_cannot_see_is_refused(changed, message, make_job, build_cluster_file):
    with pytest.raises(SettingsError, match=message):
        build_kuberay_job(make_job(**changed), image="i", claim="c")
    with pytest.raises(SettingsError, match=message):
        build_cluster_file(make_job(**changed), provider="aws", image="i", nfs="h:/a")
