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


def test_a_run_in_tensorboard_has_a_name_and_its_settings(harness, units, settings):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    plugin = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    wanted = TrialSettings(**{**_fields(settings), "tensorboard": True})
    for unit in units:
        compute_unit(unit, wanted, device="cpu")
    folders = sorted(path.name for path in (harness.store.root / "tensorboard").glob("*/*"))
    extractor, made, evaluated = units
    assert set(folders) == {
        f"digits_{extractor.settings.network}_number0_{extractor.key}",
        f"digits_DM+CC_IPC1_ConvNetD1_seed0_lambda_cc=0.1_{evaluated.key}",
        f"digits_DM+CC_IPC1_seed0_lambda_cc=0.1_{made.key}",
    }
    (folder,) = (harness.store.root / "tensorboard" / "distill").iterdir()
    log = accumulators.EventAccumulator(str(folder)).Reload()
    content = log.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    start = plugin.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["lambda_cc"].number_value == 0.1
    assert start.hparams["method"].string_value == "DM+CC"
    assert start.hparams["ipc"].number_value == 1 and start.hparams["seed"].number_value == 0


def test_a_log_that_an_earlier_version_began_is_continued(harness, units, settings):
    old = harness.store.root / "tensorboard" / units[0].kind / units[0].key
    old.mkdir(parents=True)
    wanted = TrialSettings(**{**_fields(settings), "tensorboard": True})
    compute_unit(units[0], wanted, device="cpu")
    assert list(old.parent.iterdir()) == [old] and list(old.iterdir())


def test_results_are_curves_of_a_log(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from orchestrator.execution.tensorboard import TensorBoardLog

    log = TensorBoardLog(tmp_path / "run", {"lambda_cc": 0.1})
    log.write_results(3, [{"accuracy": 0.5}])  # nothing was logged: there is nothing to compare
    assert not (tmp_path / "run").exists()
    log.write_scalars(3, {"loss": 1.0})
    log.write_results(3, [{"accuracy": 0.5}, {"accuracy": 0.7, "loss": None}])
    log.close()
    found = accumulators.EventAccumulator(str(tmp_path / "run")).Reload()
    (event,) = found.Scalars("result/accuracy")
    assert event.value == pytest.approx(0.6) and "result/loss" not in found.Tags()["scalars"]


def _fields(settings):
    return {name: getattr(settings, name) for name in settings.__slots__}
