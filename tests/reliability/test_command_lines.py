"""Strange paths and values on the command line: one clear line and exit code 2, at once."""

import os
import random
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app

SECONDS = 20
"""No command takes longer to say what is wrong."""
SEED = 20261128

PLACES = {
    "long": "x" * 300,
    "long.yaml": "x" * 300 + ".yaml",
    "many parts": "x/" * 3000 + "x",
    "longer": "é" * 5000,
    "no such user": "~nosuchuser/x",
    "only a user": "~nosuchuser",
    "pipe": "{tmp}/pipe",
    "pipe.yaml": "{tmp}/pipe.yaml",
    "socket": "{tmp}/socket",
    "device": "/dev/null",
    "endless": "/dev/zero",
    "loop": "{tmp}/loop",
    "below a loop": "{tmp}/loop/x.yaml",
    "below a file": "{tmp}/file/x",
    "below a file.yaml": "{tmp}/file/x.yaml",
    "link to a pipe": "{tmp}/link",
    "file": "{tmp}/file",
    "process": "/proc/self/mem",
    "empty": "",
    "parameters": "${{HOME}}/`id`/%s/{{}}",
    "colors": "{tmp}/\x1b[31mred\x07",
}
FILES_ONLY = {"file"}
TEXTS = {
    "empty": "",
    "space": " ",
    "long": "a" * 5000,
    "emoji": "👩🏽‍🔬" * 40,
    "markup": "[bold]x[/nope]",
    "escape": "\x1b[31mred\x1b[0m\x07",
    "newline": "a\nb",
    "dots": "../../etc/passwd",
    "glob": "*",
    "quote": "'\"",
    "right to left": "\u202eevil",
    "zeros": "0" * 400,
    "yaml": "[{a: &x [*x]}]",
    "deep": "[" * 2000,
    "colon": "a:b:c",
    "custom": "os:system",
    "hash": "#",
    "null": "null",
}
NUMBERS = ("", "x", "nan", "-inf", "-1", "0", "1e400", "9" * 400, "0x10", "１", "1_0", "--", "1,5")
SETTINGS = (
    "=", "=1", "nope", "nope=3", "seeds", "seeds=", "seeds=-1", "seeds=1e400", "seeds=[", "seeds=~",
    "seeds=0", "iterations=" + "9" * 5000, "iterations=.nan", "iterations=[[1]]", "lambda_cc=-1",
    "lr_img=.inf", "network=[]", "network=x:y", "architectures=[ConvNetW" + "9" * 50 + "]",
    "methods=[Nope]", "datasets=[/dev/zero]", "datasets={name: digits}", "ipc=0", "ipc=" + "9" * 30,
    "ipc=[1, 1]", "batch_real=-3", "a" * 4000 + "=1", "\x1b[31m=1", "seeds=!!python/object:os.x 1",
    "datasets=[{name: a, format: parquet, path: /dev/zero}]",
    "datasets=[{name: a, format: parquet, path: '~nosuchuser/x'}]",
    "datasets=[{name: a, format: imagefolder, path: " + "y" * 300 + "}]",
    "datasets=[{name: a, format: imagefolder, path: {tmp}/pipe}]",
    "datasets=[{name: a, format: imagefolder, path: {tmp}/loop}]",
    "datasets=[{name: a, format: 'os:path', path: .}]",
    "datasets=[{name: " + "n" * 400 + ", format: parquet, path: .}]",
)  # fmt: skip
SET_OPTIONS = (
    ("--dataset", ""), ("--dataset", "[digits, mnist]"), ("--dataset", "{name: a}"),
    ("--dataset", "{name: a, format: parquet, path: /dev/zero}"), ("--architectures", "Nope"),
    ("--architectures", "ConvNetW" + "9" * 60), ("--beside", "Nope"), ("--normalised", "nan,1"),
    ("--normalised", "1"), ("--normalised", "1e400,1"), ("--normalised", ","), ("--factor", "0"),
    ("--factor", "9" * 30), ("--soft-labels", "x"), ("--lr-net", "nan"), ("--lr-net", "-1"),
    ("--num-eval", "0"), ("--num-eval", "9" * 30), ("--protocol", "x"), ("--set", "seeds=3"),
)  # fmt: skip
JOB_OPTIONS = (
    ("--time", ""), ("--time", "x"), ("--time", "99:99"), ("--nodes", "0"), ("--nodes", "-1"),
    ("--cpus", "0"), ("--gpus", "-1"), ("--memory", "0"), ("--run-options", "'"),
    ("--run-options", "--store x"), ("--run-options", "--set"), ("--run-options", "--nope"),
    ("--run-options", "--set nope=1"), ("--nodes", "9" * 4000),
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A command line, and how it may end."""

    words: tuple[str, ...]
    codes: tuple[int, ...] = (2,)


def build_lines():
    """All command lines; those that could compute something name another mistake too."""
    lines = []
    for what, place in PLACES.items():
        lines += _lines_of_place(what, place)
    for text in TEXTS.values():
        lines += [
            Line(("plan", text)), Line(("run", text)), Line(("search", text)),
            Line(("report", text)), Line(("unit", text)), Line(("export", text, *TO)),
            Line(("export", "0123abcd", "--format", text, "--out", "{tmp}/new")),
            Line((text,)), Line(("plan", "quickstart", "--set", text)),
            Line(("run", "quickstart", f"--no{text}")), Line(("cluster", text)),
            Line(("cluster", "slurm", text)), Line(("evaluate", text, *DIGITS)),
            Line(("evaluate", "{tmp}/file", "--dataset", text)),
            Line(("run", "quickstart", "--cpus-per-trial", text)),
            Line(("search", "lambda_search", "--sampler", text)),
            Line(("unit", "0123abcd", "--device", text)),
        ]  # fmt: skip
    for number in NUMBERS:
        lines += [
            Line(("run", "quickstart", "--gpus-per-trial", number, *ELSEWHERE)),
            Line(("run", "quickstart", "--cpus-per-trial", number, *ELSEWHERE)),
            Line(("search", "lambda_search", "--trials", number, *ELSEWHERE)),
            Line(("search", "lambda_search", "--max-concurrent", number, *ELSEWHERE)),
            Line(("plan", "quickstart", "--cpus", number), (0, 2)),
            Line(("plan", "quickstart", "--gpus", number), (0, 2)),
            Line(("evaluate", "{tmp}/file", *DIGITS, "--factor", number)),
            Line(("evaluate", "{tmp}/file", *DIGITS, "--num-eval", number)),
            Line(("evaluate", "{tmp}/file", *DIGITS, "--lr-net", number)),
            Line(("cluster", "slurm", "quickstart", "--nodes", number), (0, 2)),
        ]
    for setting in SETTINGS:
        lines += [
            Line(("plan", "quickstart", "--set", setting), (0, 2)),
            Line(("run", "quickstart", "--set", setting, *ELSEWHERE)),
            Line(("report", "quickstart", "--set", setting, "--store", "{tmp}/none")),
            Line(("export", "quickstart", "--set", setting, *TO)),
        ]
    for option in SET_OPTIONS:
        lines.append(Line(("evaluate", "{tmp}/file", "--dataset", "digits", *option)))
    for option in JOB_OPTIONS:
        lines.append(Line(("cluster", "slurm", "quickstart", *option)))
    return lines


DIGITS = ("--dataset", "digits")
TO = ("--format", "dc", "--out", "{tmp}/new", "--store", "{tmp}/none")
ELSEWHERE = ("--set", "datasets=[mnist]", "--data", "{tmp}/nothing")
"""A data set that is not there: a line that is right after all ends with that."""


def _lines_of_place(what, place):
    is_folder_missing = (0, 2) if what in ("parameters", "colors") else (2,)
    is_file_fine = (0, 2) if what in ("parameters", "colors", "file") else (2,)
    run = ("run", "quickstart", "--smoke", *ELSEWHERE)
    return [
        Line(("plan", place)), Line(("run", place)), Line(("report", place)),
        Line(("search", place)), Line(("export", place, *TO)),
        Line(("plan", "quickstart", "--store", place), is_folder_missing),
        Line(("status", "--store", place)), Line(("verify", "--store", place)),
        Line(("report", "quickstart", "--store", place)),
        Line(("unit", "0123abcd", "--store", place)),
        Line(("status", "--store", f"file://{place}")),
        Line(("datasets", "--data", place), (0, 2)),
        Line((*run, "--data", place)), Line((*run, "--out", place)), Line((*run, "--store", place)),
        Line(("search", "lambda_search", "--smoke", "--found", place, *ELSEWHERE)),
        Line(("search", "lambda_search", "--smoke", "--out", place, *ELSEWHERE)),
        Line(("evaluate", place, *DIGITS, "--store", "{tmp}/none")),
        Line(("evaluate", "{tmp}/file", *DIGITS, "--zca", place)),
        Line(("evaluate", "{tmp}/file", *DIGITS, "--out", place)),
        Line(("export", "0123abcd", "--format", "dc", "--out", place, "--store", "{tmp}/none")),
        Line(("cluster", "slurm", "quickstart", "--out", place), is_file_fine),
        Line(("cluster", "slurm", place), (0, 2)),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """A folder with a pipe, a socket, links that go round, and a file that is no set."""
    tmp = tmp_path_factory.mktemp("strange")
    for name in ("pipe", "pipe.yaml"):
        os.mkfifo(tmp / name)
    (tmp / "loop").symlink_to("loop")
    (tmp / "link").symlink_to("pipe")
    (tmp / "file").write_text("neither a set nor a search space\n")
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(tmp)  # the path of a socket may be short only
        listening.bind("socket")
        yield tmp
        os.chdir(before)


def choose(count):
    lines = build_lines()
    return random.Random(SEED).sample(lines, count) if count < len(lines) else lines


def fill_in(line, tmp):
    return [
        word.replace("{tmp}", str(tmp)).replace("{{", "{").replace("}}", "}") for word in line.words
    ]


def check(line, code, output):
    shown = " ".join(line.words)[:300]
    assert "Traceback" not in output, shown
    assert code in line.codes, (shown, code, output[-500:])
    if code == 2:
        errors = [text for text in output.splitlines() if text.startswith("error: ")]
        assert len(errors) == 1, (shown, output[-500:])
        assert len(errors[0]) < 1000, (shown, output[-500:])
        assert output.splitlines()[-1] == errors[0], (shown, output[-500:])
        assert "\x1b" not in output and "\u202e" not in output, (shown, output[-500:])


class TookTooLong(BaseException):
    """Nothing that a command catches."""


def too_long(number, frame):
    raise TookTooLong


def run_here(words):
    """Run a command line in this process; return its exit code and what it printed."""
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        ended = CliRunner().invoke(app, words)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return ended.exit_code, ended.output


def test_sixty_strange_command_lines_end_with_one_clear_line(strange, monkeypatch):
    monkeypatch.chdir(strange)
    for line in choose(60):
        check(line, *run_here(fill_in(line, strange)))


@pytest.mark.nightly
def test_five_hundred_strange_command_lines_end_with_one_clear_line(strange):
    assert len(build_lines()) >= 500
    for line in choose(500):
        words = [os.fsencode(word) for word in fill_in(line, strange)]
        ended = subprocess.run(
            [sys.executable, "-m", "orchestrator", *words],
            cwd=strange, timeout=SECONDS, capture_output=True, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        check(line, ended.returncode, (ended.stdout + ended.stderr).decode(errors="replace"))
