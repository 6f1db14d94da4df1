"""What is generated is valid for those who will read it: bash and sbatch, the Kubernetes API, `ray
up`.
"""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import jsonschema
import pytest
import ray.autoscaler
import yaml
from typer.testing import CliRunner

from distill_core.settings import SettingsError
from orchestrator.cli.app import app
from orchestrator.cluster.manifests import generate
from orchestrator.cluster.manifests.generate import (
    ClusterJob,
    build_kuberay_job,
    build_slurm_script,
)
from orchestrator.errors import StoreError

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


def ray_up(asked, *, provider, **options):
    """On a machine type that has the sizes, and with a project where the cloud wants one."""
    fitting = {"worker_type": "big.one", "project": "lab" if provider == "gcp" else None}
    return generate.build_ray_up_config(asked, provider=provider, **fitting | options)


def job(**changed):
    return ClusterJob(
        **{
            "space": "quickstart",
            "store": "/shared/store",
            "data": "/shared/data",
            **SIZES,
            **changed,
        }
    )


def directives(script):
    return dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script, re.MULTILINE))


# Slurm


def test_a_slurm_script_asks_for_what_was_asked_for():
    script = build_slurm_script(
        job(time="2-00:30:00"), partition="gpu", account="me", setup=("module load cuda",)
    )
    assert directives(script) == {
        "job-name": "iid-quickstart",
        "nodes": "3",
        "ntasks-per-node": "1",
        "cpus-per-task": "8",
        "gpus-per-node": "2",
        "mem": "64G",
        "time": "2-00:30:00",
        "partition": "gpu",
        "account": "me",
        "output": "iid-quickstart-%j.log",
    }
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash" and "module load cuda" in lines
    last = max(i for i, line in enumerate(lines) if line.startswith("#SBATCH"))
    assert all(
        line.startswith("#") for line in lines[: last + 1]
    )  # sbatch stops reading at the first command
    bare = directives(build_slurm_script(job(gpus=0), setup=("true",)))
    assert not {"gpus-per-node", "partition", "account"} & set(bare)


def check_bash(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-"], input=script, text=True, check=True)


@pytest.fixture
def machine(tmp_path):
    """Stands in for Slurm and for Ray: one node, on which the command runs."""
    tools = {
        "scontrol": 'echo "node1"; echo "node2"',
        "srun": 'echo "$@" > srun-arguments; while [ "$1" != ray ]; do shift; done; "$@"',
        "ray": (
            'echo "$@" > ray-arguments; env > ray-environment; ls -l "$RAY_AUTH_TOKEN_PATH" >'
            ' token-mode\ncat "$RAY_AUTH_TOKEN_PATH" > token; [ -e broken ] && exit 0\nwhile [ "$1"'
            ' != -- ]; do shift; done; shift; "$@"'
        ),
        "iid": 'for argument in "$@"; do echo "$argument"; done > iid-arguments; exit 3',
    }
    for name, text in tools.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_JOB_ID": "12345",
        "SLURM_CPUS_PER_TASK": "8",
    }

    def run(script):
        return subprocess.run(
            ["bash"], input=script, text=True, cwd=tmp_path, env=environment
        ).returncode

    return run


@pytest.mark.parametrize("name", ["plain", *HOSTILE])
def test_a_slurm_script_runs_the_command_with_a_token_of_its_own_and_returns_its_exit_code(
    name, machine, tmp_path
):
    store = tmp_path / name
    script = build_slurm_script(
        job(space=name, store=str(store), options=("--set", "methods=[DM, DM+IID]")),
        setup=("true",),
    )
    check_bash(script)
    assert machine(script) == 3
    arguments = (tmp_path / "iid-arguments").read_text().splitlines()
    told = ["run", name, "--address", "auto", "--store", str(store), "--data", "/shared/data"]
    assert arguments == [*told, "--set", "methods=[DM, DM+IID]"]
    assert (
        (tmp_path / "ray-arguments")
        .read_text()
        .startswith("symmetric-run --address node1:22345 --min-nodes 3 ")
    )
    assert (
        (tmp_path / "srun-arguments")
        .read_text()
        .startswith("--nodes=3 --ntasks=3 --cpus-per-task=8 ray ")
    )
    assert "RAY_AUTH_MODE=token" in (tmp_path / "ray-environment").read_text()
    assert (tmp_path / "token-mode").read_text().startswith("-rw-------")
    assert re.fullmatch(r"[0-9a-f]{64}", (tmp_path / "token").read_text())
    assert list(store.iterdir()) == []  # the token is gone with the job

    (tmp_path / "broken").touch()
    assert machine(script) == 1  # although symmetric-run itself ends with 0


def test_a_slurm_script_makes_no_folder_of_a_stores_url(machine, tmp_path):
    script = build_slurm_script(job(store="s3://bucket/x"), setup=("true",))
    check_bash(script)
    assert machine(script) == 3
    assert "s3://bucket/x" in (tmp_path / "iid-arguments").read_text().splitlines()
    assert re.fullmatch(r"[0-9a-f]{64}", (tmp_path / "token").read_text())
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [
        "bin"
    ]  # neither s3: nor what was private


# KubeRay


def check_rayjob(text):
    """The part of the CRD that the file uses: names, required fields, types."""
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
        assert all(isinstance(value, str) for value in container["resources"]["limits"].values())
        assert (
            group["template"]["spec"]["securityContext"]["fsGroup"] == 1000
        )  # or only root may write to the claim
    return made


def test_a_store_behind_a_url_needs_no_mount():
    for made in (
        build_kuberay_job(job(store="s3://bucket/x"), image="i", claim="c"),
        build_slurm_script(job(store="s3://bucket/x")),
    ):
        assert "--store s3://bucket/x" in made


def test_a_file_says_what_a_store_behind_a_url_needs():
    cloud = {"provider": "aws", "image": "i", "nfs": "h:/"}
    remote = job(store="s3://b/x")
    for made, local in (
        (
            build_kuberay_job(remote, image="i", claim="c"),
            build_kuberay_job(job(), image="i", claim="c"),
        ),
        (ray_up(remote, **cloud), ray_up(job(), **cloud)),
    ):
        told = "\n".join(line for line in made.splitlines() if line.startswith("#"))
        assert "AWS_ACCESS_KEY_ID" in told and "pip install s3fs" in told
        assert "AWS_" not in local and "s3fs" not in local
    check_rayjob(build_kuberay_job(remote, image="i", claim="c"))


def test_a_rayjob_fits_its_crd_and_asks_for_what_was_asked_for():
    made = check_rayjob(
        build_kuberay_job(job(time="02:00:00"), image="me/iid:1", claim="shared-claim")
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
    without = check_rayjob(build_kuberay_job(job(gpus=0), image="me/iid:1", claim="shared-claim"))
    assert "nvidia.com/gpu" not in json.dumps(without)


# ray up


@pytest.mark.parametrize("provider", ["aws", "gcp"])
@pytest.mark.parametrize("spot", [False, True])
def test_a_cluster_file_fits_rays_own_schema(provider, spot):
    text = ray_up(
        job(),
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


@pytest.mark.parametrize("name", ["plain", *HOSTILE])
def test_folders_that_storage_lacks_are_made_for_the_containers_user(name, tmp_path, monkeypatch):
    mount = tmp_path / "shared"
    (mount / "data").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    sudo = tmp_path / "bin" / "sudo"
    sudo.write_text(f'#!/bin/bash\necho "${{@:1:6}}" >> {tmp_path}/asked\nexec "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sudo.parent}:{os.environ['PATH']}")
    told = job(store=str(mount / name), data=str(mount / "data"))
    (command,) = yaml.safe_load(
        ray_up(told, provider="aws", image="i", nfs="h:/", mount=str(mount))
    )["setup_commands"]
    for _ in range(2):  # the second machine finds them there
        subprocess.run(["bash", "-c", command], check=True)
    assert {path.name for path in mount.iterdir()} == {name, "data", "reports"}
    made = f"install -d -o {os.getuid()} -g {os.getgid()}"
    assert (tmp_path / "asked").read_text().splitlines() == [made] * 2
    remote = ray_up(job(store="s3://bucket/x"), provider="aws", image="i", nfs="h:/")
    assert "s3:" not in yaml.safe_load(remote)["setup_commands"][0]


@pytest.mark.parametrize("provider", ["aws", "gcp"])
def test_ray_itself_takes_the_cluster_file(provider):
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load(ray_up(job(), provider=provider, image="me/iid:1", nfs="h:/"))
    validate_config(prepare_config(config))


# All of them


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({}, "3 nodes, each with 8 CPU cores and 2 GPUs"),
        ({"nodes": 1, "cpus": 1, "gpus": 1}, "1 node with 1 CPU core and 1 GPU"),
        ({"nodes": 1, "gpus": 0}, "1 node with 8 CPU cores"),
    ],
)
def test_files_say_in_words_what_they_ask_for(sizes, words):
    assert f"# quickstart on {words}.\n" in build_slurm_script(job(**sizes))
    assert f"# quickstart on {words.replace('node', 'pod')}, and" in build_kuberay_job(
        job(**sizes), image="i", claim="c"
    )
    text = ray_up(job(**sizes), provider="aws", image="i", nfs="h:/a")
    assert text.startswith(f"# quickstart on {words.replace('node', 'aws machine')}, and")


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_becomes_a_part_of_a_file(value):
    told = job(store=f"/shared/{value}", data=f"/shared/{value}", options=("--set", value))
    made = check_rayjob(build_kuberay_job(told, image="me/iid:1", claim="c"))
    expected = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {made['spec']['entrypoint']}"],
        text=True,
        capture_output=True,
        check=True,
    )
    assert expected.stdout.splitlines()[5:9] == [
        "--store",
        f"/shared/{value}",
        "--data",
        f"/shared/{value}",
    ]
    assert value in expected.stdout.splitlines()
    yaml.safe_load(ray_up(told, provider="aws", image="me/iid:1", nfs="h:/a"))
    for option in ({"image": value, "claim": "c"}, {"image": "i", "claim": value}):
        if value != "é":
            with pytest.raises(SettingsError, match="give a name without spaces"):
                build_kuberay_job(job(), **option)
    with pytest.raises(SettingsError, match="--partition"):
        build_slurm_script(job(), partition=value)


@pytest.mark.parametrize(
    ("space", "name"),
    [
        ("paper/main", "iid-paper-main"),
        ("runs/My Found.yaml", "iid-my-found"),
        ("---.yml", "iid-run"),
        ("x" * 80, f"iid-{'x' * 40}"),
    ],
)
def test_jobs_are_named_after_their_space(space, name):
    assert job(space=space).name == name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"nodes": 0}, "--nodes is 0"),
        ({"gpus": -1}, "--gpus is -1"),
        ({"time": "24"}, "--time is '24'"),
        ({"time": "00:00:00"}, "--time"),
        ({"time": "1:60:00"}, "--time"),
        ({"store": "a\nb"}, "store is 'a\\\\nb'"),
        ({"space": " "}, "SPACE is ' '"),
    ],
)
def test_sizes_that_cannot_be_are_refused(changed, message):
    with pytest.raises(SettingsError, match=message):
        job(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"store": "store"}, "--store is 'store'; put it below /shared"),
        ({"data": "/shared/../data"}, "--data is"),
        ({"space": "found.yaml"}, "SPACE is 'found.yaml'"),
    ],
)
def test_what_other_machines_cannot_see_is_refused(changed, message):
    with pytest.raises(SettingsError, match=message):
        build_kuberay_job(job(**changed), image="i", claim="c")
    with pytest.raises(SettingsError, match=message):
        ray_up(job(**changed), provider="aws", image="i", nfs="h:/a")


@pytest.mark.parametrize("claim", ["Shared_Files", "-a", "a.", "a..b", "a/b", "a" * 254])
def test_a_claim_that_kubernetes_would_not_take_is_refused(claim):
    with pytest.raises(SettingsError, match="--claim is"):
        build_kuberay_job(job(), image="i", claim=claim)
    check_rayjob(build_kuberay_job(job(), image="i", claim="shared-files.2"))


def test_a_space_that_cannot_be_loaded_is_refused_unless_only_the_nodes_see_it(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text("name: [")
    Path("wrong.yaml").write_text("nme: x")

    def make(space):
        return CliRunner().invoke(app, ["cluster", "slurm", space])

    for space, message in (
        ("paper/mian", "there is no search space 'paper/mian'"),
        ("broken.yaml", "broken.yaml"),
        ("wrong.yaml", "wrong.yaml"),
        (str(tmp_path), "error: "),
    ):
        made = make(space)
        assert made.exit_code == 2 and message in made.output, made.output
    for space in (
        "paper/main",
        "elsewhere.yaml",
        "/scratch/me/elsewhere.yml",
        "/scratch/me/elsewhere",
    ):
        assert make(space).exit_code == 0


def test_what_a_cloud_needs_is_asked_for():
    with pytest.raises(SettingsError, match="--project is missing"):
        ray_up(job(), provider="gcp", image="i", nfs="h:/a", project=None)
    with pytest.raises(SettingsError, match="--nfs is 'h'"):
        ray_up(job(), provider="aws", image="i", nfs="h")
    with pytest.raises(SettingsError, match="--mount"):
        build_kuberay_job(job(), image="i", claim="c", mount="/a b")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("'", "No closing quotation"),
        ("--sett seeds=3", "--sett"),
        ("--gpus-per-trial half", "--gpus-per-trial"),
        ("--set seedz=3", "seedz"),
        ("paper/ablation", "unexpected extra"),
        ("--store elsewhere", "--store does not belong there"),
        ("--address auto", "--address does not belong there"),
        ("--download", "--download does not belong there"),
    ],
)
def test_what_iid_run_would_refuse_is_refused_before_the_job_starts(options, told):
    answer = CliRunner().invoke(app, ["cluster", "slurm", "paper/main", "--run-options", options])
    assert answer.exit_code == 2 and told in answer.output, answer.output


def test_a_search_space_that_is_not_here_is_noted(tmp_path):
    answer = CliRunner().invoke(app, ["cluster", "slurm", str(tmp_path / "mine.yaml")])
    assert (
        answer.exit_code == 0
        and "mine.yaml is not on this machine" in answer.stderr
        and "mine.yaml" in answer.stdout
    )


def test_a_store_that_cannot_be_is_refused():
    with pytest.raises(StoreError, match="gs://"):
        job(store="gs://bucket/folder")


@pytest.mark.parametrize(
    ("sizes", "options", "told"),
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
def test_machines_that_no_cloud_has_are_refused(sizes, options, told):
    with pytest.raises(SettingsError, match=told):
        asked = job(**{"cpus": 16, "gpus": 1, **sizes})
        ray_up(asked, provider="aws", image="i", nfs="h:/a", worker_type=None, **options)


def test_the_command_line_prints_or_writes(tmp_path):
    out = tmp_path / "jobs" / "job.sh"
    sizes = ["--nodes", "4", "--gpus", "0", "--store", str(tmp_path / "store"), "--setup", "true"]
    command = ["cluster", "slurm", "paper/main", *sizes, "--run-options", "--set seeds=3"]
    printed = CliRunner().invoke(app, command)
    assert printed.exit_code == 0 and directives(printed.stdout)["nodes"] == "4"
    assert "--set seeds=3" in printed.stdout
    assert CliRunner().invoke(app, [*command, "--out", str(out)]).exit_code == 0
    assert out.read_text() == printed.stdout
    wrong = CliRunner().invoke(app, ["cluster", "slurm", "x", "--nodes", "0"])
    assert wrong.exit_code == 2 and "error: --nodes is 0" in wrong.output
    for name in (["kuberay", "--claim", "c"], ["ray-up", "--nfs", "h:/a", "--provider", "aws"]):
        made = CliRunner().invoke(
            app, ["cluster", name[0], "quickstart", "--image", "i", *name[1:]]
        )
        assert made.exit_code == 0 and yaml.safe_load(made.stdout), made.output
    (tmp_path / "file").touch()
    unwritable = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "file" / "job.sh")])
    assert unwritable.exit_code == 2 and "cannot be written" in unwritable.output
