"""Slurm scripts are valid for bash and sbatch, and run the command."""

import os
import re
import shutil
import stat
import subprocess

import pytest

from orchestrator.cluster.manifests.slurm import build_slurm_script


def read_directives(script):
    return dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script, re.MULTILINE))


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


def test_a_slurm_script_requests_the_sizes_of_the_job(make_job):
    script = build_slurm_script(
        make_job(time="2-00:30:00"), partition="gpu", account="me", setup=("module load cuda",)
    )
    assert read_directives(script) == {
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
    # sbatch stops reading at the first command
    assert all(line.startswith("#") for line in lines[: last + 1])
    bare = read_directives(build_slurm_script(make_job(gpus=0), setup=("true",)))
    assert not {"gpus-per-node", "partition", "account"} & set(bare)


def test_a_slurm_script_runs_the_command_with_a_private_token_and_returns_its_exit_code(
    any_value, machine, tmp_path, make_job
):
    store = tmp_path / any_value
    script = build_slurm_script(
        make_job(space=any_value, store=str(store), options=("--set", "methods=[DM, DM+IID]")),
        setup=("true",),
    )
    check_bash(script)
    assert machine(script) == 3
    arguments = (tmp_path / "iid-arguments").read_text().splitlines()
    command = [
        "run",
        any_value,
        "--address",
        "auto",
        "--store",
        str(store),
        "--data",
        "/shared/data",
    ]
    assert arguments == [*command, "--set", "methods=[DM, DM+IID]"]
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


def test_a_slurm_script_makes_no_folder_of_a_stores_url(machine, tmp_path, make_job):
    script = build_slurm_script(make_job(store="s3://bucket/x"), setup=("true",))
    check_bash(script)
    assert machine(script) == 3
    assert "s3://bucket/x" in (tmp_path / "iid-arguments").read_text().splitlines()
    assert re.fullmatch(r"[0-9a-f]{64}", (tmp_path / "token").read_text())
    # neither s3: nor what was private
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["bin"]
