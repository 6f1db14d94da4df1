"""Folders of launches: private, short, gone afterwards; what killed launches leave is removed."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from orchestrator.errors import LaunchError
from orchestrator.launch import private_folder as module
from orchestrator.launch.private_folder import choose_socket_place, private_folder, sweep


@pytest.fixture
def place(tmp_path):
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def test_only_its_user_can_enter_it_and_it_is_gone_afterwards(place):
    with private_folder("ray", place) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700 and folder.parent == place
        (folder / "r" / "session").mkdir(parents=True)
        assert sweep(place) == []  # its owner lives
    assert list(place.iterdir()) == []


@pytest.fixture
def environment(monkeypatch):
    def set_to(**values):
        for name in ("TMPDIR", "RAY_TMPDIR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr(tempfile, "tempdir", None)

    yield set_to


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_folder_of_a_job_makes_room_for_a_short_one(tmp_path, environment, name):
    long = tmp_path / ("job-" * 25)
    long.mkdir()
    environment(**{name: long})
    told = []
    place = choose_socket_place(told.append)
    assert str(place) in ("/tmp", "/var/tmp", "/dev/shm")
    assert len(told) == 1 and str(long) in told[0] and "too long" in told[0]


def test_the_folder_that_a_user_names_is_taken_if_ray_can_use_it(environment, monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="u") as folder:
        environment(RAY_TMPDIR=folder, TMPDIR="/tmp")
        monkeypatch.setattr(module, "SOCKET_PATH_BYTES", 200)
        assert choose_socket_place(pytest.fail) == Path(folder)
        Path(folder).chmod(0o777)  # others may rename what is in it
        told = []
        assert choose_socket_place(told.append) != Path(folder)
        assert "lets other users rename" in told[0]


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_folder_that_cannot_be_used_is_told(tmp_path, environment, monkeypatch, kind):
    monkeypatch.setattr(module, "SOCKET_PATH_BYTES", 500)
    (tmp_path / "file").touch()
    environment(RAY_TMPDIR=tmp_path / kind)
    told = []
    choose_socket_place(told.append)
    assert str(tmp_path / kind) in told[0]


def test_without_any_folder_the_remedy_is_named(tmp_path, environment, monkeypatch):
    environment(RAY_TMPDIR=tmp_path / "missing")
    monkeypatch.setattr(module, "_SHORT_FOLDERS", (str(tmp_path / "missing too"),))
    with pytest.raises(LaunchError, match="name a short folder of yours with RAY_TMPDIR"):
        choose_socket_place(pytest.fail)


def test_the_longest_socket_of_ray_fits():
    session = "session_2026-11-28_23-44-08_402772_4194304"
    place = "x" * (module.SOCKET_PATH_BYTES - len(module._SOCKET))
    socket = f"{place}/iid-ray-abcdefgh/r/{session}/sockets/plasma_store"
    assert len(socket) <= module.SOCKET_PATH_BYTES


OWNER = (
    "import sys, time; from pathlib import Path\n"
    "from orchestrator.launch.private_folder import private_folder\n"
    "with private_folder('ray', Path(sys.argv[1])) as folder:\n"
    "    print(folder, flush=True); time.sleep(600)"
)
WRITER = (
    "import sys, time; stream = open(sys.argv[1], 'w'); print('open', flush=True); time.sleep(600)"
)


def start(code, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip()


def test_what_a_killed_launch_left_is_removed_and_no_process_of_others_is_harmed(place, tmp_path):
    owner, folder = start(OWNER, place)
    agent, _ = start(WRITER, Path(folder) / "agent.log")
    other, _ = start(WRITER, tmp_path / "other.log")
    try:
        assert sweep(place) == []
        owner.kill()
        owner.wait()
        assert sweep(place) == [Path(folder)] and not Path(folder).exists()
        assert agent.wait(30) == -9 and other.poll() is None
    finally:
        for process in (owner, agent, other):
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.mark.parametrize(
    "owner",
    [
        None,
        "{",
        "[]",
        {"host": "elsewhere", "pid": 1, "started": "0"},
        {"host": module.identify_host(), "pid": os.getpid(), "started": None},
    ],
)
def test_a_folder_whose_owner_cannot_be_told_is_left_alone(place, owner):
    folder = place / "iid-ray-abcdefgh"
    folder.mkdir()
    if owner is not None:
        text = owner if isinstance(owner, str) else json.dumps(owner)
        (folder / module.OWNER).write_text(text)
    before = time.monotonic()
    assert sweep(place) == [] and folder.exists() and time.monotonic() - before < 10
