import gzip

import numpy as np
import pytest
import torch

from distill_core.datasets.info import DatasetError
from distill_core.datasets.load import load_dataset
from distill_core.datasets.readers.idx import read_idx
from distill_core.settings import DatasetRef

LABELS = {"train": [3, 1, 9, 0, 1, 3], "t10k": [0, 9, 5]}


def idx(array):
    header = bytes((0, 0, 8, array.ndim)) + b"".join(
        size.to_bytes(4, "big") for size in array.shape
    )
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def images(pixels):
    return {split: pixels(len(labels), 28, channels=1)[..., 0] for split, labels in LABELS.items()}


@pytest.fixture
def write(tmp_path, images, shrink):
    """Write the four files under a folder, plain or gzipped."""

    def files(folder, compress=False):
        (tmp_path / folder).mkdir(parents=True)
        for split, labels in LABELS.items():
            for kind, array in (("images-idx3", images[split]), ("labels-idx1", np.array(labels))):
                path = tmp_path / folder / f"{split}-{kind}-ubyte"
                if compress:
                    path.with_name(path.name + ".gz").write_bytes(gzip.compress(idx(array)))
                else:
                    path.write_bytes(idx(array))
        for name in ("mnist", "fashionmnist"):
            shrink(name, train_images=6, test_images=3)
        return tmp_path / folder

    return files


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "MNIST/raw"), ("mnist", "mnist"), ("fashionmnist", "fashionmnist/FashionMNIST/raw")],
)
def test_reads_plain_and_gzipped_files(tmp_path, write, images, name, folder, compress):
    write(folder, compress)
    data = load_dataset(DatasetRef(name=name), tmp_path)
    order = sorted(range(6), key=LABELS["train"].__getitem__)
    assert torch.equal(data.train.images, torch.from_numpy(images["train"][order])[:, None])
    assert data.train.labels.tolist() == [0, 1, 1, 3, 3, 9]
    assert data.test.labels.tolist() == [0, 5, 9]


def test_reads_what_torchvision_reads(tmp_path, write, images):
    from torchvision.datasets import MNIST

    write("MNIST/raw")
    theirs = MNIST(tmp_path, train=False)
    ours = read_idx(tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte", dimensions=3)
    assert np.array_equal(theirs.data.numpy(), ours)


def damage_labels(content):
    return content[:-1] + b"\x0b"


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("train-images-idx3-ubyte", lambda content: content[:-5], "not a complete idx file"),
        ("train-images-idx3-ubyte", lambda content: content + b"0", "not a complete idx file"),
        (
            "t10k-images-idx3-ubyte",
            lambda content: b"<html>" + content[6:],
            "not a complete idx file",
        ),
        ("t10k-images-idx3-ubyte", lambda content: b"", "not a complete idx file"),
        ("t10k-labels-idx1-ubyte", lambda content: idx(np.zeros(2)), "3 images, .* 2 labels"),
        ("train-labels-idx1-ubyte", damage_labels, r"entry 5: label 11 is not one of 0 … 9"),
    ],
)
def test_damaged_file_is_named(tmp_path, write, file, damage, message):
    path = write("mnist") / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=message) as error:
        load_dataset(DatasetRef(name="mnist"), tmp_path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("keep", [0, 5, -1])
def test_truncated_gzip_is_named(tmp_path, write, keep):
    path = write("mnist", compress=True) / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte\.gz: "):
        load_dataset(DatasetRef(name="mnist"), tmp_path)


def test_other_sizes_and_counts_are_refused(tmp_path, write, shrink):
    folder = write("mnist")
    shrink("mnist", train_images=60_000)
    with pytest.raises(DatasetError, match=r"6 training images .* not 60000"):
        load_dataset(DatasetRef(name="mnist"), tmp_path)
    shrink("mnist", train_images=6)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 14, 14))))
    with pytest.raises(DatasetError, match="test images of shape"):
        load_dataset(DatasetRef(name="mnist"), tmp_path)
