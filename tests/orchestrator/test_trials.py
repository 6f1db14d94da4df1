import subprocess
import sys

import pytest

from orchestrator import leases, tables
from orchestrator.computing import compute
from orchestrator.context import Report, Stopped, UnitContext
from orchestrator.store import Store, StoreError
from orchestrator.trials import TrialSettings, trial_config, trial_resources


@pytest.fixture
def units(harness, small_plan):
    return list(small_plan(sets=1, evaluations=1).units.values())


@pytest.fixture
def settings(harness):
    return TrialSettings(
        store=str(harness.store.root), data_root=str(harness.data), run="run", runner="fake_runner:run_unit",
        tensorboard=False, report_seconds=0.0, checkpoint_seconds=0.0,
    )  # fmt: skip


def failures(harness):
    return tables.read(harness.store.tables, "failures").to_pylist()


def test_a_unit_is_computed_once_and_reports(harness, units, settings):
    reports = []
    assert compute(units[0], settings, device="cpu", report=reports.append).status == "done"
    assert reports == [Report(step=i, total=3, values={"loss": 1 / i}) for i in (1, 2, 3)]
    assert compute(units[0], settings, device="cpu").status == "present"
    assert harness.events("end") == [units[0].key]
    (row,) = tables.read(harness.store.tables, "extractors").to_pylist()
    assert (row["key"], row["run"], row["fingerprint"], row["seconds"]) == (units[0].key, "run", "images", 0.1)
    assert not list(harness.store.leases.iterdir())


def test_a_failing_unit_is_recorded_with_its_traceback(harness, units, settings):
    harness.behave({"fail": "loss is NaN at iteration 7"})
    result = compute(units[0], settings, device="cpu")
    assert (result.status, result.error, result.reason) == ("failed", "ValueError", "loss is NaN at iteration 7")
    (row,) = failures(harness)
    assert row["reason"] == result.reason and "fake_runner.py" in row["traceback"]
    assert harness.store.done_keys() == frozenset()
    harness.behave()
    assert compute(units[0], settings, device="cpu").status == "done"
    assert failures(harness) == []


def test_a_unit_whose_parent_is_missing_fails_by_name(harness, units, settings):
    result = compute(units[1], settings, device="cpu")
    assert result.status == "failed" and units[0].key in result.reason


def test_a_runner_that_is_not_there_is_a_failure(harness, units, settings):
    result = compute(units[0], TrialSettings(**{**_fields(settings), "runner": "nowhere:run"}), device="cpu")
    assert (result.status, result.error) == ("failed", "ModuleNotFoundError")


def test_a_unit_at_which_somebody_is_is_busy(harness, units, settings):
    with leases.hold(harness.store.leases, units[0].key, "other"):
        assert compute(units[0], settings, device="cpu").status == "busy"
    assert harness.log() == []


def test_a_worker_that_lost_its_lease_records_no_failure(harness, units, settings):
    path = harness.store.leases / f"{units[0].key}.json"

    def report(progress):
        path.write_text('{"token": "theirs"}')  # the heartbeat has not noticed yet

    harness.behave({"fail": "a file is gone"})
    assert compute(units[0], settings, device="cpu", report=report).status == "busy"
    assert failures(harness) == [] and path.exists()


def test_a_full_disk_is_told_apart(harness, units, settings):
    harness.behave({"full": True})
    assert compute(units[0], settings, device="cpu").disk_full
    harness.behave({"fail": "something else"})
    assert not compute(units[0], settings, device="cpu").disk_full


def test_rows_that_a_killed_worker_did_not_publish_are_published_by_the_next(harness, units, settings):
    assert compute(units[0], settings, device="cpu").status == "done"
    (harness.store.tables / "extractors" / f"{units[0].key}.parquet").unlink()
    assert compute(units[0], settings, device="cpu").status == "present"
    assert tables.read(harness.store.tables, "extractors").num_rows == 1


def test_a_stopped_unit_continues_at_its_checkpoint(harness, units, settings, monkeypatch):
    stop = harness.store.stop_sign("run").file

    def report(progress):
        if progress.step == 3:
            stop.parent.mkdir(parents=True, exist_ok=True)
            stop.touch()

    settings = TrialSettings(**{**_fields(settings), "checkpoint_seconds": 3600.0})
    monkeypatch.setattr("orchestrator.context.STOP_CHECK_SECONDS", 0.0)
    harness.behave({"steps": 5})
    assert compute(units[0], settings, device="cpu", report=report).status == "stopped"
    assert compute(units[0], settings, device="cpu").status == "stopped"  # not even begun
    stop.unlink()
    harness.behave({"steps": 5})
    assert compute(units[0], settings, device="cpu").status == "done"
    assert [line[0] for line in harness.log()] == ["start", "resume", "start", "end"]
    assert harness.log()[1][3] == "3"


def test_other_images_under_the_same_name_are_refused(harness, units, settings):
    assert compute(units[0], settings, device="cpu").status == "done"
    harness.behave({"fingerprint": "others"})
    result = compute(units[1], settings, device="cpu")
    assert (result.status, result.error) == ("failed", "StoreError") and "new version" in result.reason


def test_a_store_that_cannot_be_used_is_a_reason_and_no_exception(tmp_path, units, settings):
    (tmp_path / "file").write_text("")
    result = compute(units[0], TrialSettings(**{**_fields(settings), "store": str(tmp_path / "file")}), device="cpu")
    assert (result.status, result.error) == ("failed", "StoreError")


def test_resources_name_a_gpu_only_where_there_is_one(units, settings):
    assert trial_resources(trial_config(units[:1], settings, gpus=0)) == {"CPU": 1.0}
    assert trial_resources(trial_config(units[:1], settings, gpus=0.5)) == {"CPU": 1.0, "GPU": 0.5}


def test_a_process_without_gpus_sees_none_and_keeps_its_threads():
    code = (
        "from orchestrator.worker import prepare_process; prepare_process(cpus=1, gpus=0)\n"
        "import os, sys; assert 'torch' not in sys.modules\n"
        "import torch; assert torch.get_num_threads() == 1 and torch.cuda.device_count() == 0\n"
        "first = torch.rand(2); prepare_process(cpus=2, gpus=0)\n"
        "second = torch.rand(2); prepare_process(cpus=2, gpus=0)\n"
        "assert torch.get_num_threads() == 2 and torch.equal(second, torch.rand(2))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Recorder:
    """Stands in for a TensorBoard log."""

    def __init__(self):
        self.steps = []

    def scalars(self, step, values):
        self.steps.append(step)


def test_reports_are_throttled_and_the_log_has_every_value(tmp_path, units, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("orchestrator.context.time.monotonic", lambda: clock[0])
    reports, log = [], Recorder()
    context = UnitContext(
        store=Store(tmp_path), unit=units[0], workdir=tmp_path, data_root=tmp_path, report=reports.append,
        report_seconds=0.05, log=log,
    )  # fmt: skip
    context.progress(1, 100, {"loss": 1.0})
    clock[0] = 0.06
    for step in range(2, 101):
        context.progress(step, 100, {"loss": 1.0} if step % 10 == 0 else {})
    assert [report.step for report in reports] == [2]
    assert reports[0].values == {"loss": 1.0}
    assert log.steps == [1, *range(10, 101, 10)]


def test_saving_a_checkpoint_ends_a_unit_that_is_to_stop(tmp_path, units):
    context = UnitContext(
        store=Store(tmp_path), unit=units[0], workdir=tmp_path, data_root=tmp_path, stopping=lambda: True
    )
    assert context.checkpoint_due() and context.should_stop()
    with pytest.raises(Stopped):
        context.save_checkpoint(lambda path: path.write_text("kept"))
    assert context.load_checkpoint().read_text() == "kept"
    with pytest.raises(StoreError, match=units[0].key):
        context.parent(units[0].key)


def test_a_unit_logs_to_tensorboard_and_continues_its_log(harness, units, settings):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from orchestrator.tensorboard_log import TensorBoardLog

    folder = harness.store.tensorboard_folder(units[0])
    first = TensorBoardLog(folder)
    for step in (1, 2, 3, 4):
        first.scalars(step, {"loss": float(step)})
    first.close()
    again = TensorBoardLog(folder)
    again.scalars(3, {"loss": 30.0})  # from a checkpoint after step 2
    again.close()
    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert compute(units[0], TrialSettings(**{**_fields(settings), "tensorboard": True}), device="cpu").status == "done"


def _fields(settings):
    return {name: getattr(settings, name) for name in settings.__slots__}
