from orchestrator.execution.run_units import compute_unit
from orchestrator.store import tables


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
