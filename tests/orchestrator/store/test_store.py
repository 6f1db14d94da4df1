import errno
import hashlib
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pandas as pd
import pyarrow.dataset
import pytest

from distill_core.paths import PathError
from distill_core.settings import DatasetRef
from orchestrator.errors import StoreError, TableError
from orchestrator.store import atomic_files, tables
from orchestrator.store.cleanup import clean_up
from orchestrator.store.open import open_store
from orchestrator.store.storage.folder import FolderStorage
from orchestrator.store.storage.names import DONE
from orchestrator.store.storage.object_storage import ObjectStorage
from orchestrator.store.store import Store
from orchestrator.units import Select, from_json, to_json

FINISHED = "2025-01-31T12:00:00+00:00"


def a_unit(seed=0):
    return Select(
        dataset=DatasetRef(name="digits"), protocol="paper", method="random", ipc=1, seed=seed
    )


def a_row(unit, **columns):
    return {"key": unit.key, "kind": unit.kind, "spec": to_json(unit), **columns}


def commit(store, unit, content="set", run="run"):
    with store.scratch(unit) as workdir:
        (workdir / "sub").mkdir()
        (workdir / "sub" / "set.txt").write_text(content)
        rows = [a_row(unit, run=run, method=content)]
        return store.commit(unit, workdir, rows, run=run, finished=FINISHED)


def rows(store, table="distillations", keys=None):
    return store.read(table, keys).to_pylist()


def files_of(store, unit):
    """Names of everything that the store has of a unit's attempts, but DONE."""
    names = store.storage.entries(f"units/{unit.kind}/{unit.key}")
    return {name.rpartition("/")[0] for name in names if name.endswith("set.txt")}


@pytest.fixture
def store(tmp_path):
    """A store in a folder."""
    return open_store(tmp_path / "store")


@pytest.fixture(params=["folder", "s3"])
def machine(request, store, tmp_path):
    """Make stores as on several machines: one folder that all see, or copies of one URL."""
    if request.param == "folder":
        return lambda name: store
    url = request.getfixturevalue("s3_url")
    return lambda name: Store(ObjectStorage.connect(url, tmp_path / name))


@pytest.fixture
def remote_machine(s3_url, tmp_path):
    return lambda name: Store(ObjectStorage.connect(s3_url, tmp_path / name))


# Wherever the store is kept


def test_a_committed_unit_is_read_on_another_machine_as_it_was_written(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    assert not here.exists() and not here.is_done(unit) and here.find_done_keys() == frozenset()
    with pytest.raises(StoreError, match="is not done in "):
        here.fetch_folder(unit.key)
    assert commit(here, unit)
    assert there.exists() and there.is_done(unit) and there.find_done_keys() == {unit.key}
    assert there.read_unit(unit.key) == unit
    folder = there.fetch_intact_folder(unit.key)
    assert folder.is_relative_to(there.root)
    assert (folder / "sub" / "set.txt").read_text() == "set"
    assert there.find_artifact(unit, "sub/set.txt") == folder / "sub" / "set.txt"
    assert (
        there.find_artifact(unit, "none") is None
        and there.find_artifact(a_unit(1), "set.txt") is None
    )
    record = json.loads((folder / DONE).read_text())
    assert record == there.read_done_record(unit.key)
    assert record["sha256"] == {
        name: atomic_files.sha256(folder / name)
        for name in ("rows.parquet", "spec.json", "sub/set.txt")
    }
    assert (record["run"], record["finished"], record["rows"]) == ("run", FINISHED, 1)
    assert [row["key"] for row in rows(there)] == [unit.key]
    assert here.fetch_intact_folder(unit.key).is_relative_to(here.root)
    assert not list(here.root.glob("units/*/.*"))  # no scratch is left


def test_of_two_that_finish_the_same_unit_the_first_wins(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    with here.scratch(unit) as slow:
        (slow / "set.txt").write_text("slow")
        fast = there.locate_unit(unit.kind, unit.key).with_name(".elsewhere")
        fast.mkdir(parents=True)
        (fast / "set.txt").write_text("fast")
        assert there.commit(unit, fast, [a_row(unit, run="fast")], run="fast", finished=FINISHED)
        slow_rows = [a_row(unit, run="slow")]
        assert not here.commit(unit, slow, slow_rows, run="slow", finished=FINISHED)
    for store in (here, there):
        assert (store.fetch_intact_folder(unit.key) / "set.txt").read_text() == "fast"
        assert [row["run"] for row in rows(store)] == ["fast"]
        assert store.read_done_record(unit.key)["run"] == "fast"
    assert len(files_of(here, unit)) == 1


def test_of_many_that_finish_the_same_unit_at_once_one_wins(machine):
    unit, stores = a_unit(), [machine(f"m{number}") for number in range(6)]

    def finish(number):
        store = stores[number]
        workdir = store.locate_unit(unit.kind, unit.key).with_name(f".{number}")
        workdir.mkdir(parents=True)
        (workdir / "set.txt").write_text(str(number))
        found = [a_row(unit, run=str(number))]
        return store.commit(unit, workdir, found, run=str(number), finished=FINISHED)

    with ThreadPoolExecutor(6) as pool:
        firsts = list(pool.map(finish, range(6)))
    assert sum(firsts) == 1
    winner, fresh = str(firsts.index(True)), machine("fresh")
    assert (fresh.fetch_intact_folder(unit.key) / "set.txt").read_text() == winner
    assert fresh.read_done_record(unit.key)["run"] == winner
    assert [row["run"] for row in rows(fresh)] == [winner]
    assert len(files_of(fresh, unit)) == 1


def test_nothing_appears_before_the_commit(machine):
    store, unit = machine("here"), a_unit()
    with pytest.raises(ZeroDivisionError), store.scratch(unit) as workdir:
        (workdir / "set.txt").write_text("x")
        raise ZeroDivisionError
    with pytest.raises(TableError, match="color"), store.scratch(unit) as workdir:
        store.commit(unit, workdir, [a_row(unit, color="red")], run="run", finished=FINISHED)
    assert not list(store.locate_unit(unit.kind, unit.key).parent.iterdir())
    assert rows(store) == [] and store.storage.entries("units") == {}


def test_rows_appear_after_the_unit_and_not_before(machine, monkeypatch, caplog):
    here, there, unit = machine("here"), machine("there"), a_unit()

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("orchestrator.store.storage.folder.rename_unless_complete", killed)
        patch.setattr(ObjectStorage, "create", killed)
        commit(here, unit)
    assert rows(there) == [] and not there.is_done(unit)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Store, "_publish_rows", killed)
        commit(here, unit)
    assert rows(there) == [] and there.is_done(unit)
    assert there.publish_missing_rows([unit]) == 1 and there.publish_missing_rows([unit]) == 0
    assert [row["method"] for row in rows(there)] == ["set"]
    assert f"rows of select {unit.key} were in no table: published again" in caplog.text


@pytest.mark.parametrize("few", [0, 16], ids=["by a listing", "one by one"])
def test_lost_table_files_come_back(machine, monkeypatch, few):
    monkeypatch.setattr("orchestrator.store.store.MAX_SINGLE_LOOKUPS", few)
    here, there, units = machine("here"), machine("there"), [a_unit(seed) for seed in range(3)]
    for unit in units:
        commit(here, unit)
    here.storage.remove(f"tables/distillations/{units[1].key}.parquet")
    assert rows(there, keys=[units[1].key]) == []
    assert there.publish_missing_rows(iter(units)) == 1
    assert [row["key"] for row in rows(there, keys=[units[1].key])] == [units[1].key]


def test_a_failure_is_replaced_and_cleared_by_success(machine):
    here, there, unit = machine("here"), machine("there"), a_unit()
    for reason in ("first", "second"):
        here.record_failure({"key": unit.key, "kind": unit.kind, "reason": reason})
    assert [row["reason"] for row in rows(there, "failures")] == ["second"]
    commit(there, unit)
    assert rows(here, "failures") == []


def test_the_names_of_classes_are_remembered_and_may_change(tmp_path):
    store, bees = open_store(tmp_path), DatasetRef(name="bees")
    assert store.read_class_names(bees, "aa") is None
    store.check_fingerprint(bees, "aa")  # as version 0.1.0 did
    assert store.read_class_names(bees, "aa") is None
    store.check_fingerprint(bees, "aa", ("bee", "wasp"))
    store.check_fingerprint(bees, "aa", ("beetle", "wasp"))
    assert store.read_class_names(bees, "aa") == ["bee", "wasp"]
    with pytest.raises(StoreError, match="other images"):
        store.read_class_names(bees, "bb")


def test_other_images_under_a_name_are_refused(machine):
    here, there, digits = machine("here"), machine("there"), DatasetRef(name="my/digits")
    here.check_fingerprint(digits, "aa")
    there.check_fingerprint(digits, "aa")
    there.check_fingerprint(DatasetRef(name="my/digits", version=2), "bb")
    there.check_fingerprint(DatasetRef(name="my/digits", image_size=16), "cc")
    where = r"bb here, aa there, see .*datasets/my%2Fdigits@1\.json"
    with pytest.raises(StoreError, match=rf"my/digits.*{where}.*new version"):
        there.check_fingerprint(digits, "bb")


def test_runs_come_oldest_first_without_damaged_ones(machine, caplog):
    here, there, unit = machine("here"), machine("there"), a_unit()
    here.write_run("b", {"space": "s", "started": "2025-01-02"}, {unit.key: unit})
    here.write_run("a", {"space": "s", "started": "2025-01-03"}, {unit.key: unit})
    for name, damage in enumerate(DAMAGED_RECORDS):
        here.storage.put(f"runs/c{name}.json", damage.encode())
    records = there.read_runs()
    assert [record["run"] for record in records] == ["b", "a"]
    assert list(there.read_plan(records[0])) == [unit.key]
    assert caplog.text.count("the record of a launch is skipped") == len(DAMAGED_RECORDS)


DAMAGED_RECORDS = [
    "{half",
    "5",
    "[]",
    "[[1, 2]]",
    "{}",
    "[" * 100_000,
    "\xff",
    '{"run": {}, "space": "s", "started": "2", "plan": "p"}',
    '{"run": "r", "space": [], "started": "2", "plan": "p"}',
    '{"run": "r", "space": "s", "started": 2, "plan": "p"}',
    '{"run": "r", "space": "s", "started": "2", "units": 5}',
]


def test_equal_plans_are_written_once_in_their_order(machine):
    store, units = machine("here"), {unit.key: unit for unit in map(a_unit, range(3))}
    for run in ("a", "b"):
        store.write_run(run, {"space": "s", "started": run}, units)
    store.write_run("c", {"space": "s", "started": "c"}, dict(list(units.items())[:1]))
    assert len(store.storage.entries("plans")) == 2
    first, second, third = store.read_runs()
    assert list(store.read_plan(first)) == list(units)
    assert store.read_plan(second) == store.read_plan(first)
    assert {
        key: from_json(json.dumps(fields)) for key, fields in store.read_plan(third).items()
    } == {key: units[key] for key in list(units)[:1]}


def test_a_damaged_spec_is_named(machine):
    store, unit = machine("here"), a_unit()
    commit(store, unit)
    folder = f"units/{unit.kind}/{unit.key}"
    record = store.read_done_record(unit.key)
    name = f"{store.storage.locate_contents(folder, record)}/spec.json"
    for damage in (b"{}", b"5", b'{"kind": "select", "seed": {}}', b'{"kind": []}', b"\xff"):
        store.storage.put(name, damage)
        with pytest.raises(StoreError, match=r"spec\.json is damaged"):
            store.read_unit(unit.key)
        record["sha256"]["spec.json"] = hashlib.sha256(damage).hexdigest()
        store.storage.put(f"{folder}/{DONE}", json.dumps(record).encode())
        with pytest.raises(StoreError, match=r"spec\.json is damaged"):
            store.read_unit(unit.key)


def test_a_marker_is_seen_from_other_machines(machine):
    here, there = machine("here"), machine("there")
    with here.place_marker() as marker:
        assert there.sees(marker)
    assert not there.sees(marker) and here.storage.entries("") == {}


def test_a_storage_that_replaces_what_was_created_is_refused(machine, monkeypatch):
    store = machine("here")
    store.check_writable()

    def create(storage, name, data):
        storage.put(name, data)
        return True

    monkeypatch.setattr(type(store.storage), "create", create)
    with pytest.raises(StoreError, match="lets a second writer replace what the first has created"):
        store.check_writable()
    assert store.storage.entries("") == {}


# A folder


def test_what_a_kill_leaves_behind_is_recomputed(store):
    unit = a_unit()
    place = store.locate_unit(unit.kind, unit.key)
    (place / "sub").mkdir(parents=True)
    (place / "sub" / "set.txt").write_text("half")  # a folder without DONE is nothing
    left = place.with_name(f".{unit.key}.abandoned")
    left.mkdir()
    assert store.find_done_keys() == frozenset()
    with pytest.raises(StoreError, match=unit.key):
        store.fetch_folder(unit.key)
    assert commit(store, unit, "whole")
    assert (place / "sub" / "set.txt").read_text() == "whole" and not left.exists()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "cannot be used"),
        (errno.EIO, "check the disk"),
    ],
)
def test_errors_of_the_file_system_say_what_to_do(store, monkeypatch, number, remedy):
    def broken(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StoreError, match=remedy):
        store.check_writable()
    with pytest.raises(StoreError, match=remedy):
        commit(store, a_unit())
    monkeypatch.undo()
    assert store.find_done_keys() == frozenset() and commit(store, a_unit())


def test_a_file_in_the_store_s_place_is_refused(tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(PathError, match=r"--store: .* is a file, not a folder"):
        open_store(tmp_path / "store").check_writable()


def test_units_are_listed_without_reading_a_file(store, monkeypatch):
    folder = store.root / "units" / "select"
    for i in range(100):
        (folder / f"{i:016x}").mkdir(parents=True)
        (folder / f"{i:016x}" / DONE).touch()

    def refused(*arguments, **options):
        raise AssertionError("a file was read")

    monkeypatch.setattr(io, "open", refused)
    monkeypatch.setattr(os, "open", refused)
    monkeypatch.setattr("builtins.open", refused)
    assert len(store.find_done_keys()) == 100


def test_a_store_that_cannot_be_looked_into_says_so(store, monkeypatch):
    def hidden(path, *arguments, **options):
        raise PermissionError(errno.EACCES, "hidden", str(path))

    monkeypatch.setattr(type(store.root), "stat", hidden)
    for look in (store.is_done, lambda unit: store.fetch_folder(unit.key)):
        with pytest.raises(StoreError, match="permissions"):
            look(a_unit())


# Objects behind a URL


def test_a_unit_is_fetched_once_and_again_if_the_copy_is_damaged(remote_machine, monkeypatch):
    here, there, unit = remote_machine("here"), remote_machine("there"), a_unit()
    commit(here, unit)
    there.read_unit(unit.key)
    assert not (there.root / "units").exists()  # no artifact is fetched for that
    fetched = []
    fetch = ObjectStorage._fetch_attempt
    monkeypatch.setattr(
        ObjectStorage, "_fetch_attempt", lambda *given: fetched.append(given[1]) or fetch(*given)
    )
    for _ in range(2):
        file = there.fetch_intact_folder(unit.key) / "sub" / "set.txt"
    here.fetch_intact_folder(unit.key)
    attempt = here.read_done_record(unit.key)["attempt"]
    assert fetched == [attempt]
    file.write_text("other")
    assert (there.fetch_intact_folder(unit.key) / "sub" / "set.txt").read_text() == "set"
    assert fetched == [attempt] * 2


def test_a_damaged_object_is_refused(remote_machine):
    here, there, unit = remote_machine("here"), remote_machine("there"), a_unit()
    commit(here, unit)
    attempt = here.read_done_record(unit.key)["attempt"]
    here.storage.put(f"{attempt}/sub/set.txt", b"other")
    with pytest.raises(
        StoreError, match=r"set\.txt is not what was written .* iid verify --repair --store s3://"
    ):
        there.fetch_intact_folder(unit.key)
    assert not list(there.root.glob("units/*/*"))


@pytest.mark.parametrize(
    "damage", [b"{half", b"{}", b'{"attempt": "units/select/../../x"}', b"\xff"]
)
def test_a_damaged_mark_is_refused(remote_machine, damage):
    store, unit = remote_machine("here"), a_unit()
    commit(store, unit)
    store.storage.put(f"units/{unit.kind}/{unit.key}/{DONE}", damage)
    with pytest.raises(StoreError, match="is damaged"):
        store.fetch_folder(unit.key)


def test_a_mark_that_names_files_elsewhere_writes_nothing_there(remote_machine):
    here, there, unit = remote_machine("here"), remote_machine("there"), a_unit()
    commit(here, unit)
    record = here.read_done_record(unit.key) | {"sha256": {"../../../escaped": "0"}}
    mark = f"units/{unit.kind}/{unit.key}/{DONE}"
    here.storage.put(mark, json.dumps(record).encode())
    with pytest.raises(StoreError, match="is damaged"):
        there.fetch_folder(unit.key)


def test_a_process_killed_before_its_mark_leaves_nothing_that_counts(remote_machine, monkeypatch):
    here, there, unit = remote_machine("here"), remote_machine("there"), a_unit()

    def killed(storage, name, data):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ObjectStorage, "create", killed)
        commit(here, unit)
    assert here.storage.entries("units") and not there.is_done(unit)
    clean_up(there, there.find_done_keys())
    assert here.storage.entries("units")  # it might be about to win
    assert commit(there, unit, "again")
    attempt = there.read_done_record(unit.key)["attempt"]
    assert files_of(here, unit) == {f"{attempt.rpartition('/')[2]}/sub"}


def test_other_tools_read_the_tables_where_they_are(remote_machine, s3_server):
    store = remote_machine("here")
    for seed in range(2):
        commit(store, a_unit(seed), str(seed))
    place = f"{store.address}/tables/distillations"
    path, file_system = place.removeprefix("s3://"), store.storage.fs
    assert sorted(pd.read_parquet(f"{place}/")["method"]) == ["0", "1"]
    data = pyarrow.dataset.dataset(path, filesystem=file_system, format="parquet").to_table()
    assert sorted(data["method"].to_pylist()) == ["0", "1"]
    database = duckdb.connect()
    database.register_filesystem(file_system)
    found = database.execute(
        f"select method from read_parquet('{place}/*.parquet') order by 1"
    ).fetchall()
    assert found == [("0",), ("1",)]


def test_an_address_opens_the_store_it_names(tmp_path, s3_url, monkeypatch):
    assert open_store(tmp_path / "a").root == tmp_path / "a"
    assert open_store(f"file://{tmp_path}/a") == open_store(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    assert open_store("a").address == "a"
    assert open_store("a").resolved().address == str(tmp_path.resolve() / "a")
    opened = open_store(f"{s3_url}/")
    assert opened.address == s3_url == str(opened) and opened.resolved() == opened
    assert opened.root.parent == tmp_path / "copies" and open_store(s3_url) == opened
    monkeypatch.delenv("IID_STORE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert open_store(s3_url).root.parent == tmp_path / "cache" / "iid-orchestrator" / "stores"
    assert isinstance(opened.storage, ObjectStorage)
    assert isinstance(open_store("a").storage, FolderStorage)
    assert tables.SCHEMAS.keys() >= {"distillations"}


def test_a_unit_whose_checkpoints_cannot_be_removed_is_done(store, monkeypatch, caplog):
    unit = a_unit()
    store.save_checkpoint(unit, lambda path: path.write_text("step 1"))

    def fail(storage, name):
        raise StoreError("Directory not empty")

    monkeypatch.setattr(type(store.storage), "remove_all", fail)
    assert commit(store, unit)
    assert store.is_done(unit) and "Directory not empty" in caplog.text


def test_a_damaged_file_is_not_shown_in_a_report(store):
    unit = a_unit()
    assert commit(store, unit)
    store.find_artifact(unit, "sub/set.txt").write_text("another")
    with pytest.raises(StoreError, match=r"iid verify --repair"):
        store.find_artifact(unit, "sub/set.txt")
