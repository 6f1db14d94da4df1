import pytest

from orchestrator.execution.context import UnitProgress
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.store import leases, tables


def test_a_unit_is_computed_once_and_reports(harness, units, settings):
    reports = []
    assert compute_unit(units[0], settings, device="cpu", report=reports.append).status == "done"
    assert reports == [UnitProgress(step=i, total=3, values={"loss": 1 / i}) for i in (1, 2, 3)]
    assert compute_unit(units[0], settings, device="cpu").status == "present"
    assert harness.events("end") == [units[0].key]
    (row,) = tables.read(harness.store.tables, "extractors").to_pylist()
    assert (row["key"], row["run"], row["fingerprint"], row["seconds"]) == (
        units[0].key,
        "run",
        "images",
        0.1,
    )
    assert not list((harness.store.root / "leases").iterdir())


def test_a_unit_whose_parent_is_missing_fails_by_name(harness, units, settings):
    result = compute_unit(units[1], settings, device="cpu")
    assert result.status == "failed" and units[0].key in result.reason


def test_a_runner_that_is_not_there_is_a_failure(harness, units, settings):
    result = compute_unit(
        units[0], TrialSettings(**{**_fields(settings), "runner": "nowhere:run"}), device="cpu"
    )
    assert (result.status, result.error) == ("failed", "ModuleNotFoundError")


def test_a_unit_at_which_somebody_is_is_busy(harness, units, settings):
    with leases.hold(harness.store.storage, units[0].key, "other"):
        assert compute_unit(units[0], settings, device="cpu").status == "busy"
    assert harness.log() == []


def test_rows_that_a_killed_worker_did_not_publish_are_published_by_the_next(
    harness, units, settings
):
    assert compute_unit(units[0], settings, device="cpu").status == "done"
    (harness.store.tables / "extractors" / f"{units[0].key}.parquet").unlink()
    assert compute_unit(units[0], settings, device="cpu").status == "present"
    assert tables.read(harness.store.tables, "extractors").num_rows == 1


def test_a_stopped_unit_continues_at_its_checkpoint(harness, units, settings, monkeypatch):
    stop = harness.store.stop_signal("run")

    def report(progress):
        if progress.step == 3:
            stop.set()

    settings = TrialSettings(**{**_fields(settings), "checkpoint_seconds": 3600.0})
    monkeypatch.setattr("orchestrator.execution.context.STOP_CHECK_SECONDS", 0.0)
    harness.behave({"steps": 5})
    assert compute_unit(units[0], settings, device="cpu", report=report).status == "stopped"
    assert compute_unit(units[0], settings, device="cpu").status == "stopped"  # not even begun
    stop.clear()
    harness.behave({"steps": 5})
    assert compute_unit(units[0], settings, device="cpu").status == "done"
    assert [line[0] for line in harness.log()] == ["start", "resume", "start", "end"]
    assert harness.log()[1][3] == "3"


def test_a_store_that_cannot_be_used_is_a_reason_and_no_exception(tmp_path, units, settings):
    (tmp_path / "file").write_text("")
    result = compute_unit(
        units[0],
        TrialSettings(**{**_fields(settings), "store": str(tmp_path / "file")}),
        device="cpu",
    )
    assert (result.status, result.error) == ("failed", "StoreError")


def test_a_unit_logs_to_tensorboard_and_continues_its_log(harness, units, settings):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    from orchestrator.execution.tensorboard import TensorBoardLog

    folder = harness.store.locate_tensorboard(units[0])
    first = TensorBoardLog(folder)
    for step in (1, 2, 3, 4):
        first.write_scalars(step, {"loss": float(step)})
    first.close()
    again = TensorBoardLog(folder)
    again.write_scalars(3, {"loss": 30.0})  # from a checkpoint after step 2
    again.close()
    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
    ]
    assert (
        compute_unit(
            units[0], TrialSettings(**{**_fields(settings), "tensorboard": True}), device="cpu"
        ).status
        == "done"
    )


def _fields(settings):
    return {name: getattr(settings, name) for name in settings.__slots__}
