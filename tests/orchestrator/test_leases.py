import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator import leases
from orchestrator.files import StoreError

KEY = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "leases"


def foreign(folder, *, age, host="another machine"):
    """A lease of another machine that was touched `age` seconds ago."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{KEY}.json"
    path.write_text(json.dumps({"token": "theirs", "host": host, "pid": 1, "started": "1", "run": "other"}))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_a_lease_is_held_once_and_given_back(folder):
    with leases.hold(folder, KEY, "a") as mine:
        assert mine is not None and leases.held_keys(folder) == {KEY}
        with leases.hold(folder, KEY, "b") as theirs:
            assert theirs is None
        assert mine.path.exists()
    assert not list(folder.iterdir())
    with pytest.raises(ZeroDivisionError), leases.hold(folder, KEY, "a"):
        raise ZeroDivisionError
    assert not list(folder.iterdir())


def test_the_lease_of_a_dead_process_is_taken_at_once(folder):
    code = f"import pathlib, os; from orchestrator import leases; leases.acquire(pathlib.Path({str(folder)!r}), {KEY!r}, 'x'); os._exit(0)"  # noqa: E501
    subprocess.run([sys.executable, "-c", code], check=True)
    assert json.loads((folder / f"{KEY}.json").read_text())["run"] == "x"
    assert leases.held_keys(folder) == frozenset()
    with leases.hold(folder, KEY, "a") as mine:
        assert mine is not None


def test_a_reused_process_id_is_not_the_holder(folder):
    path = foreign(folder, age=0, host=leases.host_identity())
    record = json.loads(path.read_text()) | {"pid": os.getpid(), "started": "long ago"}
    path.write_text(json.dumps(record))
    assert not leases.is_held(path)


def test_a_zombie_does_not_hold_a_lease():
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = leases.process_start(process.pid)
    assert started is not None
    deadline = time.monotonic() + 10
    while leases.process_start(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)  # it ends, and stays a zombie until it is waited for
    assert leases.process_start(process.pid) is None
    process.wait()


@pytest.mark.parametrize(("age", "held"), [(0, True), (10, True), (40, False), (3600, False), (-3600, False)])
def test_another_machine_s_lease_holds_while_it_is_touched(folder, age, held):
    path = foreign(folder, age=age)
    assert leases.is_held(path) is held
    with leases.hold(folder, KEY, "a") as mine:
        assert (mine is None) is held
    assert [p for p in folder.iterdir() if p.name.startswith(".")] == []


def test_a_damaged_lease_counts_by_its_age(folder):
    path = foreign(folder, age=0)
    path.write_text("{")
    assert leases.is_held(path)
    then = time.time() - 60
    os.utime(path, (then, then))
    with leases.hold(folder, KEY, "a") as mine:
        assert mine is not None


def test_the_heartbeat_touches(folder):
    with leases.hold(folder, KEY, "a", heartbeat=0.02) as mine:
        os.utime(mine.path, (1, 1))
        deadline = time.monotonic() + 5
        while mine.path.stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - mine.path.stat().st_mtime < 10


def test_a_lost_lease_is_noticed_and_left_to_its_new_holder(folder):
    with leases.hold(folder, KEY, "a", heartbeat=0.02) as mine:
        path = foreign(folder, age=0)
        assert mine.lost.wait(5)
    assert json.loads(path.read_text())["token"] == "theirs"


def test_a_deleted_lease_is_put_back(folder):
    lease = leases.acquire(folder, KEY, "a")
    lease.path.unlink()
    lease.touch()
    assert json.loads(lease.path.read_text())["token"] == lease.token and not lease.lost.is_set()


def test_one_of_many_takes_a_stale_lease_over(folder):
    for _ in range(10):
        foreign(folder, age=100)
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda i: leases.acquire(folder, KEY, str(i)), range(8)))
        (winner,) = [lease for lease in taken if lease is not None]
        winner.release()
        assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path):
    (tmp_path / "leases").write_text("a file")
    with pytest.raises(StoreError), leases.hold(tmp_path / "leases", KEY, "a"):
        pass


def test_a_takeover_that_was_killed_half_way_is_repeated(folder, monkeypatch):
    foreign(folder, age=100)

    def killed(path, data):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(leases.files, "write", killed)
        patch.setattr(type(folder), "unlink", lambda path, missing_ok=False: None)
        with pytest.raises(KeyboardInterrupt):
            leases.acquire(folder, KEY, "a")
    (right,) = [path for path in folder.iterdir() if path.name.startswith(f".{KEY}.json.") and len(path.name) < 50]
    assert leases.acquire(folder, KEY, "a") is None  # somebody may be at it
    os.utime(right, (1, 1))
    assert leases.acquire(folder, KEY, "a") is None  # clears what the killed one left
    assert leases.acquire(folder, KEY, "a") is not None
