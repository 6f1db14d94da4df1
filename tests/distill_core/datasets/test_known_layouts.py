import json
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from distill_core.datasets.files import list_files, locate, missing_dataset_error
from distill_core.datasets.info import REGISTRY, DatasetError
from distill_core.datasets.known_layouts import LAYOUTS, OTHER_LAYOUTS, find_place
from distill_core.datasets.load import load_dataset
from distill_core.settings import DatasetRef

SPLITS = {"train": 2, "test": 1}
"""Images per class."""


def hub(folder, name, *, image, label, names=None, format="PNG", test="test", extra=()):
    """Write a repository of the Hugging Face hub: two images per class and one to test."""
    info = REGISTRY[name]
    names = names or list(info.classes)
    folder.mkdir(parents=True)
    features = {image: {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for split, count in SPLITS.items():
        labels = list(range(len(names))) * count
        images = [{"bytes": draw(info, value, format), "path": None} for value in labels]
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        columns = {image: pa.array(images, kind), label: labels}
        table = pa.table({**columns, **dict.fromkeys(extra, labels)})
        file = {"train": "train", "test": test}[split] + "-00000-of-00001.parquet"
        pq.write_table(table.replace_schema_metadata(metadata), folder / file)


def draw(info, value, format):
    """One image whose pixels say its class."""
    shape = (info.image_size, info.image_size, 3)[: 2 if info.channels == 1 else 3]
    pixels = np.full(shape, value, dtype=np.uint8)
    pixels[0, 0] = 255
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


@pytest.fixture
def small(shrink):
    """Make the registry expect two training images and one test image per class."""

    def change(name, **fields):
        count = len(fields.get("classes", REGISTRY[name].classes))
        shrink(name, train_images=2 * count, test_images=count, **fields)

    return change


def check(name, root):
    """The data set has its classes, counts and pixels."""
    data = load_dataset(DatasetRef(name=name), root)
    assert data.train.counts == (2,) * len(data.info.classes)
    assert data.test.counts == (1,) * len(data.info.classes)
    shown = data.train.images[:, 0, -1, -1].long()
    assert torch.equal(shown, data.train.labels)
    return data


FASHION = [
    *("T - shirt / top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]


@pytest.mark.parametrize(
    ("name", "folder", "columns"),
    [
        ("cifar10", "uoft-cs/cifar10/plain_text", {"image": "img", "label": "label"}),
        ("cifar10", "cifar10/plain_text", {"image": "img", "label": "label"}),
        ("cifar10", "cifar10", {"image": "img", "label": "label"}),
        ("cifar10", "CIFAR-10/data", {"image": "image", "label": "label"}),
        (
            "cifar100",
            "cifar100/cifar100",
            {"image": "img", "label": "fine_label", "extra": ["coarse_label"]},
        ),
        ("mnist", "ylecun/mnist/mnist", {"image": "image", "label": "label"}),
        (
            "fashionmnist",
            "fashion_mnist/fashion_mnist",
            {"image": "image", "label": "label", "names": FASHION},
        ),
        (
            "svhn",
            "datasets--ufldl-stanford--svhn/snapshots/0f1e/cropped_digits",
            {"image": "image", "label": "label"},
        ),
    ],
)
def test_a_known_data_set_is_read_as_the_hub_has_it(tmp_path, small, name, folder, columns):
    small(name)
    hub(tmp_path / folder, name, **columns)
    assert locate(name, tmp_path) == tmp_path / folder
    data = check(name, tmp_path)
    assert data.info.classes == REGISTRY[name].classes
    assert data.record.train.formats == {"PNG": len(data.train)}
    assert [path.suffix for path in list_files(DatasetRef(name=name), tmp_path)] == [".parquet"] * 2


def test_tinyimagenet_is_read_as_the_hub_has_it(tmp_path, small):
    wnids = ["n01443537", "n01629819", "n01641577"]
    small("tinyimagenet", classes=tuple("012"))
    hub(
        tmp_path / "zh-plus" / "tiny-imagenet" / "data",
        "tinyimagenet",
        image="image",
        label="label",
        names=wnids,
        test="valid",
    )
    assert check("tinyimagenet", tmp_path).info.classes == tuple(wnids)


def test_png_and_jpeg_are_told_apart_by_their_bytes(tmp_path, small):
    for name, format in (("cifar10", "PNG"), ("cifar10-jpeg", "JPEG")):
        root = tmp_path / format
        hub(root / "cifar10" / "plain_text", name, image="img", label="label", format=format)
        other = {"cifar10": "cifar10-jpeg", "cifar10-jpeg": "cifar10"}[name]
        assert locate(name, root) and locate(other, root) is None
        assert f"is the data set {name!r}" in str(
            missing_dataset_error(DatasetRef(name=other), root)
        )


def test_other_known_data_sets_are_not_read_from_jpeg(tmp_path, small):
    small("mnist")
    hub(tmp_path / "mnist", "mnist", image="image", label="label", format="JPEG")
    with pytest.raises(DatasetError, match="images are JPEG, but this data set has PNG or"):
        load_dataset(DatasetRef(name="mnist"), tmp_path)


@pytest.mark.parametrize("names", [REGISTRY["cifar10"].classes, tuple("0123456789")])
@pytest.mark.parametrize("splits", [("train", "test"), ("Training", "Testing")])
def test_cifar10_is_read_from_class_folders(tmp_path, small, names, splits):
    small("cifar10")
    for split, count in zip(splits, SPLITS.values(), strict=True):
        for label, name in enumerate(names):
            folder = tmp_path / "cifar-10" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                content = draw(REGISTRY["cifar10"], label, "PNG")
                (folder / f"{number}_{name}.png").write_bytes(content)
    assert check("cifar10", tmp_path).info.classes == REGISTRY["cifar10"].classes
    assert locate("cifar10-jpeg", tmp_path) is None
    assert len(list_files(DatasetRef(name="cifar10"), tmp_path)) == 30


def test_classes_in_another_order_are_numbered_by_name(tmp_path, small):
    small("svhn")
    names = [str((value + 1) % 10) for value in range(10)]
    hub(tmp_path / "svhn", "svhn", image="image", label="label", names=names)
    data = load_dataset(DatasetRef(name="svhn"), tmp_path)
    shown = data.train.images[:, 0, -1, -1].long()
    assert torch.equal((shown + 1) % 10, data.train.labels)
    assert "are numbered as svhn numbers them" in data.record.notes[-1]


def test_other_classes_counts_and_pixels_are_refused(tmp_path, small, shrink):
    folder = tmp_path / "cifar10"
    hub(folder, "cifar10", image="img", label="label", names=[*"abcdefghij"])
    small("cifar10")
    with pytest.raises(DatasetError, match=r"cifar10: classes are a, b, .*; expected airplane"):
        load_dataset(DatasetRef(name="cifar10"), tmp_path)
    hub(tmp_path / "right" / "cifar10", "cifar10", image="img", label="label")
    shrink("cifar10", train_images=20, test_images=10, pixel_mean=(0.4914, 0.4822, 0.4465))
    with pytest.raises(DatasetError, match=r"means 0\.01.*, published are 0\.4914.*other images"):
        load_dataset(DatasetRef(name="cifar10"), tmp_path / "right")
    shrink("cifar10", train_images=50_000)
    with pytest.raises(DatasetError, match=r"20 training images .* not 50000"):
        load_dataset(DatasetRef(name="cifar10"), tmp_path / "right")


@pytest.mark.parametrize("inner", ["images", ""])
def test_tinyimagenet_with_its_validation_images_sorted_by_class(tmp_path, small, inner):
    small("tinyimagenet", classes=tuple("012"))
    root, info = tmp_path / "tiny-imagenet-200", REGISTRY["tinyimagenet"]
    for label, wnid in enumerate(("n01443537", "n01629819", "n01641577")):
        for number in range(2):
            path = root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(draw(info, label, "PNG"))
        path = root / "val" / wnid / inner / f"val_{label}.JPEG"
        path.parent.mkdir(parents=True)
        path.write_bytes(draw(info, label, "PNG"))
    (root / "val" / "val_annotations.txt").write_text("what the script left behind\n")
    data = check("tinyimagenet", tmp_path)
    assert data.info.classes[0] == "n01443537"
    assert "sorted into class folders" in data.record.layout


@pytest.mark.parametrize(
    "folder", ["fashion-mnist", "Fashion_MNIST", "FASHIONMNIST", "fashionmnist"]
)
def test_the_case_and_punctuation_of_a_folder_do_not_matter(tmp_path, folder):
    (tmp_path / folder).mkdir()
    for pattern in LAYOUTS["fashionmnist"][0].files:
        (tmp_path / folder / f"{pattern.rstrip('*')}.gz").touch()
    assert locate("fashionmnist", tmp_path) == tmp_path / folder
    assert locate("mnist", tmp_path) is None
    assert locate("fashionmnist", tmp_path / folder) == tmp_path / folder


def test_every_form_has_a_known_data_set():
    assert OTHER_LAYOUTS.keys() == REGISTRY.keys() - {"digits"}
    assert all(find_place(name, Path("/nowhere")) is None for name in OTHER_LAYOUTS)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("cifar10", ["cifar10/train.parquet", "cifar10/test.parquet"]),
        ("cifar10-jpeg", ["cifar10/plain_text/train.parquet", "cifar10/plain_text/test.parquet"]),
        ("svhn", ["svhn/train_32x32.mat", "svhn/test_32x32.mat"]),
        ("mnist", [f"mnist/{pattern.rstrip('*')}" for pattern in LAYOUTS["mnist"][0].files]),
        ("tinyimagenet", ["tinyimagenet.pt"]),
    ],
)
def test_pipes_in_place_of_files_keep_nobody_waiting(tmp_path, name, files):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(tmp_path / file)
    message = "cifar10: not found" if name == "cifar10" else r"is a pipe \(FIFO\)"
    with pytest.raises(DatasetError, match=message):
        load_dataset(DatasetRef(name=name), tmp_path)
