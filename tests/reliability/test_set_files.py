"""However a distilled set is stored, it is read rightly, or what is open is asked and answered."""

import re
from pathlib import Path

import pytest
import torch
from drawn import try_cases
from set_files import (
    answer_by_name,
    find_commands,
    is_true,
    set_cases,
    write_gray_again,
    write_set,
)

from distill_core.datasets.load import load_dataset
from distill_core.importers.choose_sets import build_set
from distill_core.importers.convert import convert
from distill_core.importers.recognize import recognize_all
from distill_core.settings import DatasetRef, SettingsError
from orchestrator.cli.app import load_command
from orchestrator.cli.commands.evaluate import build_evaluation_request, read_options
from orchestrator.launch.inputs.given_sets import FileOptions, read_given_sets
from orchestrator.store.open import open_store


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load_dataset(DatasetRef(name="digits"), tmp_path_factory.mktemp("data"))


def read(words, dataset, store, told):
    """Read the sets that a command line of `iid evaluate` names, as the command does."""
    params = load_command("evaluate").make_context("iid evaluate", list(words)).params
    names = ("normalised", "zca", "factor", "soft_labels", "labels", "classes", "join")
    options = read_options(**{name: params[name] for name in names}, check=not params["no_check"])
    file_options = FileOptions(
        options=options,
        allow_pickle=params["allow_pickle"],
        command=("iid", "evaluate", *words),
    )
    question = build_evaluation_request("digits", "ConvNetW8D1", "paper", "", [], 1)
    return read_given_sets(params["paths"], question, dataset, store, file_options, told.append)


def read_following(written, dataset, store):
    """Read a set; answer what is asked with what is true of it."""
    words, told = [str(written.path), "--dataset", "digits"], []
    asked = []
    while True:
        try:
            return read(words, dataset, store, told), told, asked
        except SettingsError as error:
            message = str(error)
        asked.append(message)
        assert len(asked) <= 4, asked
        true = [each for each in find_commands(message) if is_true(each, written.case)]
        added = [] if true else answer_by_name(message, words, written.case)
        empty = re.match(r"(.*): there are no images in this class folder; .*remove it", message)
        if empty:
            Path(empty[1]).rmdir()
            continue
        if "save images[:, :1] in place of images" in message:
            written = write_gray_again(written, dataset)
            continue
        assert true or added, f"nothing that is offered is right: {message}"
        words = true[0][2:] if true else [*words, *added]


def check(written, dataset, store):
    sets, told, asked = read_following(written, dataset, store)
    assert len(sets) == 1, (told, "snapshots of one run are one set")
    reading, case = sets[0].unit.reading, written.case
    paths = [Path(sets[0].unit.path)]
    found = recognize_all(paths, allow_pickle=True, labels_path=reading.labels_path)
    got = convert(build_set(found, reading), reading, dataset, method="x", spec={}, check=False)
    shown = (told, asked)
    assert got.partition == case.factor, shown
    assert len(got.images) == len(written.images), shown
    distances = torch.cdist(got.images.flatten(1), written.images.flatten(1))
    nearest = distances.argmin(1)
    assert float(distances.min(1).values.max()) < 0.5, ("pixels", shown)
    assert torch.equal(got.labels, written.labels[nearest]), ("labels", shown)
    assert told, "what was read is told"


@pytest.mark.parametrize("count", [80, pytest.param(2000, marks=pytest.mark.nightly)])
def test_a_set_is_read_rightly_or_its_question_has_the_right_answer(tmp_path, count, digits):
    store = open_store(tmp_path / "store")

    def try_one(case, root):
        check(write_set(case, root, digits), digits, store)

    try_cases(count, set_cases(), tmp_path, try_one)
