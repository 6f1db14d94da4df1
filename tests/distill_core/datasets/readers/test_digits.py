import importlib.util
import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate

from distill_core.datasets.info import REGISTRY
from distill_core.datasets.load import load_dataset
from distill_core.datasets.readers.digits import _read_scans, read_digits
from distill_core.settings import DatasetRef


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load_dataset(DatasetRef(name="digits"), tmp_path_factory.mktemp("empty"))


def test_record_matches_the_images(digits):
    pixels = digits.train.images.double() / 255
    assert pixels.mean().item() == pytest.approx(digits.info.mean[0], abs=5e-5)
    assert pixels.std(correction=0).item() == pytest.approx(digits.info.std[0], abs=5e-5)
    assert (len(digits.train), len(digits.test)) == (
        digits.info.train_images,
        digits.info.test_images,
    )
    assert digits.train.images.shape[1:] == digits.test.images.shape[1:] == (1, 32, 32)


def test_every_scan_is_in_one_split_and_a_fifth_of_each_class_in_test(digits):
    total = torch.from_numpy(load_digits().target).bincount().tolist()
    for train, test, count in zip(digits.train.counts, digits.test.counts, total, strict=True):
        assert train + test == count
        assert test == round(count / 5)


def test_images_are_the_scans_resized_bilinearly(digits):
    scans = torch.from_numpy(load_digits().images)[:, None]
    expected = interpolate(scans, size=32, mode="bilinear", align_corners=False) * 255 / 16
    distance = torch.cdist(digits.test.images.double().flatten(1), expected.flatten(1), p=math.inf)
    assert distance.min(dim=1).values.max() <= 0.5
    assert len(distance.argmin(dim=1).unique()) == len(digits.test)


def test_bytes_and_split_never_change(digits):
    assert digits.fingerprint == "4f89b67c146a2533"


def test_reader_needs_no_data_folder(tmp_path):
    raw = read_digits(tmp_path, REGISTRY["digits"])
    assert raw.train.images.dtype == raw.test.images.dtype == "uint8"


def test_the_scans_are_those_of_scikit_learn_with_its_file_and_without(monkeypatch):
    expected = load_digits()
    for find in (importlib.util.find_spec, lambda name: None):
        monkeypatch.setattr("importlib.util.find_spec", find)
        scans, labels = _read_scans()
        assert (scans == expected.images).all() and (labels == expected.target).all()
