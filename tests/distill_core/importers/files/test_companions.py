"""Labels that lie anywhere near their images are found, or asked about; never ignored."""

import numpy as np
import pytest
import torch
from PIL import Image

from distill_core.datasets.load import load_dataset
from distill_core.importers.convert import convert
from distill_core.importers.decide import decide_reading
from distill_core.importers.layouts import imagefolder
from distill_core.importers.raw_set import ImportQuestionError, ImportSetError
from distill_core.importers.reading import ReadingOptions
from distill_core.importers.recognize import recognize
from distill_core.settings import DatasetRef

IMAGES = torch.rand(10, 1, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.randperm(10, generator=torch.Generator().manual_seed(1))


def save(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)
    return path


@pytest.mark.parametrize(
    "name", ["labels.csv", "labels.txt", "labels.json", "targets.pkl", "images_labels.mat"]
)
def test_labels_of_a_form_that_is_not_read_are_asked_about(name, tmp_path):
    images = save(tmp_path / "images.pt", IMAGES)
    (tmp_path / name).write_text("0\n1\n")
    with pytest.raises(ImportQuestionError, match=name) as refusal:
        recognize(images)
    assert "numpy.save" in str(refusal.value)
    assert recognize(images, labels_path="none").layout == "ddranking"
    np.save(tmp_path / "anything.npy", LABELS.numpy())
    found = recognize(images, labels_path=str(tmp_path / "anything.npy"))
    assert torch.equal(found.sets[0].labels, LABELS)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images/ipc1.pt", "labels/ipc1.pt"),
        ("cifar_images/ipc1.npy", "cifar_labels/ipc1.pt"),
        ("img/a.pt", "targets/a.pt"),
    ],
)
def test_labels_in_a_folder_beside_that_of_the_images(images, labels, tmp_path):
    save(tmp_path / labels, LABELS)
    save(tmp_path / "labels" / "ipc50.pt", LABELS[:3])
    path = tmp_path / images
    path.parent.mkdir()
    torch.save(IMAGES, path) if path.suffix == ".pt" else np.save(path, IMAGES.numpy())
    assert torch.equal(recognize(path).sets[0].labels, LABELS)


def test_images_without_labels_in_no_order_are_asked_about(tmp_path):
    digits = load_dataset(DatasetRef(name="digits"), tmp_path)
    places = torch.tensor(digits.train.offsets)
    for order in (torch.arange(10), torch.arange(10).roll(3)):
        path = save(tmp_path / "images.pt", digits.train.normalized(places[order]))
        found = recognize(path)
        for options in (ReadingOptions(normalized=True, zca=False),):
            reading = decide_reading(found, 0, options, digits)
            if order[0] == 0:
                convert(found.sets[0], reading, digits, method="x", spec={})
                continue
            with pytest.raises(ImportQuestionError, match="--labels none") as refusal:
                convert(found.sets[0], reading, digits, method="x", spec={})
            assert refusal.value.answers[0].options == ("--labels", "none")


def write_folders(folder, names):
    for name in names:
        (folder / name).mkdir(parents=True)
        Image.new("L", (16, 16)).save(folder / name / "0.png")
    return folder


@pytest.mark.parametrize("name", ["targets.npy", "soft.pt", "FKD", "soft_labels"])
def test_labels_of_class_folders_have_many_names(name, tmp_path):
    folder = write_folders(tmp_path / "set", ["a", "b"])
    if "." in name:
        rows = torch.eye(2)
        place = folder / name
        torch.save(rows, place) if place.suffix == ".pt" else np.save(place, rows.numpy())
        assert torch.equal(imagefolder.find(folder).sets[0].labels, rows)
    else:
        (folder / name).mkdir()
        with pytest.raises(ImportQuestionError, match="--labels none"):
            imagefolder.find(folder)
    assert imagefolder.find(folder, "none").sets[0].labels.tolist() == [0, 1]


def test_class_folders_whose_names_sound_like_labels(tmp_path):
    folder = write_folders(tmp_path / "set", ["soft-coated terrier", "label", "target"])
    assert imagefolder.find(folder).sets[0].labels.tolist() == [0, 1, 2]


def test_splits_of_class_folders_are_asked_about(tmp_path):
    for split in ("train", "val"):
        write_folders(tmp_path / "set" / split, ["a", "b"])
    with pytest.raises(ImportQuestionError) as refusal:
        recognize(tmp_path / "set")
    assert [answer.place for answer in refusal.value.answers] == ["/train", "/val"]


def test_views_that_repeat_numbers_are_read_if_they_are_small(tmp_path):
    path = save(tmp_path / "data.pt", [IMAGES.expand(-1, 3, -1, -1), LABELS])
    assert recognize(path).sets[0].images.shape == (10, 3, 16, 16)
    huge = torch.zeros(1).expand(10, 1, 4096, 4096)
    with pytest.raises(ImportSetError, match="claim more numbers"):
        recognize(save(tmp_path / "data.pt", [huge, LABELS]))


def test_arrays_of_text_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES.numpy(), labels=np.array([*"abcdefghij"]))
    with pytest.raises(ImportSetError, match="labels are an array of <U1, which is not read"):
        recognize(tmp_path / "a.npz")


def test_a_checkpoint_called_pth_tar_stands_for_its_folder(tmp_path):
    save(tmp_path / "best.pth.tar", {"data": [[IMAGES, LABELS]]})
    assert recognize(tmp_path).layout == "dc"


def test_a_file_of_several_arrays_is_not_taken_for_labels(tmp_path):
    save(tmp_path / "a_images.pt", {"images": IMAGES})
    save(tmp_path / "a_labels.pt", {"hard": LABELS})
    assert torch.equal(recognize(tmp_path / "a_images.pt").sets[0].labels, LABELS)
    save(tmp_path / "a_labels.pt", {"rank": LABELS.flip(0), "hard": LABELS})
    with pytest.raises(ImportSetError, match="expected labels as a tensor, found dict"):
        recognize(tmp_path / "a_images.pt")
