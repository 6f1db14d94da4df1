import pytest

from orchestrator.store.storage.object_storage import ObjectStorage
from orchestrator.store.store import Store

ROW = {"kind": "select"}


@pytest.fixture
def machine(s3_url, tmp_path):
    return lambda name: Store(ObjectStorage.connect(s3_url, tmp_path / name))


def write(store, number, method):
    key = f"{number:016x}"
    store.write_rows("distillations", key, [{"key": key, "method": method}])
    return f"tables/distillations/{key}.parquet"


def methods(store, keys=None):
    return sorted(row["method"] for row in store.read("distillations", keys).to_pylist())


def test_tables_are_brought_up_to_date_by_what_changed(machine, monkeypatch):
    here, there = machine("here"), machine("there")
    fetched = []
    get_many = ObjectStorage.get_many

    def counting(storage, names):
        names = list(names)
        fetched.append(len(names))
        return get_many(storage, names)

    monkeypatch.setattr(ObjectStorage, "get_many", counting)
    first, *_ = [write(here, number, str(number)) for number in range(3)]
    assert methods(there) == methods(there) == ["0", "1", "2"]
    assert methods(there, [f"{1:016x}"]) == ["1"]
    here.storage.remove(first)
    write(here, 1, "changed")
    assert methods(there) == ["2", "changed"]
    assert fetched == [3, 0, 0, 1]


def test_files_that_the_index_does_not_know_go_too(machine):
    here, there = machine("here"), machine("there")
    name = write(here, 0, "0")
    assert methods(there) == ["0"]
    # as after a kill between the files and the index
    (there.tables / "distillations" / ".index.json").unlink()
    here.storage.remove(name)
    assert methods(there) == []


def test_a_damaged_index_means_that_all_is_fetched_again(machine, caplog):
    here, there = machine("here"), machine("there")
    write(here, 0, "0")
    assert methods(there) == ["0"]
    (there.tables / "distillations" / ".index.json").write_text("{half")
    assert methods(there) == ["0"] and "is fetched again" in caplog.text
