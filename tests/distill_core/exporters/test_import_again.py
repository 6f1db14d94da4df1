"""Exported sets can be imported with the same training images."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distill_core.api import build_synthetic_set
from distill_core.datasets.load import load_dataset
from distill_core.exporters import FORMATS, export
from distill_core.importers.convert import convert
from distill_core.importers.decide import decide_reading
from distill_core.importers.raw_set import ImportQuestionError, ImportSetError
from distill_core.importers.reading import ReadingOptions
from distill_core.importers.recognize import recognize
from distill_core.settings import DatasetRef

PLACES = {
    "safetensors": ("synthetic_set.safetensors", "own"),
    "dc": ("dc.pt", "dc"),
    "mtt": (".", "mtt"),
    "imagefolder": (".", "imagefolder"),
    "ddranking": ("images.pt", "mtt"),
    "hf": (".", "hf"),
}
"""The file or folder that a user names, and the layout that it is."""


def take(path, dataset, method="DM"):
    """Import an export without any option, and with every check."""
    found = recognize(path)
    reading = decide_reading(found, 0, ReadingOptions(), dataset)
    return found, convert(found.sets[0], reading, dataset, method=method, spec={})


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
    place, layout = PLACES[name]
    found, again = take(tmp_path / "out" / place, digits)
    assert layout == found.layout
    assert again.spec["import_notes"] is not None
    back, labels = again.training_images()
    assert torch.equal(labels, content.targets)
    step = 0.51 / 255 / min(source.std) if kind.eight_bits else 1e-5
    assert (back - content.images).abs().max() <= step


@pytest.mark.parametrize("name", ["mtt", "ddranking", "hf"])
def test_soft_labels_come_back(name, digits, tmp_path):
    indices = torch.stack([torch.arange(offset, offset + 1) for offset in digits.train.offsets])
    source = build_synthetic_set(digits.train.normalized(indices), digits.info, method="DATM")
    soft = torch.eye(10) * 0.5 + 0.05
    export(replace(source, soft_labels=soft), FORMATS[name], tmp_path / "out")
    _, again = take(tmp_path / "out", digits)
    assert again.soft_labels is not None and torch.allclose(again.soft_labels, soft)


@pytest.mark.parametrize("name", ["mtt", "hf"])
def test_an_export_of_strange_pixels_passes(name, digits, tmp_path):
    """What was exported is known; its pixels cannot contradict it."""
    images = 40 * torch.randn(10, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    source = build_synthetic_set(images.view(10, 1, 1, 32, 32), digits.info, method="DM")
    content = export(source, FORMATS[name], tmp_path / "out")
    _, again = take(tmp_path / "out", digits)
    if name == "mtt":
        torch.testing.assert_close(again.training_images()[0], content.images)


def test_an_export_of_another_data_set_is_refused(digits, tmp_path):
    indices = torch.stack([torch.arange(offset, offset + 1) for offset in digits.train.offsets])
    source = build_synthetic_set(digits.train.normalized(indices), digits.info, method="DM")
    export(source, FORMATS["dc"], tmp_path / "out")
    other = replace(digits, info=replace(digits.info, name="other"))
    with pytest.raises(ImportSetError, match=r"a set of digits, not of other.*--no-check"):
        take(tmp_path / "out", other)


def test_metadata_beside_other_files_is_not_believed(digits, tmp_path):
    indices = torch.stack([torch.arange(offset, offset + 1) for offset in digits.train.offsets])
    images = digits.train.normalized(indices)
    source = build_synthetic_set(images, digits.info, method="DM")
    export(source, FORMATS["mtt"], tmp_path / "out")
    doubled = images.flatten(0, 1).repeat(2, 1, 1, 1)
    torch.save(doubled, tmp_path / "out" / "images_best.pt")
    torch.save(torch.arange(10).repeat(2), tmp_path / "out" / "labels_best.pt")
    with pytest.raises(ImportSetError, match="--zca yes or no"):
        take(tmp_path / "out", digits)


def test_metadata_says_nothing_of_images_in_another_layout(digits, tmp_path):
    """The same images, saved again as class folders in 8 bits beside a file of floats' metadata."""
    indices = torch.stack([torch.arange(offset, offset + 2) for offset in digits.train.offsets])
    source = build_synthetic_set(
        digits.train.normalized(indices), digits.info, method="DM", partition=1
    )
    export(source, FORMATS["imagefolder"], tmp_path / "out")
    metadata = tmp_path / "out" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"imagefolder"', '"mtt"'))
    found = recognize(tmp_path / "out")
    assert not found.sets[0].trusted
    assert "metadata.json is about other images and was left out" in found.sets[0].notes


def test_an_export_of_several_sets_names_them(digits, tmp_path):
    indices = torch.stack([torch.arange(offset, offset + 2) for offset in digits.train.offsets])
    source = build_synthetic_set(
        digits.train.normalized(indices), digits.info, method="DM", partition=1
    )
    for seed in (0, 1):
        export(source, FORMATS["dc"], tmp_path / "out" / "DM" / f"seed{seed}")
    with pytest.raises(ImportQuestionError, match="an export of 2 sets; name one") as question:
        recognize(tmp_path / "out")
    places = [answer.place for answer in question.value.answers]
    assert places == ["/DM/seed0", "/DM/seed1"]
    assert recognize(tmp_path / f"out{places[0]}").layout == "dc"
