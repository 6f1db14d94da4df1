"""However a data set lies in its folder, it is read rightly and told, or its remedy works."""

import logging

import pytest
from drawn import try_cases
from layouts import build, cases, follow

from distill_core.datasets.info import DatasetError
from distill_core.datasets.load import load_dataset
from distill_core.settings import SettingsError


def load(tree):
    """Load the data set of a tree; follow each remedy until it can be read."""
    while True:
        try:
            return load_dataset(tree.ref, tree.root)
        except (DatasetError, SettingsError) as error:
            message = str(error)
            assert follow(tree, message), f"no remedy that works: {message}"


def check(tree):
    dataset = load(tree)
    names = {name: code for code, name in enumerate(name_codes(tree))}
    read = set()
    for split in (dataset.train, dataset.test):
        for image, label in zip(split.images, split.labels.tolist(), strict=True):
            code, serial = int(image[0, 0, 0]) // 20 - 1, int(image[0, 1, 0])
            name = dataset.info.classes[label]
            assert names.get(name) == code, f"image {serial} of class {code} was read as {name}"
            assert serial not in read, f"image {serial} was read twice"
            read.add(serial)
    lines = dataset.record.list_lines()
    assert not read & tree.hidden, f"{read & tree.hidden} are hidden: {lines}"
    missing = tree.visible.keys() - read
    if missing:
        told = [line for line in lines if any(word in line for word in TOLD)]
        assert told, f"{missing} were left out in silence: {lines}"


TOLD = ("passed over", "not used", "held out")


def name_codes(tree):
    from distill_core.datasets.folders import compose, show

    case = tree.case
    if case.container == "parquet" and not {"strings", "categories"} & case.odd:
        is_bool = "bool" in case.odd and len(case.classes) == 2
        return ["False", "True"] if is_bool else [str(code) for code in range(len(case.classes))]
    return [show(compose(name)) for name in case.classes]


@pytest.mark.parametrize("count", [220, pytest.param(8000, marks=pytest.mark.nightly)])
def test_a_folder_is_read_rightly_and_told_or_its_remedy_works(tmp_path, count, caplog):
    caplog.set_level(logging.ERROR)
    try_cases(count, cases(), tmp_path, lambda case, root: check(build(case, root)))
