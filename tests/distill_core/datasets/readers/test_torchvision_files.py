import hashlib
import pickle
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets

from distill_core.datasets.info import DatasetError
from distill_core.datasets.load import load_dataset
from distill_core.settings import DatasetRef


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_pickle(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return [path.name, md5(path)]


@pytest.fixture
def cifar10(tmp_path, pixels, shrink, monkeypatch):
    """CIFAR-10 of two images per batch; its checksums replace the original ones."""
    folder = tmp_path / "cifar10" / "cifar-10-batches-py"
    images = pixels(12, 32).transpose(0, 3, 1, 2)
    labels = [9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 4, 2]

    def batch(name, part):
        content = {
            "data": images[part].reshape(2, 3072),
            "labels": labels[part],
            "batch_label": name,
        }
        return write_pickle(folder / name, content)

    train = [batch(f"data_batch_{i + 1}", slice(2 * i, 2 * i + 2)) for i in range(5)]
    meta = write_pickle(folder / "batches.meta", {"label_names": [f"class {i}" for i in range(10)]})
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(
        torchvision.datasets.CIFAR10, "test_list", [batch("test_batch", slice(10, 12))]
    )
    monkeypatch.setattr(
        torchvision.datasets.CIFAR10,
        "meta",
        {"filename": meta[0], "md5": meta[1], "key": "label_names"},
    )
    shrink("cifar10", train_images=10, test_images=2)
    return images, labels


def test_reads_cifar10(tmp_path, cifar10):
    images, labels = cifar10
    data = load_dataset(DatasetRef(name="cifar10"), tmp_path)
    order = sorted(range(10), key=labels.__getitem__)
    assert torch.equal(data.train.images, torch.from_numpy(images[order]))
    assert data.train.labels.tolist() == list(range(10))
    assert data.test.labels.tolist() == [2, 4]
    assert data.info.classes[0] == "airplane"


@pytest.mark.parametrize("file", ["data_batch_4", "test_batch", "batches.meta"])
def test_damaged_cifar10_file_is_named(tmp_path, cifar10, file):
    path = tmp_path / "cifar10" / "cifar-10-batches-py" / file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        DatasetError, match=f"{file}: damaged, or not the original file; delete it, then --download"
    ):
        load_dataset(DatasetRef(name="cifar10"), tmp_path)


def test_missing_cifar10_file_is_named(tmp_path, cifar10):
    (tmp_path / "cifar10" / "cifar-10-batches-py" / "data_batch_2").unlink()
    with pytest.raises(DatasetError, match=r"data_batch_2 is missing; --download"):
        load_dataset(DatasetRef(name="cifar10"), tmp_path)


def test_reads_the_fine_labels_of_cifar100(tmp_path, pixels, shrink, monkeypatch):
    images, fine = pixels(4, 32).transpose(0, 3, 1, 2), [99, 0, 17, 17]

    def part(name, chosen):
        content = {
            "data": images[chosen].reshape(-1, 3072),
            "fine_labels": fine[chosen],
            "coarse_labels": [1, 1],
        }
        return write_pickle(tmp_path / "cifar-100-python" / name, content)

    meta = write_pickle(
        tmp_path / "cifar-100-python" / "meta", {"fine_label_names": ["apple"] * 100}
    )
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "train_list", [part("train", slice(2))])
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "test_list", [part("test", slice(2, 4))])
    monkeypatch.setattr(
        torchvision.datasets.CIFAR100,
        "meta",
        {"filename": "meta", "md5": meta[1], "key": "fine_label_names"},
    )
    shrink("cifar100", train_images=2, test_images=2)
    data = load_dataset(DatasetRef(name="cifar100"), tmp_path)
    assert data.train.labels.tolist() == [0, 99]
    assert torch.equal(data.train.images, torch.from_numpy(images[[1, 0]]))
    assert torch.equal(data.test.images_of_class(17), torch.from_numpy(images[2:]))


@pytest.fixture
def svhn(tmp_path, pixels, shrink, monkeypatch):
    """SVHN of three and two images; its checksums replace the original ones."""
    images, files = pixels(5, 32), {}
    (tmp_path / "svhn").mkdir()
    for split, part, labels in (("train", slice(3), [10, 1, 9]), ("test", slice(3, 5), [2, 10])):
        path = tmp_path / "svhn" / f"{split}_32x32.mat"
        scipy.io.savemat(
            path,
            {
                "X": images[part].transpose(1, 2, 3, 0),
                "y": np.array(labels, dtype=np.uint8)[:, None],
            },
        )
        files[split] = ["", path.name, md5(path)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", files)
    shrink("svhn", train_images=3, test_images=2)
    return images


def test_reads_svhn_with_its_label_10_as_the_digit_0(tmp_path, svhn):
    data = load_dataset(DatasetRef(name="svhn"), tmp_path)
    assert data.train.labels.tolist() == [0, 1, 9]
    assert torch.equal(data.train.images, torch.from_numpy(svhn[:3].transpose(0, 3, 1, 2)))
    assert data.test.labels.tolist() == [0, 2]
    assert torch.equal(data.test.images, torch.from_numpy(svhn[[4, 3]].transpose(0, 3, 1, 2)))


def test_damaged_svhn_file_is_named(tmp_path, svhn):
    path = tmp_path / "svhn" / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"test_32x32\.mat: damaged"):
        load_dataset(DatasetRef(name="svhn"), tmp_path)


def test_original_checksums_are_asked_for(tmp_path, pixels, shrink):
    """A file of the right format with other content is refused."""
    for name in ("train", "test"):
        scipy.io.savemat(
            tmp_path / f"{name}_32x32.mat", {"X": pixels(1, 32).transpose(1, 2, 3, 0), "y": [[1]]}
        )
    with pytest.raises(DatasetError, match="not the original file"):
        load_dataset(DatasetRef(name="svhn"), tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "svhn", "mnist"])
def test_nothing_is_downloaded_without_request(tmp_path, monkeypatch, name):
    monkeypatch.setattr(
        "torchvision.datasets.utils._urlretrieve", lambda *_: pytest.fail("reached for the network")
    )
    with pytest.raises(DatasetError, match=r"not found .* --download"):
        load_dataset(DatasetRef(name=name), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cifar10", "svhn", "mnist"])
def test_failed_download_says_how_to_get_the_files(tmp_path, monkeypatch, name):
    def offline(*_):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", offline)
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, **_: url)
    with pytest.raises(DatasetError, match=r"cannot download it to .* into"):
        load_dataset(DatasetRef(name=name), tmp_path, download=True)


def test_download_is_read_from_where_it_was_put(tmp_path, svhn, monkeypatch):
    stored = {path.name: path.read_bytes() for path in (tmp_path / "svhn").iterdir()}
    monkeypatch.setattr(
        "torchvision.datasets.svhn.download_url",
        lambda url, root, name, md5: (root / name).write_bytes(stored[name]),
    )
    data = load_dataset(DatasetRef(name="svhn"), tmp_path / "fresh", download=True)
    assert (tmp_path / "fresh" / "svhn" / "train_32x32.mat").is_file()
    assert data.fingerprint == load_dataset(DatasetRef(name="svhn"), tmp_path).fingerprint
