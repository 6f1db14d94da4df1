import pytest

from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.search.worker import build_rung_work, measure_rung
from orchestrator.store import leases, tables
from orchestrator.store.open import open_store
from orchestrator.units import Evaluate

CC, CM = "distillation.lambda_cc", "distillation.lambda_cm"


@pytest.fixture
def place(tmp_path, monkeypatch, harness_modules):
    """Makes a store with the extractors of a study, and settings on it."""

    def make(study, name, **options):
        store = open_store(tmp_path / name)
        settings = TrialSettings(
            store=str(store.root), data_root=str(tmp_path), run="r", tensorboard=False, **options
        )
        for unit in study.extractors().values():
            assert compute_unit(unit, settings, device="cpu").status == "done"
        return store, settings

    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    return make


def build_works(study, parameters):
    rungs = [study.build_rung_units(parameters, rung) for rung in range(len(study.iterations))]
    return [build_rung_work(rung, rungs) for rung in range(len(rungs))]


def test_a_value_is_the_mean_over_seeds_of_the_accuracy_on_held_out_images(make_study, place):
    study = make_study()
    store, settings = place(study, "store")
    first, *_ = build_works(study, {CC: 0.5, CM: 0.2})
    found = measure_rung(first, settings, device="cpu")
    rows = tables.read(store.tables, "evaluations").to_pylist()
    assert found.outcome == "value" and found.value == sum(found.values) / 2
    assert sorted(found.values) == sorted(row["accuracy"] for row in rows)
    assert {(row["split"], row["protocol"]) for row in rows} == {
        ("validation", "strict")
    } and found.seconds > 0
    again = measure_rung(first, settings, device="cpu")
    assert again == found


def test_the_test_labels_are_never_touched(make_study, place, tmp_path):
    study = make_study()
    store, settings = place(study, "honest")
    other, poisoned = place(study, "poisoned", runner="poisoned:run_unit")
    for work in build_works(study, {CC: 0.5, CM: 0.2}):
        honest, wrong = (measure_rung(work, where, device="cpu") for where in (settings, poisoned))
        assert (honest.outcome, honest.values) == ("value", wrong.values)
    assert not (tmp_path / "seen").exists()
    kept = ["key", "network_seed", "accuracy", "class_accuracies", "train_loss"]
    rows, wrong = (
        tables.read(s.tables, "evaluations").select(kept).to_pylist() for s in (store, other)
    )
    assert rows == wrong and len(rows) == 6
    # The poison is real: a unit that may see the test images gets another result of it.
    units = study.build_rung_units({CC: 0.5, CM: 0.2}, 0)[0]
    shared = {
        name: getattr(units.evaluations[0], name)
        for name in ("dataset", "network", "settings", "seed")
    }
    tested = Evaluate(**shared, protocol="strict", split="test", parents=(units.distill.key,))
    assert all(
        compute_unit(tested, where, device="cpu").status == "done" for where in (settings, poisoned)
    )
    one, two = (
        tables.read(s.tables, "evaluations", [tested.key])["accuracy"].to_pylist()
        for s in (store, other)
    )
    assert one != two and (tmp_path / "seen").read_text().split() == [tested.key]


def test_a_unit_that_fails_ends_the_rung_with_its_reason(make_study, place):
    study = make_study("lr_img=1e30")
    _, settings = place(study, "store")
    found = measure_rung(build_works(study, {CC: 0.5, CM: 0.2})[-1], settings, device="cpu")
    assert (found.outcome, found.error, found.value) == ("failed", "DistillationError", None)
    assert " at iteration " in found.reason


def test_a_trial_stops_when_its_launch_does_even_while_it_waits(make_study, place, monkeypatch):
    study = make_study()
    store, settings = place(study, "store")
    first, *_ = build_works(study, {CC: 0.0, CM: 0.0})
    stop = store.stop_signal(settings.run)
    unit = study.build_rung_units({CC: 0.0, CM: 0.0}, 0)[0].distill
    monkeypatch.setattr("orchestrator.search.worker.time.sleep", lambda seconds: stop.set())
    with leases.hold(store.storage, unit.key, "another launch"):
        assert measure_rung(first, settings, device="cpu").outcome == "stopped"
    assert measure_rung(first, settings, device="cpu").outcome == "stopped"
