"""What the README shows is run as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from orchestrator.cli.app import app

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


def test_every_command_it_lists_exists():
    listed = re.findall(r"^iid (\w+)", block("sh", "iid spaces"), re.MULTILINE)
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert commands | {group.name for group in app.registered_groups} == set(listed)


@pytest.mark.parametrize("line", re.findall(r"^iid plan .*quickstart.*$", README, re.MULTILINE))
def test_the_overrides_it_shows_are_understood(line, tmp_path):
    import shlex

    result = CliRunner().invoke(app, [*shlex.split(line)[1:], "--store", str(tmp_path)])
    assert result.exit_code == 0, result.output


def test_the_library_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block("python", "distill("), names)
    assert names["images"].shape == (10, 1, 1, 32, 32)


@pytest.mark.slow
def test_a_data_set_of_ones_own(pets, monkeypatch):
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
    report = (pets / "reports" / "pets" / "report.md").read_text()
    assert "DM+IID" in report and "cat" not in report.splitlines()[0]
    assert list((pets / "reports" / "pets" / "pictures").glob("*.png"))
