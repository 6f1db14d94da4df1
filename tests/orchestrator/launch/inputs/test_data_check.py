"""Data sets are read once before anything starts, and everything that is wrong is said at once."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from distill_core.datasets.info import DatasetError
from distill_core.settings import DatasetRef, DistillationSettings
from orchestrator.errors import StoreError
from orchestrator.launch.inputs import data_summaries
from orchestrator.launch.inputs.data_check import build_record, check_units
from orchestrator.store.open import open_store
from orchestrator.units import Distill, Select

PETS = DatasetRef(name="pets", format="imagefolder", path="pets")


def write(folder, classes, count=6, side=8):
    """Write images of several classes, all of them different."""
    draws = np.random.default_rng(len(str(folder)))
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = draws.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture
def pets(tmp_path):
    """Six training and two test images of three classes."""
    write(tmp_path / "pets" / "train", ("bee", "cat", "dog"))
    write(tmp_path / "pets" / "test", ("bee", "cat", "dog"), 2)
    return tmp_path / "pets"


@pytest.fixture
def check(tmp_path):
    """Check units, and return what was found and printed."""

    def run(*units, store="store", **options):
        console = Console(file=io.StringIO(), width=300)
        found = check_units(units, open_store(tmp_path / store), tmp_path, console, **options)
        return found, console.file.getvalue()

    return run


def select(ipc=1, dataset=PETS, protocol="paper"):
    return Select(dataset=dataset, protocol=protocol, ipc=ipc, seed=0, method="random")


def distill(ipc=1, **settings):
    fields = DistillationSettings(**settings)
    return Distill(dataset=PETS, protocol="paper", ipc=ipc, seed=0, settings=fields)


def test_what_was_found_is_printed_and_recorded(pets, check):
    (pets / "train" / "cat" / "more.gif").touch()
    found, printed = check(select(), select(2))
    assert printed.count("pets: 18 training and 6 test images of 3 classes, RGB 8×8") == 1
    assert "1 file of type .gif passed over, such as" in printed
    record = build_record(found)["pets@1"]
    assert (record["train"], record["test"]) == ((6, 6, 6), (2, 2, 2))
    assert record["classes"] == ("bee", "cat", "dog")
    assert any(".gif" in line for line in record["lines"])


def test_all_that_are_missing_are_named(check):
    names = ("mnist", "svhn", "cifar10")
    with pytest.raises(DatasetError, match="4 data sets are missing:") as error:
        check(select(), *(select(dataset=DatasetRef(name=name)) for name in names))
    assert all(name in str(error.value) for name in ("pets", *names))
    with pytest.raises(DatasetError, match="pets: no train/<class>/<images> in"):
        check(select(), *(select(dataset=DatasetRef(name=name)) for name in names), download=True)


def test_all_that_cannot_be_read_are_named(tmp_path, pets, check):
    other = replace(PETS, name="others", path="others")
    write(tmp_path / "others" / "train", ("a", "b"))
    for folder in (pets / "train" / "cat", tmp_path / "others" / "train" / "b"):
        (folder / "0.png").write_bytes(b"<html>")
    with pytest.raises(DatasetError, match="several things are wrong with the data:") as error:
        check(select(), select(dataset=other))
    assert "pets/train/cat/0.png" in str(error.value)
    assert "others/train/b/0.png" in str(error.value)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (select(7), "7 training .* needed, and 3 classes have fewer: bee .6., cat .6., dog .6."),
        (distill(7), "7 training images of each class are needed"),
        (distill(2, partition=2), "8 training images of each class are needed"),
        (distill(1, partition=3), "images of 8 pixels cannot be cut into 3 parts per side"),
        (select(6, protocol="strict"), r"6 training images .* bee .5., cat .5., dog .5.; lower"),
        (select(dataset=replace(PETS, classes=(0, 3))), r"pets has no class 3; .* 0 … 2"),
    ],
)
def test_what_units_cannot_work_with_is_said_by_class(pets, check, unit, message):
    with pytest.raises(DatasetError, match=message):
        check(select(), unit)


def test_what_they_can_work_with_passes(pets, check):
    check(select(6), select(5, protocol="strict"), distill(6), distill(7, init="noise"))


def test_a_class_with_one_image_is_named(tmp_path, check):
    write(tmp_path / "pets" / "train", ("bee", "cat"))
    write(tmp_path / "pets" / "train", ("wasp",), 1)
    with pytest.raises(DatasetError, match="class 'wasp' has one image; the test split needs"):
        check(select())
    write(tmp_path / "pets" / "test", ("bee",))
    with pytest.raises(DatasetError, match="class 'wasp' has one training image; protocol strict"):
        check(select(protocol="strict"))


def test_other_images_are_refused_and_other_class_names_told(pets, check, tmp_path):
    (found, _), store = check(select()), open_store(tmp_path / "store")
    (summary,) = found.values()
    store.check_fingerprint(PETS, summary.fingerprint, summary.classes)
    assert "other names" not in check(select())[1]
    for split in ("train", "test"):
        (pets / split / "bee").rename(pets / split / "beetle")
    found, printed = check(select())
    assert "made: bee is now beetle. Sets that are there keep the old names" in printed
    assert build_record(found)["pets@1"]["classes"][0] == "beetle"
    (pets / "train" / "cat" / "0.png").unlink()
    with pytest.raises(StoreError, match="has other images than those"):
        check(select())


def test_a_data_set_is_read_again_only_if_its_files_change(pets, check, monkeypatch):
    first = check(select())
    with monkeypatch.context() as patch:
        patch.setattr(data_summaries, "build_summary", lambda data: pytest.fail("read again"))
        assert check(select())[0] == first[0]
        assert "Reading" not in check(select())[1]
    (pets / "train" / "cat" / "more.gif").touch()
    assert ".gif" in check(select())[1]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"fingerprint": 1}', b"\xff"])
def test_a_damaged_memory_is_read_again(pets, check, tmp_path, monkeypatch, content):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = check(select())
    (memory,) = (tmp_path / "cache").rglob("*.json")
    memory.write_bytes(content)
    assert check(select())[0] == first[0]


def test_a_cache_that_cannot_be_written_costs_time_only(pets, check, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nothing")
    assert check(select()) == check(select())


def test_the_digits_are_read_only_where_many_are_needed(check, monkeypatch):
    digits = DatasetRef(name="digits")
    assert check(select(100, dataset=digits)) == ({}, "")
    with pytest.raises(DatasetError, match=r"150 training images .* 10 classes have fewer: 8 "):
        check(select(150, dataset=digits))
