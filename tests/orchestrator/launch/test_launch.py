import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from ray.exceptions import RaySystemError
from ray.tune.error import TuneError
from rich.console import Console

from orchestrator.cluster.resources import Capacity, ResourceRequest
from orchestrator.errors import LaunchError, StoreError
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.launch import ray_tune
from orchestrator.launch.plan_searcher import MAX_DEATHS
from orchestrator.launch.status import read_status
from orchestrator.launch.summary import print_summary
from orchestrator.planning.cost_model import Estimate
from orchestrator.store import leases, tables
from orchestrator.store.verification.verify import verify

RUNNER = "fake_runner:run_unit"
pytestmark = pytest.mark.usefixtures("ray_on_two_cores")


def shown(summary):
    console = Console(file=io.StringIO(), width=200)
    print_summary(summary, console)
    return console.file.getvalue()


def by_kind(plan, kind):
    return [unit for unit in plan.units.values() if unit.kind == kind]


def test_a_plan_is_carried_out_in_order_and_once(harness, small_plan):
    plan = small_plan(sets=3)
    summary = harness.launch(plan)
    assert summary.computed == {"train_extractors": 1, "distill": 3, "evaluate": 6}
    assert (summary.exit_code, summary.waiting, summary.failures) == (0, 0, ())
    assert harness.store.find_done_keys() == set(plan.units)
    ended = {key: place for place, key in enumerate(harness.events("end"))}
    assert len(ended) == 10
    assert all(
        ended[parent] < ended[key] for key, unit in plan.units.items() for parent in unit.parents
    )
    assert tables.read(harness.store.tables, "evaluations").num_rows == 6
    assert not list((harness.store.root / "leases").iterdir())

    again = harness.launch(plan)
    assert (again.run, again.already, again.exit_code) == (None, 10, 0)
    assert "already done: 10 units" in shown(again)

    more = harness.launch(small_plan(sets=4))
    assert more.computed == {"distill": 1, "evaluate": 2} and more.already == 10
    assert len(harness.events("start")) == 13


def test_a_failure_blocks_its_dependants_and_nothing_else(harness, small_plan):
    plan = small_plan(sets=2)
    bad, good = by_kind(plan, "distill")
    harness.behave(**{bad.key: {"fail": "pixels are NaN at iteration 7"}})
    summary = harness.launch(plan)
    assert summary.exit_code == 1
    assert [(failure.unit, failure.reason) for failure in summary.failures] == [
        (bad, "pixels are NaN at iteration 7")
    ]
    assert {unit.parents for unit in summary.blocked} == {(bad.key,)} and len(summary.blocked) == 2
    assert summary.computed == {"train_extractors": 1, "distill": 1, "evaluate": 2}
    text = shown(summary)
    assert "pixels are NaN" in text and bad.key in text
    assert f"iid status --tracebacks --store {harness.store.root};" in text
    assert f"iid unit {bad.key} --store {harness.store.root} --data {harness.data} to try" in text
    assert tables.read(harness.store.tables, "failures")["key"].to_pylist() == [bad.key]

    harness.behave()
    assert harness.launch(plan).exit_code == 0
    assert harness.events("start").count(good.key) == 1
    assert tables.read(harness.store.tables, "failures").num_rows == 0


def test_a_killed_worker_is_replaced_and_the_unit_continues(harness, small_plan, capfd):
    plan = small_plan(sets=1, evaluations=1)
    (distill,) = by_kind(plan, "distill")
    harness.behave(**{distill.key: {"kill_once": True, "steps": 5}})
    summary = harness.launch(plan)
    assert (summary.exit_code, summary.deaths) == (
        0,
        1,
    ) and "A worker died, alone or with a node" in shown(summary)
    assert (
        harness.events("start").count(distill.key) == 2
        and harness.events("end").count(distill.key) == 1
    )
    assert [line[3] in "12" for line in harness.log() if line[0] == "resume"] == [True]
    assert "Traceback" not in capfd.readouterr().err


def test_a_unit_that_another_launch_is_at_is_waited_for_without_trials(
    harness, small_plan, monkeypatch
):
    trials = []
    started = ray_tune.ProgressCallback.on_trial_start

    def count(callback, *arguments, trial, **options):
        trials.extend(unit.key for unit in ray_tune._read_units(trial))
        started(callback, *arguments, trial=trial, **options)

    monkeypatch.setattr(ray_tune.ProgressCallback, "on_trial_start", count)
    plan = small_plan(sets=1, evaluations=1)
    (extractor,) = by_kind(plan, "train_extractors")
    lease = leases.acquire(harness.store.storage, extractor.key, "other")
    timer = threading.Timer(1.5, lease.release)
    timer.start()
    summary = harness.launch(plan)
    timer.join()
    assert summary.exit_code == 0 and sum(summary.computed.values()) == 3
    assert harness.events("start").count(extractor.key) == 1
    assert trials == [extractor.key, *list(plan.units)[1:]]


def test_a_launch_leaves_a_record(harness, small_plan):
    plan = small_plan(sets=1)
    summary = harness.launch(plan, overrides=["seeds=1"])
    (record,) = harness.store.read_runs()
    assert (record["run"], record["space"], record["overrides"]) == (
        summary.run,
        "small",
        ["seeds=1"],
    )
    assert list(harness.store.read_plan(record)) == list(plan.units) and json.dumps(record)
    assert {path.name for path in (harness.store.root / "runs").iterdir()} == {
        f"{summary.run}.json",
        f"{summary.run}.log",
    }


def test_a_store_that_cannot_be_written_is_said_before_anything_starts(harness, small_plan):
    harness.store.root.write_text("in the way")
    with pytest.raises(StoreError):
        harness.launch(small_plan())


@pytest.mark.parametrize("option", [{"cpus_per_trial": 1000}, {"gpus_per_trial": 1}])
def test_a_cluster_without_room_for_a_unit_is_refused_and_no_launch_noted(
    harness, small_plan, option
):
    with pytest.raises(LaunchError, match="lower --cpus-per-trial or --gpus-per-trial"):
        harness.launch(small_plan(), **option)
    assert harness.store.read_runs() == []


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e-9, 2, 1.5])
@pytest.mark.parametrize("name", ["cpus_per_trial", "gpus_per_trial"])
def test_impossible_resources_are_refused_before_anything_is_touched(
    harness, small_plan, name, value
):
    if (name, value) in {("gpus_per_trial", 0), ("cpus_per_trial", 2), ("cpus_per_trial", 1.5)}:
        ResourceRequest(**{"cpus": None, "gpus": None, "address": None, name.split("_")[0]: value})
        return
    with pytest.raises(LaunchError, match="--" + name.replace("_", "-")):
        harness.launch(small_plan(), **{name: value})
    assert not harness.store.root.exists()


def test_units_cost_what_they_cost_on_the_devices_of_the_cluster(harness, small_plan, monkeypatch):
    asked = []

    def estimate(plan, *, gpu, **options):
        asked.append(gpu)
        return {key: Estimate(seconds=1.0, memory=1, basis="model") for key in plan.units}

    def run_units(schedule, *, progress, **options):
        assert progress.expected == dict.fromkeys(progress.units, 1.0)

    monkeypatch.setattr("orchestrator.launch.launch.estimate_costs", estimate)
    monkeypatch.setattr(ray_tune, "run_units", run_units)
    for gpus in (0.0, 0.5):
        capacity = Capacity(cpus=1.0, gpus=gpus, slots=1, reason="as the test says")
        monkeypatch.setattr(
            "orchestrator.launch.launch.allocate",
            lambda nodes, capacity=capacity, **asked: capacity,
        )
        monkeypatch.setattr(
            "orchestrator.launch.launch.should_use_gpus", lambda nodes, asked, gpus=gpus: gpus > 0
        )
        summary = harness.launch(small_plan())
        assert (summary.exit_code, summary.waiting, summary.stopped) == (1, 7, False)
    assert asked == [False, True]
    assert "Could not continue: Ray Tune ended early" in shown(summary)


@pytest.mark.parametrize(
    "trouble", [TuneError("it is\nbroken"), RaySystemError("lost"), OSError(28, "No space left")]
)
def test_what_breaks_ray_is_told_in_a_sentence(harness, small_plan, monkeypatch, trouble):
    def fit(tuner):
        raise trouble

    monkeypatch.setattr("ray.tune.Tuner.fit", fit)
    with pytest.raises(
        LaunchError, match=r"Ray broke down.*(broken|lost|No space).*run the same command again"
    ):
        harness.launch(small_plan())


def test_a_worker_killed_again_and_again_fails_its_unit_wherever_it_is_tried(harness, small_plan):
    plan = small_plan(sets=1, evaluations=1)
    (distill,) = by_kind(plan, "distill")
    harness.behave(**{distill.key: {"kill": True, "other_host": True}})
    summary = harness.launch(plan)
    assert [(failure.unit, failure.error) for failure in summary.failures] == [
        (distill, "WorkerDied")
    ]
    assert harness.events("start").count(distill.key) == MAX_DEATHS + 1
    assert (len(summary.blocked), summary.exit_code) == (1, 1)


def test_a_full_disk_ends_a_launch_after_the_units_that_met_it(harness, small_plan):
    plan = small_plan(sets=8, evaluations=1)
    harness.behave(**{unit.key: {"full": True} for unit in by_kind(plan, "distill")})
    summary = harness.launch(plan)
    assert 1 <= len(summary.failures) <= 4 and summary.waiting >= 4 and not summary.stopped
    assert "No space left" in summary.halted and summary.exit_code == 1
    assert "Could not continue: " in shown(summary)


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def test_a_rerun_with_everything_done_imports_neither_ray_nor_torch(harness, small_plan):
    settings = TrialSettings(
        store=str(harness.store.root),
        data_root=str(harness.data),
        run="r",
        runner=RUNNER,
        tensorboard=False,
    )
    plan = small_plan(sets=1)
    for unit in plan.units.values():
        assert compute_unit(unit, settings, device="cpu").status == "done"
    code = (
        "import sys; from pathlib import Path; from plans import make_small_plan\n"
        "from orchestrator.launch import launch, options, status\n"
        "from orchestrator.planning.planned_work import find_pending\n"
        "from orchestrator.store.open import open_store\n"
        f"store = open_store(Path({str(harness.store.root)!r}))\n"
        "work = find_pending(make_small_plan(sets=1), store.find_done_keys())\n"
        "how = options.RunOptions(data_root=Path('.'))\n"
        "summary = launch.launch(work, store, how, space='small')\n"
        "assert summary.run is None and not {'ray', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ctrl_c_stops_after_checkpointing_and_the_next_launch_continues(harness):
    harness.behave({"steps": 40, "pause": 0.1})
    process = harness.drive(sets=1)
    wait_until(lambda: harness.events("start"), seconds=300)
    os.killpg(
        process.pid, signal.SIGINT
    )  # a terminal sends it to the whole group, workers included
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 130, output
    assert "same command again" in output and "Traceback" not in output
    assert harness.store.find_done_keys() == frozenset() and harness.events("end") == []
    harness.behave({"steps": 40})
    process = harness.drive(sets=1)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert len([line for line in harness.log() if line[0] == "resume"]) == 1


@pytest.fixture
def short_folder():
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="i") as folder:
        yield folder


@pytest.mark.slow  # siblings: tests of StopSwitch and of shield_processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_stops_a_whole_job_lets_units_save_checkpoints(
    harness, number, short_folder, monkeypatch
):
    for name in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.setenv(name, short_folder)
    harness.behave({"steps": 400, "pause": 0.1})
    process = harness.drive(sets=1)
    wait_until(lambda: harness.events("start"), seconds=300)
    for pid in (process.pid, *list_descendants(process.pid)):  # as systemd and Slurm do
        os.kill(pid, number)
    began = time.monotonic()
    output, _ = process.communicate(timeout=300)
    assert time.monotonic() - began < 45 and process.returncode == 130, output
    assert f"Stopped by {number.name}. Run the same command again" in output
    assert list((harness.store.root / "checkpoints").glob("*/*/*"))
    assert list(Path(short_folder).iterdir()) == []


def list_descendants(pid):
    found = [pid]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found[1:]


def log_of(summary):
    return Path(summary.log).read_text()


def test_a_launch_leaves_a_log_with_lines_of_its_workers(harness, small_plan):
    plan = small_plan(sets=1, evaluations=1)
    (distill,) = by_kind(plan, "distill")
    harness.behave(**{distill.key: {"fail": "no such thing"}})
    summary = harness.launch(plan)
    text = log_of(summary)
    lines = [line for line in text.splitlines() if not line.startswith("    ")]
    drivers = [line for line in lines if f":{os.getpid()} " in line]
    workers = [line for line in lines if f":{os.getpid()} " not in line]
    assert any(f"launch {summary.run} of small" in line for line in drivers)
    assert any(f"launch {summary.run} ended: failed" in line for line in drivers)
    assert any("started" in line and distill.key[:6] in line for line in drivers)
    assert any(" orchestrator.execution." in line and distill.key in line for line in workers)
    assert "Traceback (most recent call last)" in text and "no such thing" in text
    assert f"Log: {summary.log}" in shown(summary)
    assert verify(harness.store).findings == ()


def test_a_launch_behind_a_url_merges_the_logs_of_its_workers(s3_harness, small_plan):
    plan = small_plan(sets=1, evaluations=1)
    summary = s3_harness.launch(plan)
    store = s3_harness.store
    logs = [name for name in store.storage.entries("runs") if name.endswith(".log")]
    assert logs == [f"{summary.run}.log"]
    text = store.storage.get(f"runs/{summary.run}.log").decode()
    assert " orchestrator.execution." in text
    assert text.splitlines()[-1].endswith("0 failed, 0 blocked, 0 not tried")


def test_the_record_of_a_launch_says_how_it_ended(harness, small_plan):
    summary = harness.launch(small_plan(sets=1))
    (record,) = harness.store.read_runs()
    assert record["outcome"] == "done" and record["started"] < record["ended"]
    assert record["log"] == f"runs/{summary.run}.log"
    last = read_status(harness.store).last_launch
    assert (last.run, last.outcome, last.log) == (summary.run, "done", summary.log)


def test_the_record_of_a_launch_that_broke_down_says_why(harness, small_plan, monkeypatch, caplog):
    def fit(tuner):
        raise TuneError("it is broken")

    monkeypatch.setattr("ray.tune.Tuner.fit", fit)
    with pytest.raises(LaunchError):
        harness.launch(small_plan(sets=1))
    (record,) = harness.store.read_runs()
    assert record["outcome"] == "error" and "it is broken" in record["reason"]
    path = harness.store.root / record["log"]
    log = path.read_text()
    assert "broke down" in log and "TuneError" in log
    assert f"its log is {path}" in caplog.text  # which the command line prints as an error
