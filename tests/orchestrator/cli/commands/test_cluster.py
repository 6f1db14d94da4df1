"""`iid cluster` as a user meets it."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from orchestrator.cli.app import app


def read_directives(script):
    return dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script, re.MULTILINE))


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


@pytest.mark.parametrize(
    ("options", "message"),
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
def test_what_iid_run_would_refuse_is_refused_before_the_job_starts(options, message):
    answer = CliRunner().invoke(app, ["cluster", "slurm", "paper/main", "--run-options", options])
    assert answer.exit_code == 2 and message in answer.output, answer.output


def test_a_search_space_that_is_not_here_is_noted(tmp_path):
    answer = CliRunner().invoke(app, ["cluster", "slurm", str(tmp_path / "mine.yaml")])
    assert (
        answer.exit_code == 0
        and "mine.yaml is not on this machine" in answer.stderr
        and "mine.yaml" in answer.stdout
    )


def test_the_command_line_prints_or_writes(tmp_path):
    out = tmp_path / "jobs" / "job.sh"
    sizes = ["--nodes", "4", "--gpus", "0", "--store", str(tmp_path / "store"), "--setup", "true"]
    command = ["cluster", "slurm", "paper/main", *sizes, "--run-options", "--set seeds=3"]
    printed = CliRunner().invoke(app, command)
    assert printed.exit_code == 0 and read_directives(printed.stdout)["nodes"] == "4"
    assert "--set seeds=3" in printed.stdout
    quiet = CliRunner().invoke(app, ["cluster", "slurm", "paper/main", "--run-options", "-q"])
    assert quiet.exit_code == 0 and "--data data -q" in quiet.stdout, quiet.output
    assert CliRunner().invoke(app, ["cluster", "--show-completion"]).exit_code == 2
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
    assert unwritable.exit_code == 2 and "part of the path is a file" in unwritable.output
