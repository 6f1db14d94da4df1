import os

import pytest

from orchestrator.store import checkpoints, leases
from orchestrator.store.cleanup import DAY, clean_up
from orchestrator.store.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


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
    put(store.checkpoint_folder(done) / "a.checkpoint")
    put(store.tables / "failures" / f"{done.key}.parquet")
    put(store.leases / f"{done.key}.json", age=100)
    put(store.unit_folder(done.kind, done.key).with_name(f".{done.key}.scratch") / "set.bin")
    put(store.checkpoint_folder(waiting) / ".half")
    kept = {
        put(store.unit_folder(done.kind, done.key) / "DONE"),
        put(store.tables / "failures" / f"{waiting.key}.parquet"),
        checkpoints.save(store.checkpoint_folder(waiting), lambda path: path.write_text("step 1")),
    }
    clean_up(store, frozenset({done.key}))
    assert everything(store) == kept
    assert not store.checkpoint_folder(done).exists()


def test_what_somebody_is_at_stays(store, units):
    with leases.hold(store.leases, units[0].key, "run"), store.scratch(units[0]) as workdir:
        put(workdir / "set.bin")
        put(store.checkpoint_folder(units[0]) / ".half")
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


def test_an_empty_store_is_swept(tmp_path):
    clean_up(Store(tmp_path / "nowhere"), frozenset())
    assert not list(tmp_path.iterdir())
