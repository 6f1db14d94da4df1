import errno

import pytest

from distill_core.settings import DatasetRef
from orchestrator.errors import StoreError
from orchestrator.store.cleanup import clean_up
from orchestrator.store.open import open_store
from orchestrator.store.storage.object_storage import ObjectStorage
from orchestrator.store.store import Store
from orchestrator.units import Select

UNIT = Select(dataset=DatasetRef(name="digits"), protocol="paper", method="random", ipc=1, seed=0)
FOLDER = f"checkpoints/{UNIT.kind}/{UNIT.key}"


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


@pytest.fixture(params=["folder", "s3"])
def machine(request, store, tmp_path):
    """Make stores as on several machines: one folder that all see, or copies of one URL."""
    if request.param == "folder":
        return lambda name: store
    url = request.getfixturevalue("s3_url")
    return lambda name: Store(ObjectStorage.connect(url, tmp_path / name))


def save(store, text):
    return store.save_checkpoint(UNIT, lambda path: path.write_text(text))


def commit(store):
    with store.scratch(UNIT) as workdir:
        row = {"key": UNIT.key, "kind": UNIT.kind}
        store.commit(UNIT, workdir, [row], run="r", finished="2025-01-01T00:00:00+00:00")


def test_a_checkpoint_travels_and_replaces_the_last_one(machine):
    here, there = machine("here"), machine("there")
    assert there.load_checkpoint(UNIT) is None
    assert save(here, "step 1").parent == here.locate_checkpoints(UNIT)
    assert there.load_checkpoint(UNIT).read_text() == "step 1"
    last = save(there, "step 2")
    assert here.load_checkpoint(UNIT).read_text() == "step 2"  # though an older one may be here
    assert list(here.storage.entries("checkpoints")) == [f"{UNIT.kind}/{UNIT.key}/{last.name}"]
    assert list(there.locate_checkpoints(UNIT).iterdir()) == [last]


def test_a_commit_removes_the_checkpoints(machine):
    here = machine("here")
    save(here, "step 1")
    commit(here)
    assert here.storage.entries("checkpoints") == {} and here.load_checkpoint(UNIT) is None
    assert not here.locate_checkpoints(UNIT).exists()


def test_a_checkpoint_that_the_store_no_longer_has_is_not_used(machine):
    here, there = machine("here"), machine("there")
    save(here, "half")
    assert here.load_checkpoint(UNIT) is not None
    commit(there)
    assert here.load_checkpoint(UNIT) is None
    clean_up(here, here.find_done_keys())
    assert not here.locate_checkpoints(UNIT).exists()


def test_a_damaged_checkpoint_is_skipped_and_the_log_says_what_is_used_instead(machine, caplog):
    here, there = machine("here"), machine("there")
    good = save(here, "step 1").name
    good_content = here.storage.get(f"{FOLDER}/{good}")
    bad = save(here, "step 2").name
    here.storage.put(f"{FOLDER}/{bad}", b"st")
    assert there.load_checkpoint(UNIT) is None
    assert f"{bad} is damaged and skipped; there is no other" in caplog.text
    here.storage.put(f"{FOLDER}/{good}", good_content)
    assert there.load_checkpoint(UNIT).read_text() == "step 1"
    here.storage.touch(f"{FOLDER}/{bad}", b"st")
    caplog.clear()
    if here.storage.is_local:
        assert there.load_checkpoint(UNIT).read_text() == "step 1"
        assert f"{bad} is damaged and skipped; {good} is used instead" in caplog.text


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(machine):
    store = machine("here")
    save(store, "good")

    def full(path):
        path.write_text("ha")
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(StoreError, match="full"):
        store.save_checkpoint(UNIT, full)
    assert store.load_checkpoint(UNIT).read_text() == "good"
    assert len(list(store.locate_checkpoints(UNIT).iterdir())) == 1
