"""What the README shows is executed as it stands there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from orchestrator.cli.app import COMMANDS, app

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(language, containing):
    """The code block of a language that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return found


@pytest.fixture
def pets(tmp_path):
    """The README's search space, and a small image folder such as it names."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for label, name in enumerate(("cat", "dog", "owl")):
            folder = tmp_path / "images" / "pets" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 100, (40, 36, 3), dtype=np.uint8)
                pixels[..., label] += 100
                Image.fromarray(pixels).save(folder / f"{i}.png")
    (tmp_path / "pets.yaml").write_text(block("yaml", "name: pets"))
    return tmp_path


def test_it_is_short():
    assert len(README.splitlines()) <= 150


def test_every_command_it_shows_exists():
    shown = set(re.findall(r"^iid (\w+)", README, re.MULTILINE))
    assert len(shown) >= 4 and shown <= COMMANDS.keys()


QUICKSTART = re.findall(r"^iid (?:plan|run) quickstart .*$", README, re.MULTILINE)


@pytest.mark.parametrize("line", QUICKSTART)
def test_the_overrides_it_shows_are_understood(line, tmp_path):
    words = shlex.split(line, comments=True)[2:]
    if "--out" in words:  # an option of `iid run`; planning shows whether the rest is understood
        place = words.index("--out")
        del words[place : place + 2]
    result = CliRunner().invoke(app, ["plan", *words, "--store", str(tmp_path)])
    assert result.exit_code == 0, result.output


def test_the_library_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block("python", "dc.distill_set("), names)
    assert names["images"].shape == (20, 1, 32, 32)


def test_the_custom_data_set_it_shows_is_computed(pets, monkeypatch):
    monkeypatch.chdir(pets)
    budget = [
        "iterations=2",
        "epoch_eval_train=1",
        "extractors.epochs=1",
        "batch_real=4",
        "seeds=1",
    ]
    sets = [argument for setting in budget for argument in ("--set", setting)]
    result = CliRunner().invoke(app, ["run", "pets.yaml", "--data", "images", *sets])
    assert result.exit_code == 0, result.output
    (folder,) = (pets / "reports").glob("pets*")
    report = (folder / "report.md").read_text()
    assert "DM+IID" in report and "cat" not in report.splitlines()[0]
    assert list((folder / "pictures").glob("*.png"))
