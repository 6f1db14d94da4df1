"""The journal, the decisions of ASHA, and that a search can be killed and extended at any point."""

import pytest

from orchestrator.execution.trial import TrialSettings
from orchestrator.search.journal import Journal, read_trials
from orchestrator.search.study_run import StudyRun
from orchestrator.store import tables
from orchestrator.store.open import open_store
from orchestrator.store.verification.verify import repair, verify

CC, CM = "distillation.lambda_cc", "distillation.lambda_cm"


def make_run(study, store, trials=4, **options):
    settings = TrialSettings(store=str(store.root), data_root=".", run="r")
    journal = Journal.open(study, store)
    return StudyRun(
        study=study,
        journal=journal,
        store=store,
        settings=settings,
        gpus=0.0,
        trials=trials,
        **options,
    )


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_an_extended_search_equals_a_longer_one(make_study, simulate, tmp_path, sampler):
    study = make_study(sampler=sampler)
    short = dict(simulate(study, 5, store=open_store(tmp_path / "extended")))
    extended = simulate(study, 16, store=open_store(tmp_path / "extended"))
    assert extended == simulate(study, 16, store=open_store(tmp_path / "longer"))
    assert short == {number: extended[number] for number in range(5)} and len(extended) == 16


@pytest.mark.parametrize("kill_after", [0, 1, 2, 3, 7, 12])
def test_a_killed_search_goes_on_as_if_nothing_had_happened(
    make_study, simulate, tmp_path, kill_after
):
    study = make_study()
    whole = simulate(study, 12, store=open_store(tmp_path / "whole"))
    simulate(study, 12, store=open_store(tmp_path / "killed"), kill_after=kill_after)
    assert simulate(study, 12, store=open_store(tmp_path / "killed")) == whole


def test_a_killed_search_behind_a_url_continues_from_another_machine(
    make_study, simulate, tmp_path, s3_url, monkeypatch
):
    study = make_study("seeds=1")
    simulate(study, 6, store=open_store(s3_url), kill_after=5)
    monkeypatch.setenv("IID_STORE_CACHE", str(tmp_path / "elsewhere"))
    trials = simulate(study, 6, store=open_store(s3_url))
    assert trials == simulate(study, 6, store=open_store(tmp_path / "whole"))
    assert trials == read_trials(study, open_store(s3_url))


def test_poor_trials_are_stopped_and_the_published_settings_never(make_study, simulate):
    study = make_study(sampler="random")
    trials = simulate(
        study, 24, value=lambda p, rung: 0.0 if p == study.published else 0.5 + p[CC] / 100
    )
    assert trials[0].state == "complete" and [r.value for r in trials[0].rungs] == [0.0, 0.0, 0.0]
    assert sum(trial.state == "stopped" for trial in trials.values()) >= 8
    assert all(trial.finished for trial in trials.values())
    best = max(trials.values(), key=lambda trial: trial.parameters[CC])
    assert best.state == "complete"


def test_of_equal_trials_most_are_stopped(make_study, simulate):
    trials = simulate(make_study(sampler="random"), 24, value=lambda parameters, rung: 0.5)
    assert sum(trial.state == "stopped" for trial in trials.values()) >= 12


def test_without_a_scheduler_every_trial_is_complete_with_one_rung(make_study, simulate):
    trials = simulate(make_study(scheduler="none"), 6)
    assert [
        (trial.state, len(trial.rungs), trial.rungs[0].iterations) for trial in trials.values()
    ] == [("complete", 1, 4)] * 6


def test_the_grid_ends_a_search(make_study, simulate):
    assert len(simulate(make_study(sampler="grid"), 100)) == 1 + 6 * 3


def test_every_rung_is_a_row(make_study, simulate, tmp_path):
    study = make_study()
    trials = simulate(study, 6)
    rows = tables.read(tmp_path / "store" / "tables", "trials").to_pylist()
    assert len(rows) == sum(len(trial.rungs) for trial in trials.values())
    assert {row["study"] for row in rows} == {study.key} and {row["split"] for row in rows} == {
        "validation"
    }
    assert sorted(row["order"] for row in rows) == list(range(len(rows)))
    assert read_trials(study, open_store(tmp_path / "store")) == trials
    last = next(row for row in rows if row["state"] == "complete")
    units = study.build_rung_units(trials[last["trial"]].parameters, 2)
    assert last["units"] == [u.key for s in units.values() for u in (s.distill, *s.evaluations)]


def test_trials_on_the_same_units_do_not_run_at_once(make_study, tmp_path, measured):
    study = make_study(sampler="grid")
    run = make_run(study, open_store(tmp_path), trials=9)
    run.study.__dict__["published"] = {CC: 0.0, CM: 0.0}  # the grid's first point
    assert run.next_config()["number"] == 0
    assert run.next_config() is None and not run.is_over()
    run.record_rung(0, measured(0, None, reason="no"), passes=False)
    run.release(0)
    assert run.next_config()["number"] == 1


def test_a_trial_that_failed_is_tried_again_by_the_next_search_and_one_that_diverged_is_not(
    make_study, tmp_path, measured
):
    study = make_study()
    run = make_run(study, open_store(tmp_path), trials=2)
    assert [run.next_config()["number"] for _ in range(2)] == [0, 1]
    reason = "loss is nan at iteration 3; lower lr_img"
    diverged = measured(0, None, error="DistillationError", reason=reason)
    failed = measured(0, None, error="OSError", reason="gone")
    assert run.record_rung(0, diverged, passes=False) == "diverged"
    assert run.record_rung(1, failed, passes=False) == "failed"
    run.release(0), run.release(1)
    assert run.is_over() and run.next_config() is None
    again = make_run(study, open_store(tmp_path), trials=2)
    assert again.next_config()["number"] == 1 and again.next_config() is None
    assert again.journal.trials[1].rungs[0].reason == "gone"


def test_a_full_disk_ends_a_search(make_study, tmp_path, measured):
    run = make_run(make_study(), open_store(tmp_path))
    run.next_config()
    run.record_rung(0, measured(0, None, reason="No space left", fatal=True), passes=False)
    assert run.halted == "No space left" and run.is_over()


def test_a_worker_that_dies_for_good_fails_its_trial(make_study, tmp_path):
    run = make_run(make_study(), open_store(tmp_path))
    run.next_config()
    run.release(0, "its worker died 4 times")
    trial = run.journal.trials[0]
    assert trial.state == "failed" and trial.rungs[0].reason.startswith("its worker")


def test_a_worker_that_starts_again_reports_what_is_known_without_changing_it(
    make_study, tmp_path, measured
):
    run = make_run(make_study(), open_store(tmp_path))
    run.next_config()
    assert run.record_rung(0, measured(0, 0.5), passes=True) == "passed"
    before = run.journal.trials[0]
    assert (
        run.record_rung(0, measured(0, 0.5), passes=False) == "passed"
        and run.journal.trials[0] == before
    )
    assert run.next_config()["work"][0]["rung"] == 0  # another trial
    run.release(0)
    assert run.next_config()["work"][0]["rung"] == 1  # the first one continues at its rung


def test_checkpoints_of_sets_that_are_not_needed_are_removed(make_study, tmp_path, measured):
    study, store = make_study(), open_store(tmp_path)
    run = make_run(study, store)
    run.next_config(), run.next_config()
    following = study.build_rung_units(run.journal.trials[1].parameters, 1)[0].distill
    store.save_checkpoint(following, lambda path: path.write_text("state"))
    run.record_rung(1, measured(0, 0.1), passes=False)
    assert (
        run.journal.trials[1].state == "stopped"
        and not store.locate_checkpoints(following).exists()
    )


def test_a_store_that_was_searched_has_nothing_to_repair(make_study, simulate, tmp_path):
    store = open_store(tmp_path / "store")
    trials = dict(simulate(make_study(), 5, store=store))
    found = verify(store)
    assert found.findings == () and found.intact
    repair(store, found.findings)
    assert read_trials(make_study(), store) == trials


def test_a_repair_never_takes_what_a_search_remembers(make_study, simulate, tmp_path):
    study, store = make_study(), open_store(tmp_path / "store")
    trials = dict(simulate(study, 5, store=store))
    files = [store.tables / "trials" / f"{study.hash_trial_key(n)}.parquet" for n in range(5)]
    # renamed by hand, copied, damaged, and of a table of a later version
    renamed = files[1].rename(files[1].with_name(f"{'f' * 16}.parquet"))
    copied = files[2].with_name(f"{'0' * 16}.parquet")
    copied.write_bytes(files[2].read_bytes())
    files[3].write_bytes(b"PAR1")
    later = store.tables / "later" / "a.parquet"
    later.parent.mkdir()
    later.write_bytes(files[0].read_bytes())
    findings = {finding.place: finding.action for finding in verify(store).findings}
    assert findings == {
        f"tables/trials/{renamed.name}": "none",
        f"tables/trials/{copied.name}": "set aside",
        f"tables/trials/{files[3].name}": "set aside",
        "tables/later/a.parquet": "none",
    }
    repair(store, verify(store).findings)
    kept = {number: trial for number, trial in trials.items() if number != 3}
    assert read_trials(study, store) == kept and verify(store).intact


def test_a_trial_that_was_set_aside_is_tried_again_and_takes_the_place_of_no_other(
    make_study, simulate, tmp_path
):
    study, store = make_study(), open_store(tmp_path / "store")
    trials = dict(simulate(study, 5, store=store))
    (store.tables / "trials" / f"{study.hash_trial_key(2)}.parquet").write_bytes(b"")
    repair(store, verify(store).findings)
    again = simulate(study, 5, store=store)
    assert sorted(again) == [0, 1, 2, 3, 4]
    assert {number: again[number] for number in (0, 1, 3, 4)} == {
        number: trials[number] for number in (0, 1, 3, 4)
    }
    orders = [result.order for trial in again.values() for result in trial.rungs]
    assert len(set(orders)) == len(orders)


def test_a_search_that_wakes_up_after_another_took_its_study_over_writes_nothing(
    make_study, tmp_path, measured
):
    store, study, awake = open_store(tmp_path), make_study(), []
    run = make_run(study, store, is_taken_over=lambda: not awake)
    awake.append(True)
    run.next_config()
    awake.clear()
    other = make_run(study, store)
    other.next_config()
    other.record_rung(0, measured(0, 0.5), passes=True)
    known = read_trials(study, store)
    assert run.record_rung(0, measured(0, 0.1), passes=False) == "stopped"
    assert run.next_config() is None and run.is_over() and "took the study over" in run.halted
    assert read_trials(study, store) == known
