"""docs/importing.md is walked: each form is written, and read by the commands below it."""

import io
import json
import pickle
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from distill_core.api import build_synthetic_set
from distill_core.datasets.load import load_dataset
from distill_core.exporters import FORMATS, export
from distill_core.importers.choose_sets import build_set
from distill_core.importers.convert import convert
from distill_core.importers.recognize import recognize_all
from distill_core.importers.whitening import compute_real_whitening
from distill_core.partition import tile
from distill_core.settings import DatasetRef
from orchestrator.cli.app import app
from orchestrator.cli.commands import evaluate

PAGE = (Path(__file__).parents[1] / "docs" / "importing.md").read_text()
FORMS = re.findall(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
READ, ASKED = "→ ", "? "
EIGHT_BITS = 0.51 / 255
"""Largest error of image files."""


@dataclass
class Command:
    """A command of the page, and what it prints."""

    words: list[str]
    says: str
    is_read: bool


def parse_commands(text):
    lines = text.strip().splitlines()
    for command, says in zip(lines[::2], lines[1::2], strict=True):
        yield Command(shlex.split(command)[1:], says[2:], says.startswith(READ))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load_dataset(DatasetRef(name="digits"), tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def namespace(digits):
    """What the page's expressions name."""
    info, train = digits.info, digits.train
    places = torch.cat([torch.arange(offset, offset + 2) for offset in train.offsets])
    places = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(1))]
    images, labels = train.normalized(places), train.labels[places]
    four = torch.cat([torch.arange(offset, offset + 4) for offset in train.offsets])
    tiles = train.normalized(four.view(10, 4).T.flatten())
    pixels = images * info.std[0] + info.mean[0]
    by_class = images[labels.argsort(stable=True)].view(10, 2, *images.shape[1:])
    return {
        "images": images,
        "pixels": pixels,
        "whitened": compute_real_whitening(train).whiten(pixels),
        "canvases": tile(tiles, 2),
        "labels": labels,
        "canvas_labels": torch.arange(10),
        "soft": torch.eye(10)[labels] * 0.7 + 0.03,
        "logits": torch.eye(10)[labels] * 5 + torch.arange(10) / 10,
        "names": info.classes,
        "native": build_synthetic_set(by_class, info, method="DM"),
        **{"torch": torch, "np": np, "numpy": np, "pickle": pickle, "Path": Path},
        **{"export": export, "FORMATS": FORMATS},
        **{"write_folders": write_folders, "write_parquet": write_parquet},
    }


def write_folders(folder, pixels, labels, names):
    """Write images in class folders, numbered so that their order by name is theirs in the set."""
    for number, (image, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
        place = Path(folder) / names[label]
        place.mkdir(parents=True, exist_ok=True)
        values = (image[0] * 255).round().clamp(0, 255).byte().numpy()
        Image.fromarray(values).save(place / f"{number:03}.png")


def write_parquet(file, pixels, labels, names):
    """Write a shard as the hub has it: encoded images, and the names of the classes as metadata."""
    contents = []
    for image in pixels:
        buffer = io.BytesIO()
        values = (image[0] * 255).round().clamp(0, 255).byte().numpy()
        Image.fromarray(values).save(buffer, "PNG")
        contents.append({"bytes": buffer.getvalue(), "path": None})
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    table = pa.table({"image": contents, "label": labels.tolist()})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), file)


@dataclass
class Outcome:
    """What a command printed, and the sets that it would evaluate."""

    text: str
    code: int
    sets: list
    answers: list


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command of the page with digits in place of CIFAR-10, up to the evaluation."""

    def run(words):
        given = []

        def stop(sets, question):
            given.extend(sets)
            raise typer.Exit(0)

        monkeypatch.setattr(evaluate, "plan_evaluation", stop)
        words = ["digits" if word == "cifar10" else word for word in words]
        monkeypatch.setattr("sys.argv", ["iid", *words])
        store = ["--store", str(tmp_path / "store")] if "--store" not in words else []
        result = CliRunner().invoke(app, [*words, *store])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        answers = re.findall(r"^\s+iid (evaluate .*?)\s+# ", result.output, re.MULTILINE)
        return Outcome(" ".join(result.output.split()), result.exit_code, given, answers)

    return run


def read_again(given, dataset):
    """The set that a unit would make."""
    unit = given.unit
    paths = [Path(path) for path in (unit.path, *unit.more_paths)]
    found = recognize_all(paths, allow_pickle=True, labels_path=unit.reading.labels_path)
    raw = build_set(found, unit.reading)
    return convert(raw, unit.reading, dataset, method=unit.method, spec={})


def require_equal(made, namespace, code, info):
    """Compare a set with the tensors that the page's expression wrote, in any order."""
    kind = "canvases" if "canvases" in code else "images"
    labels = namespace["canvas_labels" if kind == "canvases" else "labels"]
    pixels = namespace[kind] * info.std[0] + info.mean[0]
    exact = not re.search(r"write_|\"hf\"|\"mtt\"", code)
    distances = (made.images[:, None] - pixels[None]).abs().amax((2, 3, 4))
    nearest = distances.argmin(1)
    assert sorted(nearest.tolist()) == list(range(len(pixels)))
    assert float(distances.amin(1).max()) <= (1e-4 if exact else EIGHT_BITS)
    assert torch.equal(made.labels, labels[nearest])
    assert (made.partition == 2) == (kind == "canvases")
    assert (made.soft_labels is not None) == ("soft" in code or "logits" in code)
    if "soft" in code:
        torch.testing.assert_close(made.soft_labels, namespace["soft"][nearest])


@pytest.mark.parametrize(("code", "text"), FORMS, ids=range(len(FORMS)))
def test_every_form_of_the_page(code, text, namespace, digits, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(code, dict(namespace))
    for command in parse_commands(text):
        outcome = run(command.words)
        assert " ".join(command.says.split()) in outcome.text, outcome.text
        assert outcome.code == (0 if command.is_read else 2), outcome.text
        if outcome.answers:
            likely = run(shlex.split(outcome.answers[0]))
            assert likely.code == 0 and likely.sets, likely.text
        for given in outcome.sets:
            require_equal(read_again(given, digits), namespace, code, digits.info)


def test_a_file_name_cannot_command_the_terminal(run, namespace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"data": [[namespace["images"], namespace["labels"]]]}, "a\x1b[31mb\x07.pt")
    outcome = run(["evaluate", "a\x1b[31mb\x07.pt", "--dataset", "cifar10"])
    assert outcome.sets and not re.search("[\x1b\x07]", outcome.text), outcome.text


def test_the_page_has_every_layout():
    assert len(FORMS) > 20
