import subprocess
import sys

import pytest

from distill_core.datasets.info import REGISTRY, DatasetError, find_registered, resolve_registered
from distill_core.settings import DatasetRef


@pytest.mark.parametrize("module", ["info", "files"])
def test_planning_imports_neither_torch_nor_numpy(module):
    code = (
        f"import sys, distill_core.datasets.{module}; print({{'torch', 'numpy', 'PIL'}} &"
        " set(sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "set()"
    )


def test_records_are_consistent():
    sizes = {"tinyimagenet": 200, "cifar100": 100}
    for name, info in REGISTRY.items():
        assert info.name == name
        assert len(info.mean) == len(info.std) == info.channels
        assert len(set(info.classes)) == len(info.classes) == sizes.get(name, 10)


def test_published_normalization():
    assert REGISTRY["cifar100"].mean == (0.5071, 0.4866, 0.4409)
    assert REGISTRY["cifar10-jpeg"].std == REGISTRY["cifar10"].std == (0.2023, 0.1994, 0.2010)
    assert REGISTRY["svhn"].mean == (0.4377, 0.4438, 0.4728)
    assert (REGISTRY["mnist"].mean, REGISTRY["fashionmnist"].std) == ((0.1307,), (0.3530,))


def test_cifar100_names_are_those_of_the_fine_labels():
    classes = REGISTRY["cifar100"].classes
    assert list(classes) == sorted(classes)
    assert (classes[0], classes[23], classes[41], classes[99]) == (
        "apple",
        "cloud",
        "lawn_mower",
        "worm",
    )


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("cifar", "cifar10"), ("CIFAR-10", "cifar10"), ("tiny-imagenet", "tinyimagenet")],
)
def test_unknown_name_names_the_nearest(name, nearest):
    with pytest.raises(DatasetError, match=f"did you mean '{nearest}'"):
        find_registered(name)


def test_name_like_no_other_lists_the_known_ones():
    with pytest.raises(DatasetError, match="known are digits, mnist"):
        find_registered("xyz")


def test_reference_to_custom_data_has_no_record():
    assert resolve_registered(DatasetRef(name="mine", format="parquet", path="x")) is None
    assert resolve_registered(DatasetRef(name="digits")) is REGISTRY["digits"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "cifar10", "format": "parquet", "path": "x"}, "another name"),
        ({"name": "cifar10", "version": 2}, "version 1, not 2"),
        ({"name": "cifar10", "image_size": 64}, "32 pixels, not 64"),
        ({"name": "cifar10", "num_classes": 100}, "10 classes, not 100; omit num_classes"),
    ],
)
def test_reference_that_contradicts_the_record_is_refused(fields, message):
    with pytest.raises(DatasetError, match=message):
        resolve_registered(DatasetRef(**fields))
