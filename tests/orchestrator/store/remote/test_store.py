import hashlib
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pandas as pd
import pyarrow.dataset
import pytest

from distill_core.settings import DatasetRef
from orchestrator.errors import StoreError
from orchestrator.store import leases, tables
from orchestrator.store.cleanup import clean_up
from orchestrator.store.integrity import intact_folder
from orchestrator.store.open import open_store
from orchestrator.store.remote.names import done_name
from orchestrator.store.remote.objects import Remote
from orchestrator.store.remote.store import RemoteStore
from orchestrator.units import Select

KEY = "0123456789abcdef"


@pytest.fixture
def machine(s3_url, tmp_path):
    """Make stores with local copies of their own, as on machines that share no disk."""
    return lambda name: RemoteStore(tmp_path / name, Remote.connect(s3_url))


@pytest.fixture
def store(machine):
    return machine("here")


def a_unit(seed=0):
    return Select(
        dataset=DatasetRef(name="digits"), protocol="paper", method="random", ipc=1, seed=seed
    )


def commit(store, unit, content="pixels", run="a"):
    with store.scratch(unit) as workdir:
        (workdir / "sub").mkdir()
        (workdir / "sub" / "set.txt").write_text(content)
        rows = [{"key": unit.key, "kind": unit.kind, "run": run, "method": content}]
        return store.commit(unit, workdir, rows, run=run, finished="2025-01-01T00:00:00+00:00")


def rows(store, table="distillations"):
    return store.read(table).to_pylist()


def attempts(store):
    """The attempts of which anything is there."""
    return {
        f"units/{name.rsplit('/', 1)[0]}"
        for name in store.remote.entries("units")
        if name.count("/") == 3
    }


def test_a_unit_is_read_on_another_machine_as_it_was_written(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    assert not here.exists() and not here.is_done(unit) and here.done_keys() == frozenset()
    with pytest.raises(StoreError, match="is not done in s3://"):
        here.folder_of(unit.key)
    assert commit(here, unit)
    assert there.exists() and there.is_done(unit) and there.done_keys() == {unit.key}
    assert (
        there.spec_of(unit.key) == unit and not there.root.joinpath("units").exists()
    )  # no artefact was fetched
    folder = intact_folder(there, unit.key)
    assert (
        folder.is_relative_to(there.root) and (folder / "sub" / "set.txt").read_text() == "pixels"
    )
    assert intact_folder(here, unit.key).is_relative_to(here.root)
    assert [row["method"] for row in rows(there)] == ["pixels"]
    assert not list(here.root.glob("units/*/.*"))


def test_a_unit_is_fetched_once_and_again_if_the_copy_is_damaged(machine, monkeypatch):
    here, there, unit = machine("here"), machine("there"), a_unit()
    commit(here, unit)
    fetched = []
    fetch = RemoteStore.fetch
    monkeypatch.setattr(
        RemoteStore, "fetch", lambda *given: fetched.append(given[2]) or fetch(*given)
    )
    for _ in range(2):
        file = intact_folder(there, unit.key) / "sub" / "set.txt"
    intact_folder(here, unit.key)
    assert fetched == [unit.key]
    file.write_text("other")
    assert (intact_folder(there, unit.key) / "sub" / "set.txt").read_text() == "pixels" and len(
        fetched
    ) == 2


def test_a_damaged_object_is_refused(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    commit(here, unit)
    attempt = here.done_record(unit.key)["attempt"]
    here.remote.put(f"{attempt}/sub/set.txt", b"other")
    with pytest.raises(
        StoreError, match=r"set\.txt is not what was written .* iid verify --repair --store s3://"
    ):
        intact_folder(there, unit.key)
    assert not list(there.root.glob("units/*/*"))


@pytest.mark.parametrize(
    "damage", [b"{half", b"{}", b'{"attempt": "units/select/../../x"}', b"\xff"]
)
def test_a_damaged_mark_is_refused(store, damage):
    unit = a_unit()
    commit(store, unit)
    store.remote.put(done_name(unit.kind, unit.key), damage)
    with pytest.raises(StoreError, match="is damaged"):
        store.folder_of(unit.key)


def test_a_mark_that_names_files_elsewhere_writes_nothing_there(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    commit(here, unit)
    record = here.done_record(unit.key)
    here.remote.put(
        done_name(unit.kind, unit.key),
        json.dumps(record | {"sha256": {"../../../escaped": "0"}}).encode(),
    )
    with pytest.raises(StoreError, match="is damaged"):
        there.folder_of(unit.key)


def test_of_two_that_finish_the_same_unit_the_first_wins(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    with here.scratch(unit) as mine, there.scratch(unit) as theirs:
        for place, content in ((mine, "mine"), (theirs, "theirs")):
            (place / "set.txt").write_text(content)
        row = {"key": unit.key, "kind": unit.kind}
        assert there.commit(unit, theirs, [row | {"method": "theirs"}], run="b", finished="2025")
        assert not here.commit(unit, mine, [row | {"method": "mine"}], run="a", finished="2025")
    for store in (here, there):
        assert (intact_folder(store, unit.key) / "set.txt").read_text() == "theirs"
        assert [row["method"] for row in rows(store)] == ["theirs"]
    record = here.done_record(unit.key)
    names = [name for name in here.remote.entries("units") if not name.endswith("/DONE")]
    assert {f"units/{name}" for name in names} == {
        f"{record['attempt']}/{name}" for name in record["sha256"]
    }
    written = here.remote.get(f"{record['attempt']}/set.txt")
    assert (
        record["run"] == "b" and hashlib.sha256(written).hexdigest() == record["sha256"]["set.txt"]
    )


def test_of_many_that_finish_the_same_unit_at_once_one_wins(machine):
    unit = a_unit()
    with ThreadPoolExecutor(6) as pool:
        won = list(
            pool.map(
                lambda number: commit(machine(f"m{number}"), unit, f"{number}", run=f"{number}"),
                range(6),
            )
        )
    assert won.count(True) == 1
    winner, fresh = str(won.index(True)), machine("fresh")
    assert (intact_folder(fresh, unit.key) / "sub" / "set.txt").read_text() == winner
    assert [row["method"] for row in rows(fresh)] == [winner]
    assert len(attempts(fresh)) == 1


def test_rows_that_a_killed_process_did_not_publish_are_published(machine, monkeypatch):
    here, there, unit = machine("here"), machine("there"), a_unit()
    put = Remote.put

    def killed(remote, name, data):
        if name.startswith("tables/distillations/"):
            raise KeyboardInterrupt
        put(remote, name, data)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Remote, "put", killed)
        commit(here, unit)
    assert there.is_done(unit) and rows(there) == []
    assert there.publish_missing_rows([unit]) == 1 and there.publish_missing_rows([unit]) == 0
    assert [row["method"] for row in rows(there)] == ["pixels"] and not there.root.joinpath(
        "units"
    ).exists()
    others = [a_unit(seed) for seed in range(1, 3)]
    for other in others:
        commit(here, other)
    there.remote.remove(f"tables/distillations/{others[0].key}.parquet")
    monkeypatch.setattr("orchestrator.store.remote.store.FEW", 1)  # by a listing
    assert there.publish_missing_rows([unit, *others]) == 1 and len(rows(there)) == 3


def test_a_process_killed_before_its_mark_leaves_nothing_that_counts(machine, monkeypatch):
    here, there, unit = machine("here"), machine("there"), a_unit()

    def killed(remote, name, data):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Remote, "create", killed)
        commit(here, unit)
    assert here.remote.entries("units") and not there.is_done(unit)
    clean_up(there, there.done_keys())
    assert here.remote.entries("units")  # it might be about to win
    assert commit(there, unit, "again")
    assert attempts(here) == {there.done_record(unit.key)["attempt"]}


def test_other_tools_read_the_tables_where_they_are(store, s3_server):
    for seed in range(2):
        commit(store, a_unit(seed), str(seed))
    place = f"{store.address}/tables/distillations"
    path = place.removeprefix("s3://")
    assert sorted(pd.read_parquet(f"{place}/")["method"]) == ["0", "1"]
    data = pyarrow.dataset.dataset(path, filesystem=store.remote.fs, format="parquet").to_table()
    assert sorted(data["method"].to_pylist()) == ["0", "1"]
    database = duckdb.connect()
    database.register_filesystem(store.remote.fs)
    found = database.execute(
        f"select method from read_parquet('{place}/*.parquet') order by 1"
    ).fetchall()
    assert found == [("0",), ("1",)]


def test_tables_are_brought_up_to_date_by_what_changed(machine, monkeypatch):
    here, there = machine("here"), machine("there")
    fetched = []
    get_many = Remote.get_many

    def counting(remote, names):
        names = list(names)
        fetched.append(len(names))
        return get_many(remote, names)

    monkeypatch.setattr(Remote, "get_many", counting)
    for seed in range(3):
        commit(here, a_unit(seed), str(seed))
    assert len(rows(there)) == 3 and len(rows(there)) == 3
    assert [row["method"] for row in there.read("distillations", [a_unit(1).key]).to_pylist()] == [
        "1"
    ]
    here.remote.remove(f"tables/distillations/{a_unit(0).key}.parquet")
    here.write_rows("distillations", a_unit(1).key, [{"key": a_unit(1).key, "method": "changed"}])
    assert sorted(row["method"] for row in rows(there)) == ["2", "changed"]
    assert fetched == [3, 0, 0, 1]


def test_files_of_a_process_that_was_killed_before_it_wrote_the_index_go_too(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    commit(here, unit)
    assert len(rows(there)) == 1
    (there.tables / "distillations" / ".index.json").unlink()
    here.remote.remove(f"tables/distillations/{unit.key}.parquet")
    assert rows(there) == []


def test_a_checkpoint_that_the_store_no_longer_has_is_not_gone_on_with(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    here.save_checkpoint(unit, lambda path: path.write_text("half"))
    assert here.load_checkpoint(unit) is not None
    commit(there, unit)
    assert here.load_checkpoint(unit) is None
    clean_up(here, here.done_keys())
    assert not here.checkpoint_folder(unit).exists()


def test_a_failure_is_noted_and_cleared(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    here.record_failure({"key": unit.key, "kind": unit.kind, "reason": "why"})
    assert [row["reason"] for row in rows(there, "failures")] == ["why"]
    commit(here, unit)
    assert rows(there, "failures") == []


def test_a_checkpoint_travels(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    assert there.load_checkpoint(unit) is None
    here.save_checkpoint(unit, lambda path: path.write_text("step 1"))
    assert there.load_checkpoint(unit).read_text() == "step 1"
    there.save_checkpoint(unit, lambda path: path.write_text("step 2"))
    assert here.load_checkpoint(unit).read_text() == "step 2"  # though an older one lies here
    assert len(here.remote.entries("checkpoints")) == 1
    commit(here, unit)
    assert here.remote.entries("checkpoints") == {} and here.load_checkpoint(unit) is None


def test_a_damaged_checkpoint_is_left_out(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    here.save_checkpoint(unit, lambda path: path.write_text("step 1"))
    (name,) = here.remote.entries("checkpoints")
    here.remote.put(f"checkpoints/{name}", b"st")
    with pytest.warns(UserWarning, match=r"\.checkpoint is damaged"):
        assert there.load_checkpoint(unit) is None


def test_other_images_of_the_same_name_are_refused(machine):
    here, there, dataset = machine("here"), machine("there"), DatasetRef(name="a/b")
    here.check_fingerprint(dataset, "one")
    there.check_fingerprint(dataset, "one")
    with pytest.raises(StoreError, match=r"two here, one there, see s3://.*datasets/a%2Fb@1\.json"):
        there.check_fingerprint(dataset, "two")


def test_launches_are_known_on_other_machines(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    here.write_run("b", {"space": "s", "started": "2"}, {unit.key: unit})
    here.write_run("a", {"space": "s", "started": "3"}, {unit.key: unit})
    here.remote.put("runs/c.json", b"{half")
    records = there.runs()
    assert [record["run"] for record in records] == ["b", "a"] and list(
        there.planned(records[0])
    ) == [unit.key]


def test_the_sign_to_stop_is_seen_on_other_machines(machine, monkeypatch):
    monkeypatch.setattr("orchestrator.store.stop_signal.LOOK_SECONDS", 0.02)
    here, there = machine("here").stop_signal("run"), machine("there").stop_signal("run")
    assert not there.is_set()
    with there.watched() as is_set:
        assert not is_set()
        here.set()
        deadline = time.monotonic() + 10
        while not is_set() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_set()
    here.clear()
    assert not there.is_set()


def test_a_marker_is_seen_from_other_machines(machine):
    here, there = machine("here"), machine("there")
    with here.marker() as marker:
        assert there.sees(marker)
    assert not there.sees(marker) and here.remote.entries() == {}


def test_a_storage_that_replaces_what_was_created_is_refused(store, monkeypatch):
    store.check_writable()
    monkeypatch.setattr(Remote, "create", lambda remote, name, data: remote.put(name, data) or True)
    with pytest.raises(StoreError, match="lets a second writer replace what the first has created"):
        store.check_writable()
    assert store.remote.entries() == {}


# Leases


def hold(store, run, **options):
    return leases.hold(store.lease_storage, KEY, run, **options)


def test_a_lease_is_held_by_one_machine(machine):
    here, there = machine("here"), machine("there")
    with hold(here, "a") as mine:
        assert (
            mine is not None
            and leases.held_keys(there.lease_storage) == {KEY}
            and leases.is_held(there.lease_storage, KEY)
        )
        with hold(there, "b") as theirs:
            assert theirs is None
    assert here.remote.entries("leases") == {} and not leases.is_held(there.lease_storage, KEY)


def test_of_many_that_want_a_lease_one_gets_it(machine):
    def take(number):
        return leases.acquire(machine(f"m{number}").lease_storage, KEY, f"run {number}")

    with ThreadPoolExecutor(6) as pool:
        assert sum(lease is not None for lease in pool.map(take, range(6))) == 1


def foreign(store, **more):
    """Make the lease another machine's, which cannot be looked into."""
    record = json.loads(store.remote.get(f"leases/{KEY}.json")) | {"host": "another machine"} | more
    store.remote.put(f"leases/{KEY}.json", json.dumps(record).encode())


def test_the_lease_of_a_killed_holder_is_taken_over_by_one(machine):
    here = machine("here")
    leases.acquire(here.lease_storage, KEY, "killed")
    foreign(here)
    assert leases.acquire(here.lease_storage, KEY, "b") is None  # it is young

    def take(number):
        return leases.acquire(
            machine(f"m{number}").lease_storage, KEY, f"run {number}", stale=0.0, watch=0.4
        )

    with ThreadPoolExecutor(4) as pool:
        taken = [lease for lease in pool.map(take, range(4)) if lease is not None]
    assert len(taken) == 1
    holder = json.loads(here.remote.get(f"leases/{KEY}.json"))
    assert holder["token"] == taken[0].token and list(here.remote.entries("leases")) == [
        f"{KEY}.json"
    ]


def test_a_holder_that_lives_keeps_its_lease_whatever_the_clocks_say(machine, monkeypatch):
    here, there = machine("here"), machine("there")
    with hold(here, "theirs", heartbeat=0.05) as theirs:
        foreign(here)
        monkeypatch.setattr(Remote, "now", lambda remote, folder: time.time() + 3600)
        monkeypatch.setattr(leases, "host_identity", lambda: "another machine's neighbour")
        assert leases.acquire(there.lease_storage, KEY, "a", watch=2.0) is None
        assert not theirs.lost.is_set()


def test_the_lease_of_a_process_that_is_gone_is_taken_at_once(machine):
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    here = machine("here")
    leases.acquire(here.lease_storage, KEY, "killed")
    record = json.loads(here.remote.get(f"leases/{KEY}.json")) | {"pid": child}
    here.remote.put(f"leases/{KEY}.json", json.dumps(record).encode())
    assert leases.acquire(here.lease_storage, KEY, "b") is not None


def test_a_lost_lease_is_noticed(machine):
    here, there = machine("here"), machine("there")
    first = leases.acquire(here.lease_storage, KEY, "a")
    second = leases.acquire(there.lease_storage, KEY, "a")  # by the same launch
    first.touch()
    assert first.lost.is_set()
    first.release()
    second.touch()
    assert not second.lost.is_set() and here.remote.entries("leases")


# Sweeping, opening


def test_leftovers_are_swept(store, machine):
    done, waiting = a_unit(0), a_unit(1)
    commit(store, done)
    fresh = a_unit(2)
    commit(store, fresh)
    store.remote.put(f"checkpoints/{done.kind}/{done.key}/x.checkpoint", b"")
    store.remote.put(f"leases/{fresh.key}.json", b"{}")
    store.record_failure({"key": done.key, "kind": done.kind})
    store.remote.put(f"units/{done.kind}/{done.key}/0123/set.txt", b"lost")
    store.save_checkpoint(waiting, lambda path: path.write_text("kept"))
    before = store.remote.entries()
    with leases.hold(store.lease_storage, waiting.key, "r"):
        clean_up(store, store.done_keys())
        kept = set(store.remote.entries())
    assert kept - set(before) == {f"leases/{waiting.key}.json"}
    assert {name.split("/")[0] for name in set(before) - kept} == {"units", "checkpoints", "tables"}
    assert f"leases/{fresh.key}.json" in kept  # too young to be given up: its holder cannot be seen
    assert store.load_checkpoint(waiting).read_text() == "kept" and intact_folder(
        machine("there"), done.key
    )


def test_an_address_opens_the_store_it_names(tmp_path, s3_url, monkeypatch):
    assert (
        open_store(tmp_path / "a").root == tmp_path / "a" == open_store(f"file://{tmp_path}/a").root
    )
    opened = open_store(f"{s3_url}/")
    assert opened.address == s3_url == str(opened) and opened.resolved() is opened
    assert opened.root.parent == tmp_path / "copies" and open_store(s3_url) == opened
    monkeypatch.delenv("IID_STORE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert open_store(s3_url).root.parent == tmp_path / "cache" / "iid-orchestrator" / "stores"
    assert tables.SCHEMAS.keys() >= {"distillations"}
