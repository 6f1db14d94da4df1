"""`iid datasets DATASET`: what a data set holds, and everything that is wrong with it."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from orchestrator.cli.app import app

SPACE = """
name: pets
settings: {datasets: {name: pets, format: imagefolder, path: pets, image_size: 8}, methods: DM}
experiments: [{name: main, ipc: 1, seeds: 1}]
"""


@pytest.fixture
def iid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["datasets", *words])


@pytest.fixture
def pets(tmp_path):
    """Class folders of three and two images; one of them is wide, one is transparent."""
    folder = tmp_path / "data" / "pets"
    draws = np.random.default_rng(0)
    for name, count in (("cat", 3), ("dog", 2)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = draws.integers(0, 256, (8, 12 if number == 1 else 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    Image.new("RGBA", (8, 8)).save(folder / "cat" / "0.png")
    return folder


def test_counts_forms_and_what_was_passed_over_are_shown(iid, pets, tmp_path):
    (pets / "cat" / "more.gif").touch()
    result = iid("pets", "--contact-sheet", "sheets/pets.png")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["cat", "2", "1"] in rows and ["dog", "1", "1"] in rows
    for part in (
        "no folder train: all images of pets are used",
        "a fifth of the images of each class is held out",
        "1 file of type .gif passed over, such as",
        "with transparency, which is dropped",
        "not square: the longer side is cropped at the center",
        "In a search space: datasets: {name: pets, format: imagefolder, path: pets}",
    ):
        assert part in result.stdout
    assert Image.open(tmp_path / "sheets" / "pets.png").width > 100


@pytest.mark.parametrize(
    "given", ["data/pets", "pets.yaml", "{name: pets, format: imagefolder, path: pets}"]
)
def test_a_data_set_is_named_in_every_way(iid, pets, tmp_path, given):
    (tmp_path / "pets.yaml").write_text(SPACE)
    result = iid(given, "--json")
    (found,) = json.loads(result.stdout)
    assert (found["name"], found["classes"]) == ("pets", ["cat", "dog"])
    assert (found["train"], found["test"]) == ([2, 1], [1, 1])
    assert found["train_images"]["formats"] == {"PNG": 3}


def test_every_image_that_cannot_be_read_is_named(iid, pets):
    for number in range(15):
        (pets / "dog" / f"bad{number}.png").write_bytes(b"<html>")
    result = iid("pets", "digits")
    assert result.exit_code == 2
    assert "pets: 15 images cannot be read" in result.stdout
    assert all(f"bad{number}.png" in result.stdout for number in range(15))
    assert "digits: 1,438 training" in result.stdout


def test_many_classes_of_one_size_are_one_line(iid, tmp_path):
    for number in range(30):
        folder = tmp_path / "data" / "many" / f"c{number}"
        folder.mkdir(parents=True)
        for image in range(2):
            Image.new("L", (4, 4), number * 8 + image).save(folder / f"{image}.png")
    assert "Each class has 1 training and 1 test images." in iid("many").stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["nope"], "no data set 'nope'"),
        (["cifar"], "did you mean 'cifar10'"),
        (["empty"], "holds neither Parquet files of a split nor folders with images"),
        (["{name: x, format: tar, path: pets}"], "DATASET: "),
        (["digits", "--contact-sheet", "x.nope"], "--contact-sheet x.nope: unknown file extension"),
        (["--contact-sheet", "x.png"], "name a data set to draw"),
        (["digits", "pets", "--contact-sheet", "x.png"], "name one data set, not 2"),
    ],
)
def test_wrong_input_is_one_line(iid, pets, tmp_path, words, part):
    (tmp_path / "data" / "empty").mkdir()
    result = iid(*words)
    assert result.exit_code == 2
    assert part in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_folder_with_the_name_of_a_known_data_set_gets_another_name(iid, pets, tmp_path):
    pets.rename(tmp_path / "mnist")
    assert "mapping" not in iid("mnist").stdout  # the known one, which is missing
    result = iid("./mnist")
    assert "my-mnist: 3 training and 2 test images" in result.stdout
