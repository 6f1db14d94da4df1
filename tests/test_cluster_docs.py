"""What docs/cluster.md shows is understood as it stands; the walk itself starts and stops Ray, and
is run by hand.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.cluster.resources import GpuNeed, Node, choose_gpu_share

TEXT = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text()
LONGER = "run pets.yaml --address auto --set seeds=20 --out longer"
COMMANDS = re.findall(r"^iid cluster (?:.*\\\n)*.*$", TEXT, re.MULTILINE)


def test_an_image_gets_nothing_that_git_ignores():
    root = Path(__file__).parents[1]
    left_out = {
        line.strip("/").removeprefix("**/") for line in (root / ".dockerignore").read_text().split()
    }
    assert left_out == {
        ".git",
        *(line.strip("/") for line in (root / ".gitignore").read_text().split()),
    }


def test_it_shows_every_kind_of_file():
    assert [line.split()[2] for line in COMMANDS] == ["slurm", "kuberay", "ray-up"]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_files_that_it_makes_are_made(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, shlex.split(line.replace("\\\n", " "))[1:])
    assert result.exit_code == 0, result.output
    assert len(list(tmp_path.iterdir())) == 1


def test_the_small_data_set_of_the_walk_can_be_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (script,) = re.findall(r"^python - <<'EOF'\n(.*?)^EOF$", TEXT, re.DOTALL | re.MULTILINE)
    subprocess.run([sys.executable, "-c", script], check=True)
    for line in (
        "run pets.yaml --address auto",
        "run quickstart --address auto --set seeds=1 --set ipc=1",
        LONGER,
    ):
        assert f"iid {line}\n" in TEXT
        planned = shlex.split(
            line.replace("run", "plan", 1)
            .replace(" --address auto", "")
            .replace(" --out longer", "")
        )
        assert CliRunner().invoke(app, planned).exit_code == 0


def test_the_share_that_it_shows_is_the_one_that_is_chosen():
    node = Node(name="a", cpus=16, gpus=1, gpu_memory=40 * 10**9)
    assert choose_gpu_share([node], cpus=1, need=GpuNeed(units=9, memory=9_100_000_000))[1] in TEXT
