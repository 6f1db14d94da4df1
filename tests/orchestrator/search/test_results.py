import numpy as np
import pytest

from orchestrator.planning.plan import make_plan
from orchestrator.search.journal import read_trials
from orchestrator.search.results import (
    build_found_space,
    build_full_evaluations,
    compute_importance,
    read_study_result,
    select_winners,
)
from orchestrator.store import tables
from orchestrator.store.open import open_store
from search_spaces.load import load_space

CC, CM = "distillation.lambda_cc", "distillation.lambda_cm"


@pytest.fixture
def searched(make_study, simulate, tmp_path):
    """A study of 16 trials, whose winners are evaluated in full with made-up accuracies."""
    study, store = make_study(), open_store(tmp_path / "store")
    trials = simulate(study, 16, store=store)
    for trial in select_winners(trials):
        write_accuracies(store, study, trial.parameters, 0.5 + trial.value / 10)
    return study, store


def write_accuracies(store, study, parameters, base):
    units, wanted = build_full_evaluations(study, parameters)
    for key in wanted:
        unit = units[key]
        rows = [
            {
                "key": key,
                "split": unit.split,
                "network_index": i,
                "accuracy": base + 0.01 * i + 0.02 * unit.seed,
            }
            for i in range(unit.settings.num_eval)
        ]
        tables.write(store.tables / "evaluations" / f"{key}.parquet", "evaluations", rows)


def test_winners_are_the_best_finished_trials_and_the_published_settings(searched):
    study, store = searched
    trials = read_trials(study, store)
    chosen = select_winners(trials)
    complete = sorted((t.value for t in trials.values() if t.value is not None), reverse=True)
    assert [trial.value for trial in chosen[:3]] == complete[:3]
    assert 0 in [trial.number for trial in chosen] and len(chosen) in (3, 4)


def test_the_best_has_an_interval_and_a_paired_difference_to_the_published_settings(searched):
    study, store = searched
    result = read_study_result(study, store)
    best, published = result.best, result.published
    assert (
        best.summary.mean == max(f.summary.mean for f in result.finalists)
        and best.trial.number != 0
    )
    assert published.difference is None and published.trial.parameters == study.published
    expected = (best.trial.value - published.trial.value) / 10
    assert best.difference == pytest.approx(expected) and best.interval == pytest.approx(
        (expected, expected)
    )
    assert best.summary.interval[0] < best.summary.mean < best.summary.interval[1]
    assert (best.summary.sets, best.summary.networks) == (2, 4)


def test_a_finalist_counts_when_all_its_seeds_are_evaluated(searched):
    study, store = searched
    before = read_study_result(study, store)
    _, wanted = build_full_evaluations(study, before.best.trial.parameters)
    (store.tables / "evaluations" / f"{wanted[0]}.parquet").unlink()
    after = read_study_result(study, store)
    assert [f.trial for f in after.finalists] == [f.trial for f in before.finalists[1:]]


def test_the_importance_of_a_setting_that_decides_everything(make_study, simulate):
    study = make_study(sampler="random")
    trials = simulate(
        study, 40, value=lambda parameters, rung: 0.5 + 0.01 * np.log(parameters[CC] + 0.001)
    )
    found = compute_importance(study, trials.values())
    assert found[CC] > 0.9 and sum(found.values()) == pytest.approx(1.0)
    assert found == compute_importance(study, trials.values())
    assert compute_importance(study, list(trials.values())[:3]) == {}


def test_the_found_space_stands_for_itself_and_reads_the_test_images_with_the_sets_of_the_search(
    searched, tmp_path
):
    study, store = searched
    best = read_study_result(study, store).best
    path = tmp_path / "found.yaml"
    path.write_text(build_found_space("tiny", [read_study_result(study, store)]))
    (experiment,) = load_space(path).experiments
    assert experiment.protocol == "strict" and not experiment.search
    plan = make_plan(load_space(path))
    searched_sets = {
        units.distill.key for units in study.build_full_units(best.trial.parameters).values()
    }
    assert experiment.methods == ("DM", "DM+IID"), "the base shows what the settings are worth"
    found = {cell.set_key for cell in plan.cells if cell.method == "DM+IID"}
    assert found == searched_sets
    evaluations = [
        plan.units[cell.evaluation_key] for cell in plan.cells if cell.method == "DM+IID"
    ]
    assert [unit.split for unit in evaluations] == ["test", "test"]
    in_full = [
        units.evaluations[0].settings
        for units in study.build_full_units(best.trial.parameters).values()
    ]
    assert [unit.settings for unit in evaluations] == in_full


def test_nothing_is_found_before_anything_is_evaluated(make_study, tmp_path):
    result = read_study_result(make_study(), open_store(tmp_path / "empty"))
    assert (
        result.best is None
        and result.published is None
        and result.importance == {}
        and result.trials == ()
    )
