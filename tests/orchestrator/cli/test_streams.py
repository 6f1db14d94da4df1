"""Output to full devices, closed pipes and terminals that know ASCII only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.streams import LenientFile, is_utf8

IID = [sys.executable, "-m", "orchestrator"]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_one_line_and_code_1():
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run([*IID, "spaces"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == 1
    assert ended.stderr == b"error: the output cannot be written: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_work_goes_on_where_a_log_is_full():
    with LenientFile("/dev/full", "w") as file:
        assert file.write(b"a line\n") == 7
        assert file.failure is not None and file.failure.strerror == "No space left on device"


def test_a_closed_output_is_fine():
    ended = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *IID, "--version"],
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_reader_that_goes_away_is_no_mistake():
    line = f"{sys.executable} -m orchestrator spaces | head -n 1"
    ended = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    assert len(ended.stdout.splitlines()) == 1 and ended.stderr == ""


def test_an_ascii_terminal_shows_other_letters_and_names_stay_whole(tmp_path):
    store = tmp_path / "größe"
    ended = subprocess.run(
        [*IID, "datasets"], env={**os.environ, **ASCII}, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert b"32x32x1" in ended.stdout and ended.stdout.isascii()
    store.mkdir()
    ended = subprocess.run(
        [*IID, "status", "--store", os.fsencode(store)],
        env={**os.environ, **ASCII},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")  # so the folder was found
    ended = subprocess.run(
        [*IID, "status", "--store", os.fsencode(store / "λ")],
        env={**os.environ, **ASCII},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 2 and rb"gr\xf6\xdfe/lambda;" in ended.stderr


def test_bytes_that_are_no_utf8_are_refused_before_anything_happens(tmp_path):
    assert is_utf8("café") and not is_utf8("caf\udce9")
    for words in (["status", "--store", b"caf\xe9"], ["plan", b"caf\xe9.yaml"], [b"caf\xe9"]):
        ended = subprocess.run([*IID, *words], capture_output=True, cwd=tmp_path, check=False)
        assert ended.returncode == 2
        assert ended.stderr.startswith(b"error: caf\\xe9") and ended.stderr.count(b"\n") == 1
    assert not list(tmp_path.iterdir())
