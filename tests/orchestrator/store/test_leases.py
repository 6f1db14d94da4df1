import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.errors import StoreError
from orchestrator.store import leases
from orchestrator.store.storage.folder import FolderStorage
from orchestrator.store.storage.object_storage import ObjectStorage

KEY = "0123456789abcdef"
NAME = f"leases/{KEY}.json"


@pytest.fixture
def folder(tmp_path):
    """A folder of leases whose times can be set."""
    return tmp_path / "store" / "leases"


@pytest.fixture
def storage(folder):
    return FolderStorage(folder.parent)


@pytest.fixture(params=["folder", "s3"])
def machine(request, storage, tmp_path):
    """Make storages as of several machines, with one store behind them."""
    if request.param == "folder":
        return lambda name: storage
    url = request.getfixturevalue("s3_url")
    return lambda name: ObjectStorage.connect(url, tmp_path / name)


def foreign(folder, *, age, host="another machine"):
    """A lease of another machine that was touched `age` seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{KEY}.json"
    path.write_text(
        json.dumps({"token": "theirs", "host": host, "pid": 1, "started": "1", "run": "other"})
    )
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def change(storage, **fields):
    """Change what a lease says of its holder."""
    record = json.loads(storage.get(NAME)) | fields
    storage.put(NAME, json.dumps(record).encode())


# Wherever the store is kept


def test_a_lease_is_held_once_and_given_back(machine):
    here, there = machine("here"), machine("there")
    with leases.hold(here, KEY, "a") as mine:
        assert (
            mine is not None
            and leases.find_held_keys(there) == {KEY}
            and leases.is_held(there, KEY)
        )
        with leases.hold(there, KEY, "b") as theirs:
            assert theirs is None
        assert here.entry(NAME) is not None
    assert here.entries("leases") == {} and not leases.is_held(there, KEY)
    with pytest.raises(ZeroDivisionError), leases.hold(here, KEY, "a"):
        raise ZeroDivisionError
    assert here.entries("leases") == {}


def test_of_many_that_want_a_lease_one_gets_it(machine):
    def take(number):
        return leases.acquire(machine(f"m{number}"), KEY, f"run {number}")

    with ThreadPoolExecutor(6) as pool:
        assert sum(lease is not None for lease in pool.map(take, range(6))) == 1


def test_the_lease_of_a_process_that_is_gone_is_taken_at_once(machine, caplog):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = machine("here")
    leases.acquire(here, KEY, "killed")
    change(here, pid=ended.pid)
    assert leases.find_held_keys(here) == frozenset()
    with leases.hold(machine("there"), KEY, "b") as mine:
        assert mine is not None
    assert f"lease of {KEY} is taken over from process {ended.pid}" in caplog.text
    assert "run killed" in caplog.text and "its process has ended" in caplog.text


def test_the_lease_of_a_killed_holder_is_taken_over_by_one(machine, caplog):
    here = machine("here")
    leases.acquire(here, KEY, "killed")
    change(here, host="another machine")
    assert leases.acquire(here, KEY, "b") is None  # it is young
    time.sleep(2.1)

    def take(number):
        return leases.acquire(machine(f"m{number}"), KEY, f"{number}", stale=2.0, watch=0.1)

    with ThreadPoolExecutor(4) as pool:
        (winner,) = [lease for lease in pool.map(take, range(4)) if lease is not None]
    assert json.loads(here.get(NAME))["token"] == winner.token
    assert list(here.entries("leases")) == [f"{KEY}.json"]
    assert "(run killed): not touched for" in caplog.text


def test_a_holder_that_lives_keeps_its_lease_whatever_the_clocks_say(machine, monkeypatch):
    here, there = machine("here"), machine("there")
    with leases.hold(here, KEY, "theirs", heartbeat=0.05) as theirs:
        change(here, host="another machine")
        monkeypatch.setattr(type(here), "now", lambda storage, folder: time.time() + 3600)
        monkeypatch.setattr(leases, "identify_host", lambda: "another machine's neighbor")
        assert not leases.is_held(there, KEY)  # by the clock
        assert leases.acquire(there, KEY, "a", watch=2.0) is None
        assert not theirs.lost.is_set()


def test_a_launch_takes_its_own_lease_over_and_the_earlier_worker_notices(machine, caplog):
    here, there = machine("here"), machine("there")
    first = leases.acquire(here, KEY, "a")
    assert leases.acquire(there, KEY, "b") is None
    assert leases.is_held(there, KEY) and not leases.is_held(there, KEY, but="a")
    second = leases.acquire(there, KEY, "a")
    first.touch()
    second.touch()
    assert first.lost.is_set() and not second.lost.is_set()
    assert f"lease of {KEY} is lost to process {os.getpid()}" in caplog.text
    first.release()
    assert here.entry(NAME) is not None


def test_a_deleted_lease_is_put_back(machine, caplog):
    here = machine("here")
    lease = leases.acquire(here, KEY, "a")
    here.remove(NAME)
    lease.touch()
    record = json.loads(here.get(NAME))
    assert (record["token"], record["run"]) == (lease.token, "a") and not lease.lost.is_set()
    assert f"lease of {KEY} was deleted" in caplog.text


# Times, and processes of this machine


def test_the_lease_of_a_dead_process_is_taken_at_once(folder, storage):
    code = (
        "import pathlib, os; from orchestrator.store import leases;"
        "from orchestrator.store.storage.folder import FolderStorage;"
        f" storage = FolderStorage(pathlib.Path({str(folder.parent)!r}));"
        f" leases.acquire(storage, {KEY!r}, 'x'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert json.loads((folder / f"{KEY}.json").read_text())["run"] == "x"
    assert leases.find_held_keys(storage) == frozenset()
    with leases.hold(storage, KEY, "a") as mine:
        assert mine is not None


def test_a_reused_process_id_is_not_the_holder(folder, storage):
    foreign(folder, age=0, host=leases.identify_host())
    change(storage, pid=os.getpid(), started="long ago")
    assert not leases.is_held(storage, KEY)


def test_a_process_that_does_not_show_itself_counts_by_age(folder, storage, monkeypatch):
    def hidden(pid):
        raise PermissionError(pid)

    monkeypatch.setattr(leases, "find_process_start", hidden)
    foreign(folder, age=0, host=leases.identify_host())
    assert leases.is_held(storage, KEY)
    foreign(folder, age=100, host=leases.identify_host())
    assert not leases.is_held(storage, KEY)


def test_looking_writes_nothing(folder, storage, monkeypatch):
    foreign(folder, age=0)

    def refused(*arguments, **options):
        raise AssertionError("something was written")

    for name in ("touch", "open", "write_bytes", "unlink"):
        monkeypatch.setattr(Path, name, refused)
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: os.read(os.open(path, os.O_RDONLY), 10_000)
    )
    assert leases.find_held_keys(storage) == {KEY}


@pytest.mark.parametrize(
    ("age", "held"), [(0, True), (10, True), (40, False), (3600, False), (-3600, False)]
)
def test_another_machine_s_lease_holds_while_it_is_touched(folder, storage, age, held):
    foreign(folder, age=age)
    assert leases.is_held(storage, KEY) is held
    assert leases.find_held_keys(storage) == ({KEY} if held else set())
    with leases.hold(storage, KEY, "a", watch=0.01) as mine:
        assert (mine is None) is held
    assert [p for p in folder.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    "content", ["{", "[]", "[" * 100_000, '{"host": {}, "pid": "x"}', '{"pid": Infinity}']
)
def test_a_damaged_lease_counts_by_its_age(folder, storage, content):
    path = foreign(folder, age=0)
    path.write_text(content)
    assert leases.is_held(storage, KEY)
    then = time.time() - 60
    os.utime(path, (then, then))
    with leases.hold(storage, KEY, "a", watch=0.01) as mine:
        assert mine is not None


def test_the_heartbeat_touches(folder, storage):
    path = folder / f"{KEY}.json"
    with leases.hold(storage, KEY, "a", heartbeat=0.02):
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < 10


def test_a_lost_lease_is_noticed_and_left_to_its_new_holder(folder, storage):
    with leases.hold(storage, KEY, "a", heartbeat=0.02) as mine:
        path = foreign(folder, age=0)
        assert mine.lost.wait(5)
    assert json.loads(path.read_text())["token"] == "theirs"


def test_one_of_many_takes_a_stale_lease_over(folder, storage):
    for _ in range(10):
        foreign(folder, age=100)
        with ThreadPoolExecutor(8) as pool:
            taken = list(
                pool.map(lambda i: leases.acquire(storage, KEY, str(i), watch=0.01), range(8))
            )
        (winner,) = [lease for lease in taken if lease is not None]
        winner.release()
        assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_a_store_error(folder, storage):
    folder.parent.mkdir()
    folder.write_text("a file")
    with pytest.raises(StoreError), leases.hold(storage, KEY, "a"):
        pass


def test_a_takeover_that_was_killed_half_way_is_repeated(folder, storage, monkeypatch):
    foreign(folder, age=100)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FolderStorage, "put", killed)
        patch.setattr(FolderStorage, "remove", lambda storage, *names: None)
        with pytest.raises(KeyboardInterrupt):
            leases.acquire(storage, KEY, "a", watch=0.01)
    (right,) = [path for path in folder.iterdir() if path.name.startswith(f".{KEY}.json.")]
    assert leases.acquire(storage, KEY, "a", watch=0.01) is None  # somebody may be at it
    os.utime(right, (1, 1))
    assert leases.acquire(storage, KEY, "a", watch=0.01) is None  # clears what the killed one left
    assert leases.acquire(storage, KEY, "a", watch=0.01) is not None


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_moved_by_an_hour_takes_no_lease_from_a_holder_that_lives(
    folder, storage, monkeypatch, hours
):
    with leases.hold(storage, KEY, "theirs", heartbeat=0.02) as theirs:
        change(storage, host="another machine")
        monkeypatch.setattr(
            FolderStorage, "now", lambda storage, folder: time.time() + hours * 3600
        )
        assert not leases.is_held(storage, KEY)  # by the clock
        assert leases.acquire(storage, KEY, "a", watch=1.0) is None
        time.sleep(0.1)
        assert not theirs.lost.is_set()
    foreign(folder, age=0)
    assert leases.acquire(storage, KEY, "a", watch=0.1) is not None
