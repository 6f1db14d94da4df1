"""Exported sets can be imported with the same training images."""

from pathlib import Path

import pytest
import torch

from distill_core.api import build_synthetic_set
from distill_core.datasets.load import load_dataset
from distill_core.exporters import FORMATS, export
from distill_core.importers.convert import convert
from distill_core.importers.decide import decide_reading
from distill_core.importers.reading import ReadingOptions
from distill_core.importers.recognize import recognize
from distill_core.settings import DatasetRef

NOT_SAID = ReadingOptions(normalized=True, zca=False)
"""What the layouts of MTT and DD-Ranking leave open."""
PLACES = {
    "safetensors": ("synthetic_set.safetensors", ReadingOptions(), "own"),
    "dc": ("dc.pt", ReadingOptions(), "dc"),
    "mtt": (".", NOT_SAID, "mtt"),
    "imagefolder": (".", ReadingOptions(), "imagefolder"),
    "ddranking": (".", NOT_SAID, None),
}


@pytest.fixture(scope="module")
def digits():
    return load_dataset(DatasetRef(name="digits"), Path("data"))


@pytest.mark.parametrize("partition", [1, 2])
@pytest.mark.parametrize("name", PLACES)
def test_the_same_training_images_come_back(name, partition, digits, tmp_path):
    indices = torch.stack([torch.arange(offset, offset + 3) for offset in digits.train.offsets])
    images = digits.train.normalized(indices)
    source = build_synthetic_set(images, digits.info, method="DM", partition=partition)
    kind = FORMATS[name]
    content = export(source, kind, tmp_path / "out")
    place, options, layout = PLACES[name]
    found = recognize(tmp_path / "out" / place)
    assert layout in (None, found.layout)
    reading = decide_reading(found, 0, options)
    again = convert(found.sets[0], reading, digits, method="DM", spec={})
    back, labels = again.training_images()
    assert torch.equal(labels, content.targets)
    step = 0.51 / 255 / min(source.std) if kind.eight_bits else 1e-5
    assert (back - content.images).abs().max() <= step


def test_soft_labels_come_back(digits, tmp_path):
    from dataclasses import replace

    indices = torch.stack([torch.arange(offset, offset + 1) for offset in digits.train.offsets])
    source = build_synthetic_set(digits.train.normalized(indices), digits.info, method="DATM")
    soft = torch.eye(10) * 0.5 + 0.05
    export(replace(source, soft_labels=soft), FORMATS["mtt"], tmp_path / "out")
    found = recognize(tmp_path / "out")
    again = convert(
        found.sets[0], decide_reading(found, 0, NOT_SAID), digits, method="DATM", spec={}
    )
    assert again.soft_labels is not None and torch.allclose(again.soft_labels, soft)
