import os

import pytest

from orchestrator.errors import StoreError
from orchestrator.store import leases
from orchestrator.store.cleanup import DAY, clean_up
from orchestrator.store.open import open_store
from orchestrator.store.storage.object_storage import ObjectStorage
from orchestrator.store.store import Store


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path)


@pytest.fixture
def units(small_plan):
    return list(small_plan(sets=1, evaluations=1).units.values())


def put(path, *, age=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    return path


def everything(store):
    return {path for path in store.root.rglob("*") if path.is_file()}


def test_what_a_finished_unit_left_behind_goes(store, units):
    done, waiting = units[0], units[1]
    put(store.locate_checkpoints(done) / "a.checkpoint")
    put(store.tables / "failures" / f"{done.key}.parquet")
    put(store.root / "leases" / f"{done.key}.json", age=100)
    put(store.locate_unit(done.kind, done.key).with_name(f".{done.key}.scratch") / "set.bin")
    put(store.locate_checkpoints(waiting) / ".half")
    kept = {
        put(store.locate_unit(done.kind, done.key) / "DONE"),
        put(store.tables / "failures" / f"{waiting.key}.parquet"),
        store.save_checkpoint(waiting, lambda path: path.write_text("step 1")),
    }
    clean_up(store, frozenset({done.key}))
    assert everything(store) == kept
    assert not store.locate_checkpoints(done).exists()


def test_what_somebody_is_at_stays(store, units):
    with leases.hold(store.storage, units[0].key, "run"), store.scratch(units[0]) as workdir:
        put(workdir / "set.bin")
        put(store.locate_checkpoints(units[0]) / ".half")
        before = everything(store)
        clean_up(store, frozenset({units[0].key}))
        assert everything(store) == before


@pytest.mark.parametrize(
    "name",
    [
        ".marker.1",
        "tables/failures/.a.parquet.1",
        "leases/.a.json.1",
        "runs/r.stop",
        "plans/.p.json.1",
    ],
)
def test_temporary_files_go_after_a_day(store, name):
    put(store.root / "runs" / "r.json", age=2 * DAY)
    path = put(store.root / name, age=DAY - 3600)
    clean_up(store, frozenset())
    assert path.exists()
    put(path, age=DAY + 3600)
    clean_up(store, frozenset())
    assert not path.exists() and (store.root / "runs" / "r.json").exists()


def test_an_empty_store_is_cleaned_up(tmp_path):
    clean_up(open_store(tmp_path / "nowhere"), frozenset())
    assert not list(tmp_path.iterdir())


def test_leftovers_behind_a_url_go(s3_url, tmp_path, units, caplog):
    caplog.set_level("INFO")
    store = Store(ObjectStorage.connect(s3_url, tmp_path / "here"))
    done, fresh, waiting = units[:3]
    for unit in (done, fresh):
        with store.scratch(unit) as workdir:
            store.commit(unit, workdir, [], run="a", finished="2025-01-01T00:00:00+00:00")
    left = f"units/{done.kind}/{done.key}/0123"
    store.storage.put(f"checkpoints/{done.kind}/{done.key}/x.checkpoint", b"")
    store.storage.put(f"leases/{fresh.key}.json", b"{}")
    store.record_failure({"key": done.key, "kind": done.kind})
    store.storage.put(f"{left}/set.txt", b"lost")
    store.save_checkpoint(waiting, lambda path: path.write_text("kept"))
    before = set(store.storage.entries(""))
    with leases.hold(store.storage, waiting.key, "r"):
        clean_up(store, store.find_done_keys())
        kept = set(store.storage.entries(""))
    assert kept - before == {f"leases/{waiting.key}.json"}
    assert before - kept == {
        f"{left}/set.txt",
        f"checkpoints/{done.kind}/{done.key}/x.checkpoint",
        f"tables/failures/{done.key}.parquet",
    }
    assert f"leases/{fresh.key}.json" in kept  # too young: its holder cannot be seen
    assert store.load_checkpoint(waiting).read_text() == "kept"
    there = Store(ObjectStorage.connect(s3_url, tmp_path / "there"))
    assert there.fetch_intact_folder(done.key).exists()
    assert f"removed a leftover: {s3_url}/{left}" in caplog.text


def test_half_made_copies_of_a_url_go_after_a_day(s3_url, tmp_path, units):
    store = Store(ObjectStorage.connect(s3_url, tmp_path / "here"))
    old, young = (
        put(store.locate_unit("distill", units[1].key).with_name(f".fetched.{name}") / "set.bin")
        for name in (f"{units[1].key}.old", f"{units[1].key}.young")
    )
    then = old.stat().st_mtime - DAY - 3600
    os.utime(old.parent, (then, then))
    clean_up(store, frozenset())
    assert not old.parent.exists() and young.exists()


def test_a_folder_that_cannot_be_listed_stops_nothing(store, units, monkeypatch, caplog):
    left = put(store.locate_unit(units[0].kind, units[0].key).with_name(f".{units[0].key}.x") / "f")
    entries = type(store.storage).entries

    def refuse(storage, folder):
        if folder == "checkpoints":
            raise StoreError("checkpoints: Permission denied")
        return entries(storage, folder)

    monkeypatch.setattr(type(store.storage), "entries", refuse)
    clean_up(store, frozenset())
    assert not left.exists() and "Permission denied" in caplog.text
