from pathlib import Path

import pytest

from distill_core.datasets.files import (
    LAYOUTS,
    describe_source,
    find_parquet_shards,
    locate,
    missing_dataset_error,
)
from distill_core.datasets.info import REGISTRY, DatasetError
from distill_core.settings import DatasetRef


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_digits_are_always_there(tmp_path):
    assert (locate("digits", tmp_path) / "digits.csv.gz").is_file()


@pytest.mark.parametrize(
    ("name", "layout"),
    [(name, layout) for name, layouts in LAYOUTS.items() for layout in layouts],
    ids=str,
)
def test_complete_folders_are_found_and_incomplete_ones_named(tmp_path, name, layout):
    folder = tmp_path / layout.folder
    names = [file.rstrip("*") for file in layout.files]
    assert locate(name, tmp_path) is None
    for count, file in enumerate(names):
        assert locate(name, tmp_path) is None
        if count:
            assert f"{folder / file} is missing" in str(
                missing_dataset_error(DatasetRef(name=name), tmp_path)
            )
        touch(folder, file)
    assert locate(name, tmp_path) == folder


@pytest.mark.parametrize("name", REGISTRY)
def test_missing_data_says_where_it_was_looked_for_and_how_to_get_it(tmp_path, name):
    message = str(missing_dataset_error(DatasetRef(name=name), tmp_path))
    assert describe_source(name) in message
    assert all(str(tmp_path / layout.folder) in message for layout in LAYOUTS.get(name, ()))


def test_missing_cifar10_suggests_the_jpeg_version_next_to_it(tmp_path):
    touch(tmp_path / "cifar10", "train.parquet", "test.parquet")
    message = str(missing_dataset_error(DatasetRef(name="cifar10"), tmp_path))
    assert "train.parquet is the data set 'cifar10-jpeg'" in message
    assert "cifar10-jpeg" not in str(
        missing_dataset_error(DatasetRef(name="cifar10"), tmp_path / "elsewhere")
    )


def test_custom_data_is_found_by_absolute_and_relative_path(tmp_path):
    touch(tmp_path / "mine", "train.parquet")
    for path in ("mine", str(tmp_path / "mine")):
        assert (
            locate(DatasetRef(name="mine", format="parquet", path=path), tmp_path)
            == tmp_path / "mine"
        )
    folder = DatasetRef(name="mine", format="imagefolder", path="mine")
    assert locate(folder, tmp_path) is None
    assert f"no train/<class>/<images> in {tmp_path / 'mine'}" in str(
        missing_dataset_error(folder, tmp_path)
    )


@pytest.mark.parametrize("layout", ["imagefolder", "parquet", "my_data:stripes"])
def test_a_folder_that_is_not_there_is_said_in_full(tmp_path, monkeypatch, layout):
    monkeypatch.chdir(tmp_path)
    said = f" in {tmp_path.resolve() / 'stripes'}, which is not there; "
    message = str(
        missing_dataset_error(DatasetRef(name="mine", format=layout, path="stripes"), Path())
    )
    assert said in message and "and --data" in message
    absolute = str(
        missing_dataset_error(
            DatasetRef(name="mine", format=layout, path=str(tmp_path / "stripes")), Path("data")
        )
    )
    assert said in absolute and "--data" not in absolute


@pytest.mark.parametrize(
    "names",
    [
        ["train.parquet"],
        ["data/train.parquet"],
        ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
        ["data/train-00000-of-00001-a1b2.parquet"],
        ["train/0000.parquet", "train/0001.parquet"],
    ],
)
def test_shards_are_found_in_order(tmp_path, names):
    touch(tmp_path, *reversed(names), "test.parquet")
    assert find_parquet_shards(tmp_path, "train") == [tmp_path / name for name in names]
    assert find_parquet_shards(tmp_path, "validation") == []


def test_lost_shard_is_noticed(tmp_path):
    touch(tmp_path, "train-00000-of-00002.parquet")
    with pytest.raises(DatasetError, match="says that there are 2 files, but 1 are there"):
        find_parquet_shards(tmp_path, "train")
