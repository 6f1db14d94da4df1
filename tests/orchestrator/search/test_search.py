"""Searches on Ray: a tiny one, one that is killed and started again, the shipped one on digits."""

import contextlib
import dataclasses
import io
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from orchestrator.errors import LaunchError
from orchestrator.launch.options import RunOptions
from orchestrator.launch.summary import Summary
from orchestrator.search import search as search_module
from orchestrator.search.build_studies import build_studies
from orchestrator.search.journal import read_trials
from orchestrator.search.results import read_study_result
from orchestrator.search.search import Search
from orchestrator.store import leases, tables
from orchestrator.store.open import open_store
from search_spaces.load import load_space


def make_search(store, trials, **options):
    console = Console(file=io.StringIO(), width=200)
    fields = {field.name for field in dataclasses.fields(RunOptions)} & options.keys()
    how = {"tensorboard": False, "data_root": store.root.parent}
    how |= {name: options.pop(name) for name in fields}
    return Search(store=store, trials=trials, console=console, options=RunOptions(**how), **options)


def remove_times(trials):
    """Return trials without what depends on when they ran."""
    return {
        number: dataclasses.replace(
            trial,
            rungs=tuple(dataclasses.replace(r, seconds=None, order=None) for r in trial.rungs),
        )
        for number, trial in trials.items()
    }


def read_done(store):
    return {path: path.read_bytes() for path in store.root.glob("units/*/*/DONE")}


def test_a_search_on_ray_is_extended_repeated_and_never_tests(
    make_study, tmp_path, ray_on_two_cores
):
    study, store = make_study("seeds=1"), open_store(tmp_path / "store")
    first = make_search(store, 3, max_concurrent=2)
    assert first.run([study]) == 0, first.console.file.getvalue()
    trials, units = read_trials(study, store), read_done(store)
    assert list(trials) == [0, 1, 2] and all(trial.finished for trial in trials.values())
    assert trials[0].state == "complete" and trials[0].parameters == study.published
    output = first.console.file.getvalue()
    assert (
        "rungs of 1 → 2 → 4 iterations" in output
        and "trial 0 (lambda_cc 0.05, lambda_cm 0.01), 1 iterations" in output
    )

    assert make_search(store, 4).run([study]) == 0
    extended = read_trials(study, store)
    assert list(extended) == [0, 1, 2, 3] and {n: extended[n] for n in range(3)} == trials
    assert units.items() <= read_done(store).items()

    result = read_study_result(study, store)
    assert result.published.difference is None and len(result.finalists) >= 1
    assert result.best.summary.networks == 2  # in full
    rows = tables.read(store.tables, "evaluations").to_pylist()
    assert {(row["split"], row["protocol"]) for row in rows} == {("validation", "strict")}
    assert not list((store.root / "checkpoints").glob("*/*"))

    before = read_done(store)
    again = make_search(store, 4)
    assert again.run([study]) == 0 and read_done(store) == before
    assert "iterations" not in again.console.file.getvalue()


def test_one_search_at_a_time_works_on_a_study(make_study, tmp_path, ray_on_two_cores):
    study, store = make_study("seeds=1"), open_store(tmp_path / "store")
    with (
        leases.hold(store.storage, study.key, "another"),
        pytest.raises(LaunchError, match="another search is working on"),
    ):
        make_search(store, 2).run([study])


def test_trials_that_fail_say_so_and_how_many(
    make_study, tmp_path, ray_on_two_cores, harness_modules
):
    study, store = make_study("seeds=1", "lambda_cc=0"), open_store(tmp_path / "store")
    (tmp_path / "behavior.json").write_text('{"default": {"fail": "no luck"}}')
    failing = make_search(store, 2, runner="fake_runner:run_unit")
    assert failing.run([study]) == 1
    assert {(t.state, t.rungs[0].reason) for t in read_trials(study, store).values()} == {
        ("failed", "no luck")
    }
    output = failing.console.file.getvalue()
    assert "2 trials failed; run the same command again" in output
    assert "once the reason is gone: no luck" in output


class FakeLaunches:
    """Stands for the launches of a search; Ctrl-C comes during one, whose units are just done."""

    def __init__(self, monkeypatch, stopped_in, code=0):
        self.plans, self._stopped_in, self._code = [], stopped_in, code
        monkeypatch.setattr(search_module, "launch", self)
        monkeypatch.setattr(
            "orchestrator.launch.join_cluster.join_cluster", lambda *_: contextlib.nullcontext()
        )

    def __call__(self, work, *arguments, **options):
        self.plans.append({unit.kind for unit in work.pending_units.values()})
        stopped = len(self.plans) == self._stopped_in
        failures = () if self._code == 0 or not stopped else (None,)
        return Summary(
            run=None, computed={}, already=0, failures=failures, blocked=(), waiting=0,
            stopped_by="SIGINT" if stopped else None, halted=None, seconds=0.0,
        )  # fmt: skip


@pytest.mark.parametrize("code", [0, 1])
def test_ctrl_c_while_extractors_are_trained_ends_a_search(make_study, tmp_path, monkeypatch, code):
    launches = FakeLaunches(monkeypatch, stopped_in=1, code=code)
    search = make_search(open_store(tmp_path / "store"), 2)
    assert search.run([make_study("seeds=1"), make_study("seeds=2")]) == 130
    assert launches.plans == [{"train_extractors"}]
    assert "Stopped. Run the same command again" in search.console.file.getvalue()


def test_ctrl_c_in_the_last_trial_ends_a_search_before_its_winners(
    make_study, tmp_path, monkeypatch
):
    launches = FakeLaunches(monkeypatch, stopped_in=None)
    monkeypatch.setattr(Search, "_run_trials", lambda *_: search_module._End(0, stopped=True))
    assert make_search(open_store(tmp_path / "store"), 2).run([make_study("seeds=1")]) == 130
    assert len(launches.plans) == 1


@pytest.mark.parametrize(("studies", "code"), [(1, 0), (2, 130)])
def test_ctrl_c_in_the_last_launch_stops_a_search_with_studies_left(
    make_study, simulate, tmp_path, monkeypatch, studies, code
):
    store = open_store(tmp_path / "store")
    chosen = [make_study(f"seeds={number + 1}") for number in range(studies)]
    for study in chosen:
        simulate(study, 2, store=store)
    launches = FakeLaunches(monkeypatch, stopped_in=2)
    assert make_search(store, 2).run(chosen) == code and len(launches.plans) == 2


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("seed", [20250131])
def test_a_search_that_is_killed_continues_as_if_nothing_had_happened(
    make_study, tiny_space, tmp_path, seed
):
    moments, study = random.Random(seed), make_study("seeds=1")
    store, whole = open_store(tmp_path / "killed"), open_store(tmp_path / "whole")

    def start(place):
        words = [
            "search",
            str(tiny_space),
            "--trials",
            "6",
            "--max-concurrent",
            "1",
            "--set",
            "seeds=1",
        ]
        words += [
            "--store",
            str(place.root),
            "--data",
            str(tmp_path),
            "--out",
            str(place.root / "report"),
        ]
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    known = [(read_done(store), {})]
    for _ in range(3):
        process, before = start(store), len(known[-1][0])
        deadline = time.monotonic() + 120
        while len(read_done(store)) <= before + 1 and process.poll() is None:
            assert time.monotonic() < deadline, "nothing happened"
            time.sleep(0.02)
        time.sleep(moments.uniform(0.0, 2.0))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        known.append((read_done(store), read_trials(study, store)))
    for place in (store, whole):
        output, _ = (process := start(place)).communicate(timeout=300)
        assert process.returncode == 0, output
    trials = read_trials(study, store)
    assert remove_times(trials) == remove_times(read_trials(study, whole)) and len(trials) == 6
    for units, earlier in known:
        assert units.items() <= read_done(store).items()
        assert all(trials[number] == trial for number, trial in earlier.items() if trial.finished)


@pytest.mark.slow
def test_the_shipped_search_on_digits_stops_a_third_of_its_trials_early(tmp_path):
    (study,) = build_studies(
        load_space("lambda_search", smoke=True), sampler="tpe", scheduler="asha"
    )
    store = open_store(tmp_path / "store")
    assert make_search(store, 24, tensorboard=True).run([study]) == 0
    result = read_study_result(study, store)
    assert len(result.trials) == 24 and result.count("stopped") >= 8
    assert result.published is not None and result.importance
    assert {row["split"] for row in tables.read(store.tables, "evaluations").to_pylist()} == {
        "validation"
    }


@pytest.mark.slow
def test_a_search_continues_behind_a_url_from_another_machine(
    make_study, tmp_path, s3_url, monkeypatch, ray_on_two_cores
):
    study, store = make_study("seeds=1"), open_store(s3_url)
    first = make_search(store, 2, data_root=tmp_path, max_concurrent=2)
    assert first.run([study]) == 0, first.console.file.getvalue()
    monkeypatch.setenv("IID_STORE_CACHE", str(tmp_path / "elsewhere"))
    elsewhere = open_store(s3_url)
    trials = read_trials(study, elsewhere)
    assert list(trials) == [0, 1] and all(trial.finished for trial in trials.values())
    assert read_study_result(study, elsewhere).best.summary.networks == 2
    before = elsewhere.storage.entries("")
    assert (
        make_search(elsewhere, 2, data_root=tmp_path).run([study]) == 0
        and elsewhere.storage.entries("") == before
    )
    assert not any(name.startswith(("checkpoints/", "leases/")) for name in before)
