import errno
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from distill_core.settings import DatasetRef
from orchestrator.errors import StoreError, TableError
from orchestrator.store import atomic_files, checkpoints, tables
from orchestrator.store.store import DONE, Store
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
        (workdir / "set.bin").write_text(content)
        return store.commit(unit, workdir, [a_row(unit, run=run)], run=run, finished=FINISHED)


def rows(store, unit):
    return tables.read(store.tables, "distillations", [unit.key]).to_pylist()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_a_committed_unit_is_complete(store):
    unit = a_unit()
    assert not store.is_done(unit)
    assert commit(store, unit)
    folder = store.folder_of(unit.key)
    assert (
        store.is_done(unit) and store.done_keys() == {unit.key} and store.spec_of(unit.key) == unit
    )
    record = json.loads((folder / DONE).read_text())
    assert record["sha256"] == {
        name: atomic_files.sha256(folder / name)
        for name in ("rows.parquet", "set.bin", "spec.json")
    }
    assert (record["run"], record["finished"], record["rows"]) == ("run", FINISHED, 1)
    assert [row["key"] for row in rows(store, unit)] == [unit.key]
    assert {path.name for path in folder.parent.iterdir()} == {unit.key}  # no scratch is left


def test_the_first_of_two_commits_wins(store):
    unit = a_unit()
    with store.scratch(unit) as slow:
        (slow / "set.bin").write_text("slow")
        fast = store.unit_folder(unit.kind, unit.key).with_name(".elsewhere")
        fast.mkdir()
        (fast / "set.bin").write_text("fast")
        assert store.commit(unit, fast, [a_row(unit, run="fast")], run="fast", finished=FINISHED)
        assert not store.commit(
            unit, slow, [a_row(unit, run="slow")], run="slow", finished=FINISHED
        )
    assert (store.folder_of(unit.key) / "set.bin").read_text() == "fast"
    assert [row["run"] for row in rows(store, unit)] == ["fast"]


def test_artefacts_and_rows_of_many_committers_at_once_belong_together(store):
    unit = a_unit()
    folders = [store.unit_folder(unit.kind, unit.key).with_name(f".{i}") for i in range(8)]
    for i, folder in enumerate(folders):
        folder.mkdir(parents=True)
        (folder / "set.bin").write_text(str(i))

    def finish(i):
        return store.commit(
            unit, folders[i], [a_row(unit, run=str(i))], run=str(i), finished=FINISHED
        )

    with ThreadPoolExecutor(8) as pool:
        firsts = list(pool.map(finish, range(8)))
    assert sum(firsts) == 1
    winner = str(firsts.index(True))
    assert (store.folder_of(unit.key) / "set.bin").read_text() == winner
    assert store.done_record(unit.key)["run"] == winner
    assert [row["run"] for row in rows(store, unit)] == [winner]


def test_what_a_kill_leaves_behind_is_recomputed(store):
    unit = a_unit()
    place = store.unit_folder(unit.kind, unit.key)
    place.mkdir(parents=True)
    (place / "set.bin").write_text("half")  # a folder without DONE is nothing
    left = place.with_name(f".{unit.key}.abandoned")
    left.mkdir()
    assert store.done_keys() == frozenset()
    with pytest.raises(StoreError, match=unit.key):
        store.folder_of(unit.key)
    assert commit(store, unit, "whole")
    assert (place / "set.bin").read_text() == "whole" and not left.exists()


def test_nothing_appears_before_the_commit(store):
    unit = a_unit()
    with pytest.raises(ZeroDivisionError), store.scratch(unit) as workdir:
        (workdir / "set.bin").write_text("x")
        raise ZeroDivisionError
    with pytest.raises(TableError, match="color"), store.scratch(unit) as workdir:
        store.commit(unit, workdir, [a_row(unit, color="red")], run="run", finished=FINISHED)
    assert not list(store.unit_folder(unit.kind, unit.key).parent.iterdir())
    assert rows(store, unit) == []


def test_lost_table_files_come_back(store):
    units = [a_unit(seed) for seed in range(3)]
    for unit in units:
        commit(store, unit)
    (store.tables / "distillations" / f"{units[1].key}.parquet").unlink()
    assert rows(store, units[1]) == []
    assert store.publish_missing_rows(units) == 1
    assert [row["key"] for row in rows(store, units[1])] == [units[1].key]


def test_rows_appear_after_the_unit_and_not_before(store, monkeypatch):
    unit = a_unit()

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("orchestrator.store.store.publish_atomically", killed)
        commit(store, unit)
    assert rows(store, unit) == [] and not store.is_done(unit)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Store, "_publish", killed)
        commit(store, unit)
    assert rows(store, unit) == [] and store.is_done(unit)
    store.publish_missing_rows([unit])
    assert len(rows(store, unit)) == 1


def test_a_failure_is_replaced_and_cleared_by_success(store):
    unit = a_unit()
    for reason in ("first", "second"):
        store.record_failure({"key": unit.key, "reason": reason})
    assert tables.read(store.tables, "failures")["reason"].to_pylist() == ["second"]
    commit(store, unit)
    assert tables.read(store.tables, "failures").num_rows == 0


def test_other_images_under_a_name_are_refused(store):
    digits = DatasetRef(name="my/digits")
    store.check_fingerprint(digits, "aa")
    store.check_fingerprint(digits, "aa")
    store.check_fingerprint(DatasetRef(name="my/digits", version=2), "bb")
    store.check_fingerprint(DatasetRef(name="my/digits", image_size=16), "cc")
    with pytest.raises(StoreError, match=r"my/digits.*new version"):
        store.check_fingerprint(digits, "bb")


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
    assert store.done_keys() == frozenset() and commit(store, a_unit())


def test_a_file_in_the_store_s_place_is_refused(tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match="--store"):
        Store(tmp_path / "store").check_writable()


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
    assert len(store.done_keys()) == 100


def test_runs_come_oldest_first_without_damaged_ones(store):
    store.write_run("b", {"space": "s", "started": "2025-01-02"}, {})
    store.write_run("a", {"space": "s", "started": "2025-01-03"}, {})
    for name, damage in enumerate(DAMAGED_RECORDS):
        (store.root / "runs" / f"c{name}.json").write_text(damage)
    assert [record["run"] for record in store.runs()] == ["b", "a"]


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


def test_equal_plans_are_written_once_in_their_order(store):
    units = {unit.key: unit for unit in map(a_unit, range(3))}
    for run in ("a", "b"):
        store.write_run(run, {"space": "s", "started": run}, units)
    store.write_run("c", {"space": "s", "started": "c"}, dict(list(units.items())[:1]))
    assert len(list((store.root / "plans").iterdir())) == 2
    first, second, third = store.runs()
    assert list(store.planned(first)) == list(units) and store.planned(second) == store.planned(
        first
    )
    assert {key: from_json(json.dumps(fields)) for key, fields in store.planned(third).items()} == {
        key: units[key] for key in list(units)[:1]
    }


def test_a_damaged_spec_is_named(store):
    unit = a_unit()
    commit(store, unit)
    path = store.folder_of(unit.key) / "spec.json"
    for damage in ("{}", "5", '{"kind": "select", "seed": {}}', '{"kind": []}'):
        path.write_text(damage)
        with pytest.raises(StoreError, match=r"spec\.json is damaged"):
            store.spec_of(unit.key)


def test_a_store_that_cannot_be_looked_into_says_so(store, monkeypatch):
    def hidden(path, *arguments, **options):
        raise PermissionError(errno.EACCES, "hidden", str(path))

    monkeypatch.setattr(type(store.root), "stat", hidden)
    for look in (store.is_done, lambda unit: store.folder_of(unit.key)):
        with pytest.raises(StoreError, match="permissions"):
            look(a_unit())


def test_a_truncated_checkpoint_is_left_out(store):
    folder = store.checkpoint_folder(a_unit())
    assert checkpoints.load(folder) is None
    checkpoints.save(folder, lambda path: path.write_text("step 1"))
    path = checkpoints.save(folder, lambda path: path.write_text("step 2"))
    assert list(folder.iterdir()) == [path] and checkpoints.load(folder).read_text() == "step 2"
    path.write_text("st")
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoints.load(folder) is None


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(store):
    folder = store.checkpoint_folder(a_unit())
    checkpoints.save(folder, lambda path: path.write_text("good"))

    def full(path):
        path.write_text("ha")
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(StoreError, match="full"):
        checkpoints.save(folder, full)
    assert checkpoints.load(folder).read_text() == "good" and len(list(folder.iterdir())) == 1


def test_a_commit_removes_the_checkpoints(store):
    unit = a_unit()
    checkpoints.save(store.checkpoint_folder(unit), lambda path: path.write_text("x"))
    commit(store, unit)
    assert not store.checkpoint_folder(unit).exists()
