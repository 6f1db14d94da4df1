import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.errors import StoreError
from orchestrator.store import lease_storage, leases

KEY = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "leases"


def foreign(folder, *, age, host="another machine"):
    """A lease of another machine that was touched `age` seconds ago."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{KEY}.json"
    path.write_text(
        json.dumps({"token": "theirs", "host": host, "pid": 1, "started": "1", "run": "other"})
    )
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_a_lease_is_held_once_and_given_back(folder):
    with leases.hold(folder, KEY, "a") as mine:
        assert mine is not None and leases.held_keys(folder) == {KEY}
        with leases.hold(folder, KEY, "b") as theirs:
            assert theirs is None
        assert (folder / f"{KEY}.json").exists()
    assert not list(folder.iterdir())
    with pytest.raises(ZeroDivisionError), leases.hold(folder, KEY, "a"):
        raise ZeroDivisionError
    assert not list(folder.iterdir())


def test_the_lease_of_a_dead_process_is_taken_at_once(folder):
    code = (
        "import pathlib, os; from orchestrator.store import leases;"
        f" leases.acquire(pathlib.Path({str(folder)!r}), {KEY!r}, 'x'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert json.loads((folder / f"{KEY}.json").read_text())["run"] == "x"
    assert leases.held_keys(folder) == frozenset()
    with leases.hold(folder, KEY, "a") as mine:
        assert mine is not None


def test_a_reused_process_id_is_not_the_holder(folder):
    path = foreign(folder, age=0, host=leases.host_identity())
    record = json.loads(path.read_text()) | {"pid": os.getpid(), "started": "long ago"}
    path.write_text(json.dumps(record))
    assert not leases.is_held(folder, KEY)


def test_a_process_that_does_not_show_itself_counts_by_age(folder, monkeypatch):
    with pytest.raises(PermissionError), monkeypatch.context() as patch:
        patch.setattr(leases.Path, "read_text", missing_stat)
        leases.process_start(1 if os.geteuid() else os.getpid())

    def hidden(pid):
        raise PermissionError(pid)

    monkeypatch.setattr(leases, "process_start", hidden)
    foreign(folder, age=0, host=leases.host_identity())
    assert leases.is_held(folder, KEY)
    foreign(folder, age=100, host=leases.host_identity())
    assert not leases.is_held(folder, KEY)


def missing_stat(path):
    raise FileNotFoundError(path)


@pytest.mark.parametrize("pid", [2**22 + 1, 10**30])
def test_a_process_that_there_is_not_has_no_start(pid):
    assert leases.process_start(pid) is None


def test_a_launch_takes_its_own_lease_over_and_the_earlier_worker_notices(folder):
    first = leases.acquire(folder, KEY, "a")
    assert leases.acquire(folder, KEY, "b") is None
    assert leases.is_held(folder, KEY) and not leases.is_held(folder, KEY, but="a")
    second = leases.acquire(folder, KEY, "a")
    first.touch()
    second.touch()
    assert first.lost.is_set() and not second.lost.is_set()
    first.release()
    assert (folder / f"{KEY}.json").exists()


def test_looking_writes_nothing(folder, monkeypatch):
    foreign(folder, age=0)

    def refused(*arguments, **options):
        raise AssertionError("something was written")

    for name in ("touch", "open", "write_bytes", "unlink"):
        monkeypatch.setattr(leases.Path, name, refused)
    monkeypatch.setattr(
        leases.Path, "read_bytes", lambda path: os.read(os.open(path, os.O_RDONLY), 10_000)
    )
    assert leases.held_keys(folder) == {KEY}


def test_a_zombie_does_not_hold_a_lease():
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = leases.process_start(process.pid)
    assert started is not None
    deadline = time.monotonic() + 10
    while leases.process_start(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)  # it ends, and stays a zombie until it is waited for
    assert leases.process_start(process.pid) is None
    process.wait()


@pytest.mark.parametrize(
    ("age", "held"), [(0, True), (10, True), (40, False), (3600, False), (-3600, False)]
)
def test_another_machine_s_lease_holds_while_it_is_touched(folder, age, held):
    foreign(folder, age=age)
    assert leases.is_held(folder, KEY) is held and leases.held_keys(folder) == (
        {KEY} if held else set()
    )
    with leases.hold(folder, KEY, "a", watch=0.01) as mine:
        assert (mine is None) is held
    assert [p for p in folder.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    "content", ["{", "[]", "[" * 100_000, '{"host": {}, "pid": "x"}', '{"pid": Infinity}']
)
def test_a_damaged_lease_counts_by_its_age(folder, content):
    path = foreign(folder, age=0)
    path.write_text(content)
    assert leases.is_held(folder, KEY)
    then = time.time() - 60
    os.utime(path, (then, then))
    with leases.hold(folder, KEY, "a", watch=0.01) as mine:
        assert mine is not None


def test_the_heartbeat_touches(folder):
    with leases.hold(folder, KEY, "a", heartbeat=0.02):
        os.utime(folder / f"{KEY}.json", (1, 1))
        deadline = time.monotonic() + 5
        while (folder / f"{KEY}.json").stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - (folder / f"{KEY}.json").stat().st_mtime < 10


def test_a_lost_lease_is_noticed_and_left_to_its_new_holder(folder):
    with leases.hold(folder, KEY, "a", heartbeat=0.02) as mine:
        path = foreign(folder, age=0)
        assert mine.lost.wait(5)
    assert json.loads(path.read_text())["token"] == "theirs"


def test_a_deleted_lease_is_put_back(folder):
    lease = leases.acquire(folder, KEY, "a")
    (folder / f"{KEY}.json").unlink()
    lease.touch()
    record = json.loads((folder / f"{KEY}.json").read_text())
    assert (record["token"], record["run"]) == (lease.token, "a") and not lease.lost.is_set()


def test_one_of_many_takes_a_stale_lease_over(folder):
    for _ in range(10):
        foreign(folder, age=100)
        with ThreadPoolExecutor(8) as pool:
            taken = list(
                pool.map(lambda i: leases.acquire(folder, KEY, str(i), watch=0.01), range(8))
            )
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
        patch.setattr(leases.atomic_files, "write", killed)
        patch.setattr(type(folder), "unlink", lambda path, missing_ok=False: None)
        with pytest.raises(KeyboardInterrupt):
            leases.acquire(folder, KEY, "a", watch=0.01)
    (right,) = [
        path
        for path in folder.iterdir()
        if path.name.startswith(f".{KEY}.json.") and len(path.name) < 50
    ]
    assert leases.acquire(folder, KEY, "a", watch=0.01) is None  # somebody may be at it
    os.utime(right, (1, 1))
    assert leases.acquire(folder, KEY, "a", watch=0.01) is None  # clears what the killed one left
    assert leases.acquire(folder, KEY, "a", watch=0.01) is not None


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_moved_by_an_hour_takes_no_lease_from_a_holder_that_lives(
    folder, monkeypatch, hours
):
    with leases.hold(folder, KEY, "theirs", heartbeat=0.02) as theirs:
        path = folder / f"{KEY}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "another machine"}))
        monkeypatch.setattr(lease_storage, "probed_time", lambda path: time.time() + hours * 3600)
        assert not leases.is_held(folder, KEY)  # by the clock
        assert leases.acquire(folder, KEY, "a", watch=1.0) is None
        time.sleep(0.1)
        assert not theirs.lost.is_set()
    foreign(folder, age=0)
    assert leases.acquire(folder, KEY, "a", watch=0.1) is not None
