"""Data sets arrive as they were sent; a list stands in for the object store."""

import os

import pytest

from distill_core.settings import DatasetRef
from orchestrator.cluster import dataset_transfer

PETS = DatasetRef(name="pets", format="imagefolder", path="animals/pets")


@pytest.fixture(autouse=True)
def objects(monkeypatch, tmp_path):
    """Replace the object store by a list, with small chunks and a cache folder for this node."""
    stored = []
    monkeypatch.setattr(
        dataset_transfer.ray, "put", lambda value: stored.append(value) or len(stored) - 1
    )
    monkeypatch.setattr(dataset_transfer.ray, "get", lambda number: stored[number])
    monkeypatch.setattr(dataset_transfer, "CHUNK_BYTES", 5000)
    monkeypatch.setenv(dataset_transfer.NODE_CACHE, str(tmp_path / "cache"))
    return stored


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data" / "animals" / "pets" / "train" / "cat"
    folder.mkdir(parents=True)
    for i in range(20):
        (folder / f"{i}.png").write_bytes(bytes([i]) * 1000 * i)
    return tmp_path / "data"


def test_an_image_folder_arrives_as_it_was(root, objects):
    archive = dataset_transfer.pack_dataset(PETS, root)
    assert len(objects) > 10 and archive.size == sum(map(len, objects))
    place = dataset_transfer.find_cache_folder() / f"pets@1-{archive.digest}"
    assert dataset_transfer.unpack_dataset(archive) == str(place)
    there = sorted(path for path in (place / PETS.path).rglob("*") if path.is_file())
    assert [path.relative_to(place) for path in there] == sorted(
        path.relative_to(root) for path in root.rglob("*.png")
    )
    assert all(path.read_bytes() == (root / path.relative_to(place)).read_bytes() for path in there)

    objects.clear()  # a second time nothing is fetched
    assert dataset_transfer.unpack_dataset(archive) == str(place)
    assert [path.name for path in dataset_transfer.find_cache_folder().iterdir()] == [place.name]


def test_an_archive_is_named_by_its_content_alone(root):
    first = dataset_transfer.pack_dataset(PETS, root)
    for path in root.rglob("*.png"):
        os.utime(path, (0, 0))
        path.chmod(0o600)
    assert dataset_transfer.pack_dataset(PETS, root).digest == first.digest
    (root / PETS.path / "train/cat/0.png").write_bytes(b"another")
    assert dataset_transfer.pack_dataset(PETS, root).digest != first.digest


def test_only_the_files_of_a_registered_data_set_are_sent(tmp_path):
    folder = tmp_path / "data" / "cifar10"
    folder.mkdir(parents=True)
    for name in ("train.parquet", "test.parquet", "notes.txt"):
        (folder / name).write_text(name)
    place = dataset_transfer.unpack_dataset(
        dataset_transfer.pack_dataset(DatasetRef(name="cifar10-jpeg"), tmp_path / "data")
    )
    assert sorted(path.name for path in (dataset_transfer.Path(place) / "cifar10").iterdir()) == [
        "test.parquet",
        "train.parquet",
    ]


def test_a_unit_reads_the_folder_of_its_node_first_and_what_was_sent_otherwise(
    root, tmp_path, monkeypatch
):
    archives = dataset_transfer.DatasetArchives(
        {"pets@1": dataset_transfer.pack_dataset(PETS, root)}
    )
    assert dataset_transfer.find_data_root(PETS, root, archives) == root
    sent = dataset_transfer.find_cache_folder() / f"pets@1-{archives.sent['pets@1'].digest}"
    assert dataset_transfer.find_data_root(PETS, tmp_path / "empty", archives) == sent
    monkeypatch.setenv(dataset_transfer.NODE_DATA, str(tmp_path / "empty"))
    assert dataset_transfer.find_data_root(PETS, root, archives) == sent
    assert (
        dataset_transfer.find_data_root(PETS, root, dataset_transfer.DatasetArchives({}))
        == tmp_path / "empty"
    )


@pytest.mark.parametrize("path", ["/abs/pets", "~/pets", "../pets", "a/../../pets"])
def test_what_lies_outside_the_data_folder_is_not_sent(path):
    reason = dataset_transfer.transfer_blocker(
        DatasetRef(name="pets", format="imagefolder", path=path)
    )
    assert reason is not None and "outside the data folder" in reason
    assert (
        dataset_transfer.transfer_blocker(PETS) is None
        and dataset_transfer.transfer_blocker(DatasetRef(name="cifar10")) is None
    )


def test_a_transfer_that_breaks_leaves_nothing_half(root, objects):
    archive = dataset_transfer.pack_dataset(PETS, root)
    objects[-1:] = []
    with pytest.raises(IndexError):
        dataset_transfer.unpack_dataset(archive)
    assert list(dataset_transfer.find_cache_folder().iterdir()) == []
