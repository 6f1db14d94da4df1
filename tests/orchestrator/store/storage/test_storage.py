"""What every storage promises: a folder, S3, and the memory of fsspec."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.errors import StoreError
from orchestrator.store.atomic_files import sha256
from orchestrator.store.storage.folder import FolderStorage
from orchestrator.store.storage.object_storage import ObjectStorage


@pytest.fixture(params=["folder", "s3", "memory"])
def storage(request, tmp_path):
    if request.param == "folder":
        return FolderStorage(tmp_path / "store")
    url = f"memory://{tmp_path.name}/store"
    if request.param == "s3":
        url = request.getfixturevalue("s3_url")
    return ObjectStorage.connect(url, tmp_path / "copy")


def test_entries_are_put_listed_read_and_removed(storage):
    assert storage.list_top_level() is None and storage.entries("") == {}
    assert storage.get("a/b") is None and storage.entry("a/b") is None
    assert storage.sha256("a/b") is None
    storage.put("a/b", b"one")
    storage.put("a/c/d", b"three")
    assert storage.list_top_level() == {"a"}
    assert {name: entry.size for name, entry in storage.entries("a").items()} == {"b": 3, "c/d": 5}
    before = storage.entry("a/b")
    storage.put("a/b", b"two")
    assert storage.get("a/b") == b"two" and storage.entry("a/b").mark != before.mark
    assert abs(storage.now("a") - storage.entry("a/b").changed) < 5
    storage.move("a/b", "z/b")
    storage.remove("a/c/d", "a/none")
    assert list(storage.entries("")) == ["z/b"]


def test_a_touch_changes_the_mark_alone(storage):
    storage.put("leases/a.json", b"1")
    before = storage.entry("leases/a.json")
    storage.touch("leases/a.json", b"2")
    after = storage.entry("leases/a.json")
    assert after.mark != before.mark and after.size == 1


def test_a_folder_is_moved_and_removed_as_a_whole(storage):
    for name in ("DONE", "a", "sub/b"):
        storage.put(f"units/k/1/{name}", name.encode())
    storage.put("units/k/10/DONE", b"")
    storage.move("units/k/1", "damaged/1/units/k/1")
    storage.move("units/k/none", "damaged/1/units/k/none")
    assert set(storage.entries("units")) == {"k/10/DONE"}
    assert storage.get("damaged/1/units/k/1/sub/b") == b"sub/b"
    storage.remove_all("damaged/1")
    storage.remove_all("damaged/none")
    storage.remove_all("units/k/10/DONE")
    assert storage.entries("") == {}


def test_a_name_that_begins_alike_is_another_folder(storage):
    storage.put("units/select/a", b"")
    storage.put("units/select-more/b", b"")
    assert list(storage.entries("units/select")) == ["a"]


def test_an_entry_is_created_once(storage):
    assert storage.create("one", b"mine")
    assert not storage.create("one", b"theirs") and storage.get("one") == b"mine"


def test_of_many_that_create_an_entry_one_does(storage):
    def compete(number):
        return storage.create(f"race/{number // 8}", str(number).encode())

    with ThreadPoolExecutor(8) as pool:
        won = [number for number, first in enumerate(pool.map(compete, range(80))) if first]
    contents = [storage.get(f"race/{number}") for number in range(10)]
    assert sorted(int(data) for data in contents) == won and len(won) == 10


def test_local_files_travel(storage):
    path = storage.local / "checkpoints" / "large"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(3_000_000))
    storage.upload("checkpoints/large")
    assert storage.entry("checkpoints/large").size == 3_000_000
    assert storage.sha256("checkpoints/large") == sha256(path)
    assert storage.download("checkpoints/large") == path
    assert storage.refresh("checkpoints") == path.parent


def workdir(storage, content):
    """An attempt at unit units/select/ab, and what its DONE is to say."""
    folder = storage.local / "units" / "select" / f".ab.{content}"
    folder.mkdir(parents=True)
    (folder / "set.txt").write_text(content)
    return folder, {"key": "ab", "sha256": {"set.txt": sha256(folder / "set.txt")}}


def test_a_unit_is_published_once_and_completely(storage):
    unit = "units/select/ab"
    assert storage.list_published() == {}
    first, second = workdir(storage, "first"), workdir(storage, "second")
    assert storage.publish(unit, *first) and not storage.publish(unit, *second)
    assert storage.list_published() == {"ab": "select"}
    for again in (False, True):
        folder = storage.fetch(unit, again=again)
        assert {path.name for path in folder.iterdir()} == {"set.txt", "DONE"}
        assert (folder / "set.txt").read_text() == "first"
    names = [name for name in storage.entries(unit) if name.endswith("set.txt")]
    assert len(names) == 1


def test_what_nobody_can_need_is_abandoned_unless_it_is_held(storage):
    workdir(storage, "half")  # the folder of a killed attempt
    if not storage.is_local:  # behind a URL, what it had uploaded
        storage.put("units/select/ab/0123/set.txt", b"half")
        storage.put("units/select/ab/4567/set.txt", b"half")
        assert (
            list(storage.find_abandoned(set(), lambda key: False)) == []
        )  # it may be about to win
        mark = b'{"attempt": "units/select/ab/4567"}'
        storage.put("units/select/ab/DONE", mark)
        left = "units/select/ab/0123"
    else:
        assert list(storage.find_abandoned({"ab"}, lambda key: key == "ab")) == []
        left = "units/select/.ab.half"
    assert list(storage.find_abandoned({"ab"}, lambda key: False)) == [left]


def test_a_damaged_mark_is_refused_behind_a_url(s3_url, tmp_path):
    storage = ObjectStorage.connect(s3_url, tmp_path / "copy")
    for damage in (b"", b"{half", b"{}", b'{"attempt": "units/select/../../x"}', b"\xff"):
        storage.put("units/select/ab/DONE", damage)
        with pytest.raises(StoreError, match="is damaged"):
            storage.fetch("units/select/ab")
