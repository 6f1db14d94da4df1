import shutil

import numpy as np
import pytest
import torch

from distill_core.datasets.info import DatasetError
from distill_core.datasets.load import load_dataset
from distill_core.settings import DatasetRef

WNIDS = ("n01443537", "n01629819", "n01641577")
REF = DatasetRef(name="tinyimagenet")


@pytest.fixture(autouse=True)
def small_record(shrink):
    shrink("tinyimagenet", classes=("0", "1", "2"), train_images=6, test_images=3)


@pytest.fixture
def folder(tmp_path, pixels, encode):
    """Folders with two training images per class, one of them gray, and three validation images."""
    root = tmp_path / "tiny-imagenet-200"
    color, gray = pixels(6, 64), pixels(1, 64, channels=1)
    for index in range(6):
        wnid = WNIDS[index // 2]
        path = root / "train" / wnid / "images" / f"{wnid}_{index % 2}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(color[index] if index != 3 else gray[0], "JPEG"))
        (root / "train" / wnid / f"{wnid}_boxes.txt").touch()
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for index, wnid in enumerate(reversed(WNIDS)):
        (root / "val" / "images" / f"val_{index}.JPEG").write_bytes(encode(color[index], "JPEG"))
        lines.append(f"val_{index}.JPEG\t{wnid}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    return root


def test_reads_the_folder_layout(tmp_path, folder):
    data = load_dataset(REF, tmp_path)
    assert data.info.classes == WNIDS
    assert data.train.counts == (2, 2, 2)
    assert data.test.labels.tolist() == [0, 1, 2]
    assert torch.equal(data.test.images_of_class(2), data.train.images_of_class(0)[:1])
    gray = data.train.images_of_class(1)[1]
    assert torch.equal(gray[0], gray[1]) and torch.equal(gray[1], gray[2])


def test_damaged_and_missing_images_are_named(tmp_path, folder):
    path = folder / "train" / WNIDS[1] / "images" / f"{WNIDS[1]}_0.JPEG"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(DatasetError, match=f"{path}: not a readable image"):
        load_dataset(REF, tmp_path)
    path.unlink()
    with pytest.raises(DatasetError, match=r"5 training images .* not 6"):
        load_dataset(REF, tmp_path)


def test_missing_validation_image_is_named(tmp_path, folder):
    (folder / "val" / "images" / "val_1.JPEG").unlink()
    with pytest.raises(DatasetError, match=r"val_1\.JPEG"):
        load_dataset(REF, tmp_path)


@pytest.mark.parametrize("line", ["val_9.JPEG\tn00000000\t0\t0\t1\t1", "val_9.JPEG", ""])
def test_broken_annotation_is_named(tmp_path, folder, line):
    with (folder / "val" / "val_annotations.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DatasetError, match=r"val_annotations\.txt, line 4"):
        load_dataset(REF, tmp_path)


def test_missing_class_is_noticed(tmp_path, folder):
    shutil.rmtree(folder / "train" / WNIDS[0])
    with pytest.raises(DatasetError, match=f"line 3: class '{WNIDS[0]}' has no folder"):
        load_dataset(REF, tmp_path)


def dictionary(pixels, **changes):
    images = torch.from_numpy(pixels(9, 64).transpose(0, 3, 1, 2).copy())
    content = {
        "classes": list(WNIDS),
        "images_train": images[:6],
        "labels_train": torch.tensor([2, 1, 0, 0, 1, 2]),
        "images_val": images[6:],
        "labels_val": torch.tensor([0, 1, 2]),
    }
    return {**content, **changes}


@pytest.mark.parametrize("folder", ["", "tinyimagenet"])
def test_reads_the_dictionary(tmp_path, pixels, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    content = dictionary(pixels)
    torch.save(content, tmp_path / folder / "tinyimagenet.pt")
    data = load_dataset(REF, tmp_path)
    assert data.info.classes == WNIDS
    assert torch.equal(data.train.images, content["images_train"][[2, 3, 1, 4, 0, 5]])
    assert torch.equal(data.test.images, content["images_val"])


def test_float_images_and_listed_labels_give_the_same_data(tmp_path, pixels):
    content = dictionary(pixels)
    torch.save(content, tmp_path / "tinyimagenet.pt")
    expected = load_dataset(REF, tmp_path)
    floats = {name: content[name].float() / 255 for name in ("images_train", "images_val")}
    labels = {name: content[name].tolist() for name in ("labels_train", "labels_val")}
    torch.save(content | floats | labels, tmp_path / "tinyimagenet.pt")
    assert load_dataset(REF, tmp_path).fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images_val": torch.full((3, 3, 64, 64), 2.0)}, "images_val: torch.float32"),
        ({"images_val": torch.full((3, 3, 64, 64), torch.nan)}, "images_val: torch.float32"),
        ({"images_val": torch.zeros(3, 3, 64, 64).int()}, "images_val: torch.int32"),
        ({"images_val": torch.zeros(3, 3, 32, 32).byte()}, "test images of shape"),
        ({"images_val": torch.zeros(3, 64, 64).byte()}, "images_val is not a tensor"),
        ({"images_val": [1, 2, 3]}, "images_val is not a tensor"),
        ({"labels_val": torch.tensor([0, 1])}, "labels_val is not one integer"),
        ({"labels_val": torch.tensor([0.5, 1, 2])}, "labels_val is not one integer"),
        ({"labels_val": torch.tensor([0, 3, 1])}, r"labels_val\[1\]: label 3"),
        ({"labels_train": torch.tensor([0, 1, 2, 0, 1, -1])}, r"labels_train\[5\]: label -1"),
        ({"classes": list("abcd")}, "4 classes"),
    ],
)
def test_dictionary_of_another_shape_is_refused(tmp_path, pixels, changes, message):
    torch.save(dictionary(pixels, **changes), tmp_path / "tinyimagenet.pt")
    with pytest.raises(DatasetError, match=message):
        load_dataset(REF, tmp_path)


def test_missing_entry_is_named(tmp_path, pixels):
    content = dictionary(pixels)
    del content["labels_val"]
    torch.save(content, tmp_path / "tinyimagenet.pt")
    with pytest.raises(DatasetError, match=r"tinyimagenet\.pt: has no entry 'labels_val'"):
        load_dataset(REF, tmp_path)


def test_damaged_and_unsafe_files_are_refused(tmp_path, pixels):
    path = tmp_path / "tinyimagenet.pt"
    torch.save(dictionary(pixels), path)
    whole = path.read_bytes()
    for content in (whole[:-1000], whole[:100], b"", b"<html>"):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"tinyimagenet\.pt: not a readable file of tensors"):
            load_dataset(REF, tmp_path)
    torch.save({"classes": np.random.default_rng(0)}, path)
    with pytest.raises(DatasetError, match="not a readable file of tensors"):
        load_dataset(REF, tmp_path)
