"""A set that went through rungs equals one that was distilled at once, bit by bit."""

import dataclasses

import pytest

from distill_core.distillation.state import Curve
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.execution.unit_functions import SET_FILE
from orchestrator.search import warm_start
from orchestrator.search.warm_start import advance, thin_curve
from orchestrator.store import tables
from orchestrator.store.atomic_files import sha256
from orchestrator.store.open import open_store

CC, CM = "distillation.lambda_cc", "distillation.lambda_cm"
TIMES = {"run", "finished", "seconds", "seconds_per_iteration", "peak_memory"}


@pytest.fixture
def make_workplace(tmp_path):
    def make(name):
        store = open_store(tmp_path / name)
        settings = TrialSettings(
            store=str(store.root), data_root=str(tmp_path), run="r", tensorboard=False
        )
        return store, settings

    return make


def make_rungs(study, store, settings):
    """Return the first seed's sets at all rungs; what they read is in the store."""
    for unit in study.extractors().values():
        assert compute_unit(unit, settings, device="cpu").status == "done"
    choice = {CC: 0.5, CM: 0.2}
    return [
        study.build_rung_units(choice, rung)[0].distill for rung in range(len(study.iterations))
    ]


def read_content(store, unit):
    (row,) = tables.read(store.tables, "distillations", [unit.key]).to_pylist()
    kept = {name: value for name, value in row.items() if name not in TIMES}
    return sha256(store.locate_unit("distill", unit.key) / SET_FILE), kept


@pytest.mark.parametrize("overrides", [["methods=DM+IID"], ["methods=IDM+IID"]])
def test_sets_that_went_through_rungs_equal_those_distilled_at_once(
    make_study, make_workplace, overrides
):
    study = make_study(*overrides)
    by_rungs, settings = make_workplace("rungs")
    lengths = make_rungs(study, by_rungs, settings)
    started = []
    for shorter, longer in zip(lengths, [*lengths[1:], None], strict=True):
        if longer is not None:
            advance(shorter, longer, settings, device="cpu")
            started.append(warm_start._load_state(longer, by_rungs))
        assert compute_unit(shorter, settings, device="cpu").status == "done"
    assert [state and state.iteration for state in started[1:]] == [
        n - 1 for n in study.iterations[1:-1]
    ]
    at_once, settings = make_workplace("once")
    for unit in make_rungs(study, at_once, settings):
        assert compute_unit(unit, settings, device="cpu").status == "done"
        assert read_content(at_once, unit) == read_content(by_rungs, unit)
    assert not list((by_rungs.root / "checkpoints").glob("*/*"))


def test_a_longer_curve_keeps_the_points_that_it_would_have_recorded(
    make_study, make_workplace, monkeypatch
):
    """With 2 points a curve, 2 iterations are recorded every one and 4 every second."""
    monkeypatch.setattr("distill_core.distillation.run.CURVE_POINTS", 2)
    monkeypatch.setattr("orchestrator.search.rungs.CURVE_POINTS", 2)
    store, settings = make_workplace("rungs")
    _, shorter, longer = make_rungs(make_study("iterations=8"), store, settings)
    shorter, longer = (
        dataclasses.replace(longer, settings=dataclasses.replace(longer.settings, iterations=n))
        for n in (3, 7)
    )
    advance(shorter, longer, settings, device="cpu")
    compute_unit(longer, settings, device="cpu")
    other, settings = make_workplace("once")
    make_rungs(make_study("iterations=8"), other, settings)
    compute_unit(longer, settings, device="cpu")
    assert read_content(other, longer) == read_content(store, longer)
    assert read_content(store, longer)[1]["curve_iteration"] == [1, 3, 6, 7]


def test_lengths_whose_curves_do_not_fit_are_not_copied(make_study, make_workplace, monkeypatch):
    monkeypatch.setattr("orchestrator.search.rungs.CURVE_POINTS", 1)
    store, settings = make_workplace("rungs")
    (*_, unit) = make_rungs(make_study(), store, settings)
    shorter, longer = (
        dataclasses.replace(unit, settings=dataclasses.replace(unit.settings, iterations=n))
        for n in (2, 3)
    )
    advance(shorter, longer, settings, device="cpu")
    assert store.load_checkpoint(longer) is None
    assert store.load_checkpoint(shorter) is not None


def test_what_goes_wrong_is_logged_and_left_to_the_unit_which_records_it(
    make_study, make_workplace, caplog
):
    store, settings = make_workplace("rungs")
    _, _, unit = make_rungs(make_study(), store, settings)
    wild = dataclasses.replace(unit, settings=dataclasses.replace(unit.settings, lr_img=1e30))
    longer = dataclasses.replace(wild, settings=dataclasses.replace(wild.settings, iterations=9))
    advance(wild, longer, settings, device="cpu")
    assert f"{longer.key} does not start from {wild.key}: DistillationError" in caplog.text
    assert store.load_checkpoint(longer) is None
    result = compute_unit(wild, settings, device="cpu")
    assert (
        result.status == "failed"
        and result.error == "DistillationError"
        and " at iteration " in result.reason
    )


def test_thinning_keeps_the_first_point_and_those_at_the_interval():
    curve = Curve(iteration=[1, 2, 4, 6], values={"mean": [1.0, 2.0, 4.0, 6.0]})
    assert thin_curve(curve, 4) == Curve(iteration=[1, 4], values={"mean": [1.0, 4.0]})
