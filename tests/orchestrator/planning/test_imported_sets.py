"""Plans of evaluations, and the unit that imports a set."""

import dataclasses

import pytest
import torch

from distill_core.datasets.load import load_dataset
from distill_core.importers.reading import Reading
from distill_core.settings import DatasetRef, SettingsError
from distill_core.synthetic_set import SyntheticSet
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.execution.unit_functions import SET_FILE
from orchestrator.planning.imported_sets import EvaluationRequest, GivenSet, plan_evaluation
from orchestrator.store import tables
from orchestrator.store.open import open_store
from orchestrator.units import Evaluate, ImportSet, Select, from_json, to_json

DIGITS = DatasetRef(name="digits")
SETTINGS = {
    "evaluation.num_eval": 1,
    "evaluation.epoch_eval_train": 2,
    "evaluation.batch_train": 8,
    "evaluation.dsa_strategy": "none",
}
QUESTION = EvaluationRequest(
    dataset=DIGITS, protocol="paper", architectures=("ConvNetW8",), overrides=SETTINGS
)


def imported(seed=0, method="theirs", ipc=2, content="0" * 64, path="/nowhere", **reading):
    unit = ImportSet(
        dataset=DIGITS,
        protocol="paper",
        method=method,
        ipc=ipc,
        seed=seed,
        content=content,
        reading=Reading(**{"layout": "dc", "normalised": True, **reading}),
        path=path,
    )
    return GivenSet(unit=unit, method=method)


def test_what_a_file_is_names_the_unit_and_where_it_lies_does_not():
    key = imported().unit.key
    assert imported(path="/elsewhere").unit.key == key
    assert imported(zca="no", zca_path="/a").unit.key == key
    others = [
        {"content": "1" * 64},
        {"normalised": False},
        {"partition": 2},
        {"number": 1},
        {"seed": 1},
        {"method": "x"},
    ]
    assert len({key, *(imported(**change).unit.key for change in others)}) == 7
    assert (
        from_json(to_json(imported(mean=(0.5,), std=(0.2,)).unit))
        == imported(mean=(0.5,), std=(0.2,)).unit
    )


def test_methods_beside_get_the_same_ipcs_and_seeds():
    question = dataclasses.replace(
        QUESTION, methods=("Random", "Whole"), architectures=("ConvNetW8", "MLP")
    )
    plan = plan_evaluation([imported(0), imported(1), imported(0, ipc=5)], question)
    cells = {(cell.method, cell.ipc, cell.seed, cell.network) for cell in plan.cells}
    for network in ("ConvNetW8", "MLP"):
        assert {("Random", ipc, seed, network) for ipc in (2, 5) for seed in (0, 1)} <= cells
        assert {("Whole", None, seed, network) for seed in (0, 1)} <= cells
        assert {
            ("theirs", 2, 0, network),
            ("theirs", 2, 1, network),
            ("theirs", 5, 0, network),
        } <= cells
    assert len(cells) == len(plan.cells) == 18
    settings = {unit.settings for unit in plan.units.values() if isinstance(unit, Evaluate)}
    assert len(settings) == 1 and settings.pop().epoch_eval_train == 2
    for key, unit in plan.units.items():
        assert unit.key == key and all(parent in plan.units for parent in unit.parents)


def test_the_matching_network_of_the_data_set_stands_for_same():
    plan = plan_evaluation([imported()], dataclasses.replace(QUESTION, architectures=("same",)))
    assert [cell.network for cell in plan.cells] == ["ConvNet"]


def test_a_given_name_does_not_change_the_protocol():
    """Networks of the method Whole are trained for fewer epochs; a file may be called that too."""
    question = dataclasses.replace(QUESTION, overrides={})
    settings = [
        unit.settings
        for name in ("theirs", "Whole", "Whole+x")
        for unit in plan_evaluation([imported(method=name)], question).units.values()
        if isinstance(unit, Evaluate)
    ]
    assert len(settings) == 3 and len(set(settings)) == 1 and settings[0].epoch_eval_train == 1000


def test_a_learning_rate_of_their_own_is_theirs_alone():
    theirs = dataclasses.replace(imported(), lr_net=0.5, note="trained with learning rate 0.5")
    plan = plan_evaluation([theirs], dataclasses.replace(QUESTION, methods=("Random",)))
    rates = {cell.method: plan.units[cell.evaluation_key].settings.lr_net for cell in plan.cells}
    assert rates == {"theirs": 0.5, "Random": 0.01}
    assert [cell.note for cell in plan.cells] == ["", "trained with learning rate 0.5"]


def test_a_set_of_the_store_is_evaluated_as_it_was():
    """The same set, named by key or planned as a method, is one unit and one cell."""
    unit = Select(dataset=DIGITS, protocol="paper", method="random", ipc=2, seed=0)
    question = dataclasses.replace(QUESTION, methods=("Random",))
    plan = plan_evaluation([GivenSet(unit=unit, method="Random"), imported()], question)
    assert [(cell.method, cell.set_key) for cell in plan.cells] == [
        ("Random", unit.key),
        ("theirs", imported().unit.key),
    ]


def test_two_sets_of_one_name():
    with pytest.raises(SettingsError, match="another name with --name"):
        plan_evaluation(
            [imported(method="Random")], dataclasses.replace(QUESTION, methods=("Random",))
        )


@pytest.fixture
def published(tmp_path):
    """A DC file of digits, and the same images as a set of ours."""
    digits = load_dataset(DIGITS, tmp_path)
    indices = torch.cat([torch.arange(offset, offset + 2) for offset in digits.train.offsets])
    images, labels = digits.train.normalized(indices), digits.train.labels[indices]
    torch.save({"data": [[images, labels]], "accs_all_exps": {}}, tmp_path / "res.pt")
    return tmp_path / "res.pt"


@pytest.fixture
def run(tmp_path):
    store = open_store(tmp_path / "store")
    settings = TrialSettings(
        store=str(store.root), data_root=str(tmp_path), run="run", report_seconds=0.0
    )

    def run(unit):
        return compute_unit(unit, settings, device="cpu"), store

    return run


def content(path):
    from distill_core.importers.convert import compute_content_digest
    from distill_core.importers.recognize import recognize

    return compute_content_digest(recognize(path), path)


def test_an_imported_set_is_an_artifact_with_rows(published, run):
    given = imported(content=content(published), path=str(published))
    plan = plan_evaluation([given], QUESTION)
    for unit in plan.units.values():
        result, store = run(unit)
        assert result.status == "done", result.traceback
    synthetic = SyntheticSet.load(store.fetch_folder(given.unit.key) / SET_FILE)
    assert (synthetic.method, synthetic.ipc, synthetic.key) == ("theirs", 2, given.unit.key)
    assert synthetic.spec["reading"]["layout"] == "dc"
    (made,) = tables.read(store.tables, "distillations").to_pylist()
    assert (made["method"], made["ipc"], made["images"], made["kind"]) == (
        "theirs",
        2,
        20,
        "import_set",
    )
    (network,) = tables.read(store.tables, "evaluations").to_pylist()
    assert (network["method"], network["set_key"]) == ("theirs", given.unit.key)


def test_files_that_changed_are_not_taken(published, run):
    given = imported(content=content(published), path=str(published))
    torch.save({"data": [[torch.rand(20, 1, 32, 32), torch.arange(10).repeat(2)]]}, published)
    result, _ = run(given.unit)
    assert result.status == "failed" and "has changed since it was planned" in result.reason
    published.unlink()
    result, _ = run(given.unit)
    assert result.status == "failed" and "there is no file" in result.reason
