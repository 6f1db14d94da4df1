"""docs/data.md is walked: each tree is written small, and read by the command above it."""

import csv
import gzip
import io
import json
import pickle
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
import torch
from PIL import Image
from typer.testing import CliRunner

from distill_core.datasets.info import REGISTRY
from distill_core.datasets.load import load_dataset
from orchestrator.cli.app import app
from orchestrator.cli.data_sets import find_datasets

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text()
BLOCKS = re.findall(r"```text\n(iid .*?)```(?:\n\n```csv\n(.*?)```)?", PAGE, re.DOTALL)
MORE = 3
"""Images that `…` stands for."""
OWN_SIZE = 16


class Tree:
    """A block of the page: a command, files with the comments behind them, and what is read."""

    def __init__(self, text, table):
        lines = text.rstrip().splitlines()
        self.command = shlex.split(lines[0])[2:]
        self.files = dict(self._list_files(lines[2:-1]))
        classes, counts = re.fullmatch(r"→ (.*): (.*) images", lines[-1]).groups()
        self.classes = classes.split(", ")
        self.train, self.test = map(int, counts.split(" + "))
        rows = list(csv.DictReader(io.StringIO(table)))
        self.labels = {Path(next(iter(row.values()))).stem: list(row.values())[-1] for row in rows}
        self.table = table

    @staticmethod
    def _list_files(lines):
        folders = []
        for line in lines:
            entry, _, comment = line.partition("#")
            depth = (len(line) - len(line.lstrip())) // 2 - 1
            words, last = entry.split(), ""
            del folders[depth:]
            if words[0].endswith("/"):
                folders.append(words.pop(0))
            for word in words:
                names = [word]
                if word == "…":
                    stem, _, suffix = last.rpartition(".")
                    names = [f"{stem}{number}.{suffix}" for number in range(MORE)]
                for last in names:
                    yield Path(*folders, last), comment.strip()

    @property
    def name(self):
        """Name of a known data set; None for others."""
        return self.command[0] if self.command[0] in REGISTRY else None

    @property
    def info(self):
        return REGISTRY[self.name]

    def shade(self, label):
        """The gray that pixels of a class have."""
        return 40 + 100 * self.classes.index(label)

    def draw(self, label, format="PNG"):
        """The bytes of an image of a class."""
        size = self.info.image_size if self.name else OWN_SIZE
        mode = "L" if self.name and self.info.channels == 1 else "RGB"
        shade = 0 if label is None else self.shade(label)
        buffer = io.BytesIO()
        Image.new(mode, (size, size), (shade,) * len(mode) if mode == "RGB" else shade).save(
            buffer, format, **({"quality": 95} if format == "JPEG" else {})
        )
        return buffer.getvalue()

    def arrays(self, count):
        """Images uint8 (N, H, W, C) of all classes in turn, and their numbers."""
        labels = np.arange(count) % len(self.classes)
        shape = (count, self.info.image_size, self.info.image_size, self.info.channels)
        images = np.empty(shape, dtype=np.uint8)
        images[:] = np.array([self.shade(self.classes[label]) for label in labels])[
            :, None, None, None
        ]
        return images, labels

    def write(self, root):
        for path, comment in self.files.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.content(path, comment))

    def content(self, path, comment):
        suffix = path.suffix.lower()
        if suffix in (".png", ".jpg", ".jpeg"):
            folders = [part for part in path.parts[:-1] if part in self.classes]
            label = folders[-1] if folders else self.labels.get(path.stem)
            if path.name.startswith("val_"):
                label = self.classes[int(re.search(r"\d+", path.name)[0])]
            return self.draw(label, "PNG" if suffix == ".png" else "JPEG")
        if suffix == ".parquet":
            return self.parquet(path.name.lower().startswith("train"), comment)
        if suffix == ".csv":
            return self.table.encode()
        if path.name == "val_annotations.txt":
            lines = [f"val_{k}.JPEG\t{name}\t0\t0\t1\t1\n" for k, name in enumerate(self.classes)]
            return "".join(lines).encode()
        return self.original(path.name)

    def parquet(self, is_train, comment):
        shards = sum("train" in path.name.lower() for path in self.files)
        whole = self.test == 0 or len([p for p in self.files if p.suffix == ".parquet"]) == 1
        count = self.train + self.test if whole else self.train // shards if is_train else self.test
        columns = {}
        kinds = dict(re.findall(r"(\w+)(?: \((\w+)\))?", comment))
        names = [self.classes[number % len(self.classes)] for number in range(count)]
        features = {}
        for place, (column, kind) in enumerate(kinds.items()):
            if place == 0:
                values = [{"bytes": self.draw(name, kind), "path": None} for name in names]
                columns[column] = pa.array(
                    values, pa.struct({"bytes": pa.binary(), "path": pa.string()})
                )
            elif place == 1 and kind == "text":
                columns[column] = names
            else:
                columns[column] = [self.classes.index(name) for name in names]
                features[column] = {"names": self.classes, "_type": "ClassLabel"}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), buffer)
        return buffer.getvalue()

    def original(self, name):
        """A file as the makers of a data set publish it."""
        is_train = not name.startswith(("t10k", "test"))
        images, labels = self.arrays(self.train if is_train else self.test)
        if "idx" in name:
            array = images[..., 0] if "images" in name else labels.astype(np.uint8)
            header = bytes((0, 0, 8, array.ndim))
            header += b"".join(size.to_bytes(4, "big") for size in array.shape)
            content = header + array.tobytes()
            return gzip.compress(content) if name.endswith(".gz") else content
        buffer = io.BytesIO()
        if name.endswith(".mat"):
            scipy.io.savemat(
                buffer,
                {
                    "X": images.transpose(1, 2, 3, 0),
                    "y": np.where(labels == 0, 10, labels)[:, None],
                },
            )
        elif name.endswith(".pt"):
            content = {"classes": self.classes}
            for split, count in (("train", self.train), ("val", self.test)):
                images, labels = self.arrays(count)
                content[f"images_{split}"] = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
                content[f"labels_{split}"] = torch.from_numpy(labels)
            torch.save(content, buffer)
        elif name in ("meta", "batches.meta"):
            names = {"label_names": self.classes, "fine_label_names": self.classes}
            pickle.dump(names, buffer)
        else:
            if (batch := re.search(r"data_batch_(\d)", name)) is not None:
                part = slice(2 * int(batch[1]) - 2, 2 * int(batch[1]))
                images, labels = images[part], labels[part]
            key = "labels" if "batch" in name else "fine_labels"
            data = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            pickle.dump({"data": data, key: labels.tolist()}, buffer, protocol=2)
        return buffer.getvalue()


@pytest.fixture(autouse=True)
def small_files_pass(monkeypatch):
    """Small files stand for the originals, whose checksums the tests of the readers check."""
    for module in ("utils", "cifar", "svhn"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda *_: True)


@pytest.mark.parametrize(
    "tree",
    [Tree(*block) for block in BLOCKS],
    ids=[f"{number}-{block[0].split()[2]}" for number, block in enumerate(BLOCKS)],
)
def test_a_tree_is_read_as_the_page_says(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if tree.name:
        small = replace(
            tree.info,
            classes=tuple(tree.classes),
            train_images=tree.train,
            test_images=tree.test,
            pixel_mean=(),
        )
        monkeypatch.setitem(REGISTRY, tree.name, small)
    tree.write(tmp_path / "data")
    result = CliRunner().invoke(app, ["datasets", *tree.command, "--json"])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert found["classes"] == tree.classes
    assert (sum(found["train"]), sum(found["test"])) == (tree.train, tree.test)
    (ref,) = find_datasets(tree.command[0], Path("data"))
    data = load_dataset(ref, Path("data"))
    for part in (data.train, data.test):
        expected = torch.tensor([tree.shade(tree.classes[label]) for label in part.labels])
        assert ((part.images[:, 0, 4, 4].int() - expected).abs() <= 2).all()


def test_every_known_data_set_has_trees():
    shown = [Tree(*block).name for block in BLOCKS]
    assert set(shown) >= REGISTRY.keys() - {"digits"}
    assert shown.count(None) >= 9
