import shutil

import pytest

from orchestrator.execution import run_units
from orchestrator.execution.run_units import compute_unit
from orchestrator.store import atomic_files, leases, tables
from orchestrator.store.store import Store
from orchestrator.store.verification.verify import verify


def failures(harness):
    return tables.read(harness.store.tables, "failures").to_pylist()


def test_a_failing_unit_is_recorded_with_its_traceback(harness, units, settings):
    harness.behave({"fail": "loss is NaN at iteration 7"})
    result = compute_unit(units[0], settings, device="cpu")
    assert (result.status, result.error, result.reason) == (
        "failed",
        "ValueError",
        "loss is NaN at iteration 7",
    )
    (row,) = failures(harness)
    assert row["reason"] == result.reason and "fake_runner.py" in row["traceback"]
    assert harness.store.find_done_keys() == frozenset()
    harness.behave()
    assert compute_unit(units[0], settings, device="cpu").status == "done"
    assert failures(harness) == []


def test_a_worker_that_lost_its_lease_records_no_failure(harness, units, settings):
    path = harness.store.root / "leases" / f"{units[0].key}.json"

    def report(progress):
        path.write_text('{"token": "theirs"}')  # the heartbeat has not noticed yet

    harness.behave({"fail": "a file is gone"})
    assert compute_unit(units[0], settings, device="cpu", report=report).status == "busy"
    assert failures(harness) == [] and path.exists()


def take_over(harness, unit, *, finish=False):
    """Do what another launch does with the unit of a process that stands still."""
    name = f"leases/{unit.key}.json"
    harness.store.storage.put(name, b'{"token": "theirs", "run": "20300101-other"}')
    with harness.store.scratch(unit) as workdir:  # removes the folder of the one that stands still
        if finish:
            (workdir / "count.txt").write_text("3")
            rows = [{"key": unit.key, "seconds": 0.1}]
            harness.store.commit(unit, workdir, rows, run="20300101-other", finished="2030")
            harness.store.storage.remove(name)


MOMENTS = ["write", "sync_and_hash", "publish", "scratch", "check_fingerprint", "rows", "run"]


@pytest.mark.parametrize("finish", [True, False])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_process_that_wakes_up_after_its_unit_was_taken_over_reports_no_failure(
    harness, units, settings, monkeypatch, caplog, moment, finish
):
    places = {
        "write": (atomic_files, "write_inside"),
        "sync_and_hash": (atomic_files, "sync_and_hash"),
        "rows": (tables, "encode"),
        "publish": (type(harness.store.storage), "publish"),
        "scratch": (Store, "scratch"),
        "check_fingerprint": (Store, "check_fingerprint"),
        "run": (run_units, "_import_function"),
    }
    owner, name = places[moment]
    original, slept = getattr(owner, name), []

    def sleep_first(*arguments, **options):
        if not slept:
            slept.append(moment)
            take_over(harness, units[0], finish=finish)
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, sleep_first)
    (result,) = run_units.compute_units([units[0]], settings, device="cpu")
    assert slept and result.status in ("busy", "present", "done")
    assert failures(harness) == []
    if result.status == "busy":
        assert result.taken_over_by == "20300101-other"
        assert "was taken over by launch 20300101-other" in caplog.text
    assert verify(harness.store).intact
    if not finish:
        harness.store.storage.remove(f"leases/{units[0].key}.json")
    assert compute_unit(units[0], settings, device="cpu").status in ("done", "present")


def test_a_folder_that_a_starting_launch_removed_is_no_failure(harness, units, settings, caplog):
    def report(progress):
        for folder in harness.store.root.glob(f"units/*/.{units[0].key}.*"):
            shutil.rmtree(folder)
        monkeypatch.setattr(leases, "STALE_SECONDS", -1.0)  # as if it had slept since the last

    with pytest.MonkeyPatch.context() as monkeypatch:
        result = compute_unit(units[0], settings, device="cpu", report=report)
    assert (result.status, result.taken_over_by) == ("busy", "another launch")
    assert failures(harness) == []
    assert compute_unit(units[0], settings, device="cpu").status == "done"


def test_an_error_of_a_unit_that_nobody_took_over_stays_its_failure(harness, units, settings):
    harness.behave({"fail": "something else"})
    result = compute_unit(units[0], settings, device="cpu")
    assert (result.status, result.taken_over_by) == ("failed", None)


def test_only_a_full_disk_is_fatal(harness, units, settings):
    harness.behave({"full": True})
    assert compute_unit(units[0], settings, device="cpu").fatal
    harness.behave({"fail": "something else"})
    assert not compute_unit(units[0], settings, device="cpu").fatal


def test_other_images_under_the_same_name_are_refused(harness, units, settings):
    assert compute_unit(units[0], settings, device="cpu").status == "done"
    harness.behave({"fingerprint": "others"})
    result = compute_unit(units[1], settings, device="cpu")
    assert (result.status, result.error) == (
        "failed",
        "StoreError",
    ) and "new version" in result.reason


def test_what_becomes_of_a_unit_is_logged(harness, units, settings, caplog):
    caplog.set_level("INFO", "orchestrator.execution")
    name = f"{units[0].kind} {units[0].key}"
    harness.behave({"fail": "loss is NaN at iteration 7"})
    compute_unit(units[0], settings, device="cpu")
    harness.behave()
    for _ in range(2):
        compute_unit(units[0], settings, device="cpu")
    lines = [record.getMessage() for record in caplog.records]
    started, failed, *_ = lines
    assert started == f"started {name} on cpu"
    assert failed == f"{name} failed: ValueError: loss is NaN at iteration 7"
    assert any(line.startswith(f"finished {name} in ") for line in lines)
    assert lines[-1] == f"{name} is already done"
