import dataclasses
import io
import json
from datetime import UTC, datetime

import pytest
from rich.console import Console

from orchestrator.cli.commands.status import format_launch, render_status
from orchestrator.errors import StoreError
from orchestrator.launch.status import LaunchNote, find_unit, read_status
from orchestrator.store import leases
from orchestrator.store.open import open_store
from orchestrator.store.provenance import build_failure_row


def record(store, plan, space, started):
    store.write_run(started, {"space": space, "started": started}, plan.units)


def commit(store, unit):
    with store.scratch(unit) as workdir:
        store.commit(
            unit, workdir, [{"key": unit.key}], run="r", finished=datetime.now(UTC).isoformat()
        )


def fail(store, unit):
    store.record_failure(
        build_failure_row(
            unit, run="r", device="d", error="ValueError", reason="bad", traceback="at line"
        )
    )


@pytest.fixture
def units(harness, small_plan):
    plan = small_plan(sets=3, evaluations=1)
    record(harness.store, plan, "small", "2025-01-01")
    return list(plan.units.values())


def counts(store):
    return {state: dict(count) for state, count in read_status(store).counts.items() if count}


def test_every_unit_is_in_one_state(harness, units):
    store = harness.store
    extractor, first, first_evaluation, second, *_ = units
    assert counts(store) == {"waiting": {"train_extractors": 1, "distill": 3, "evaluate": 3}}
    commit(store, extractor)
    commit(store, first)
    fail(store, second)
    with leases.hold(store.storage, first_evaluation.key, "r"):
        status = read_status(store)
        assert counts(store) == {
            "done": {"train_extractors": 1, "distill": 1},
            "running": {"evaluate": 1},
            "failed": {"distill": 1},
            "blocked": {"evaluate": 1},
            "waiting": {"distill": 1, "evaluate": 1},
        }
    assert [(note.unit, note.reason) for note in status.failures] == [(second, "bad")]
    console = Console(file=io.StringIO(), width=200)
    console.print(render_status(status, tracebacks=True))
    text = console.file.getvalue()
    assert "small" in text and "ValueError: bad" in text and "at line" in text


def test_a_failed_unit_that_is_tried_again_runs(harness, units):
    fail(harness.store, units[0])
    with leases.hold(harness.store.storage, units[0].key, "r"):
        assert "failed" not in counts(harness.store)


def test_the_last_launch_of_a_space_counts(harness, units, small_plan):
    record(harness.store, small_plan(sets=1, evaluations=1), "small", "2025-01-02")
    assert counts(harness.store) == {
        "waiting": {"train_extractors": 1, "distill": 1, "evaluate": 1}
    }
    record(harness.store, small_plan(sets=2, evaluations=1), "other", "2025-01-03")
    status = read_status(harness.store)
    assert status.spaces == ("small", "other") and status.counts["waiting"]["distill"] == 2
    changed = {"space": "small", "started": "2025-01-04", "overrides": ["seeds=3", "name=a b"]}
    harness.store.write_run("changed", changed, small_plan(sets=3, evaluations=1).units)
    status = read_status(harness.store)
    assert status.spaces == ("small", "other", "small --set seeds=3 --set 'name=a b'")
    assert status.counts["waiting"]["distill"] == 3


def test_done_units_of_earlier_plans_are_counted_apart(harness, units, small_plan):
    record(harness.store, small_plan(sets=1, evaluations=1), "small", "2025-01-02")
    for unit in units[:2]:
        commit(harness.store, unit)
    assert read_status(harness.store).others == 0
    commit(harness.store, units[3])
    status = read_status(harness.store)
    assert (status.others, status.counts["done"].total()) == (1, 2)
    console = Console(file=io.StringIO(), width=200)
    console.print(render_status(status))
    assert "1 more unit done" in console.file.getvalue()


def test_a_unit_is_found_by_the_beginning_of_its_key(harness, units):
    assert find_unit(harness.store, units[1].key[:10]) == units[1]
    with pytest.raises(StoreError, match="begins with 'xyz'"):
        find_unit(harness.store, "xyz")
    with pytest.raises(StoreError, match="7 keys"):
        find_unit(harness.store, "")
    other = dataclasses.replace(units[1], seed=99)
    commit(harness.store, other)
    assert find_unit(harness.store, other.key) == other


def test_done_units_without_a_record_are_not_passed_over(harness, units):
    commit(harness.store, units[0])
    for path in (harness.store.root / "runs").glob("*.json"):
        path.write_text("{")
    out = io.StringIO()
    Console(file=out, width=200).print(render_status(read_status(harness.store)))
    assert (
        "1 unit done, but no launch has a record that can be read: see iid verify" in out.getvalue()
    )


def test_there_is_no_status_without_a_store(tmp_path):
    with pytest.raises(StoreError, match="--store"):
        read_status(open_store(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    assert read_status(open_store(tmp_path / "empty")).spaces == ()


@pytest.mark.parametrize("damage", ["{half", "5", "[[1, 2]]", "[" * 100_000])
def test_a_damaged_plan_is_named(harness, units, damage):
    (path,) = (harness.store.root / "plans").iterdir()
    path.write_text(damage)
    with pytest.raises(StoreError, match=f"{path.name} is damaged"):
        read_status(harness.store)
    with pytest.raises(StoreError, match="no unit"):
        find_unit(harness.store, units[0].key)


@pytest.mark.parametrize("fields", [5, {}, None, {"kind": []}, {"kind": "distill", "seed": {}}])
def test_a_unit_of_another_version_is_left_out(harness, units, fields):
    (path,) = (harness.store.root / "plans").iterdir()
    planned = json.loads(path.read_text())
    path.write_text(json.dumps({**planned, units[0].key: fields}))
    assert counts(harness.store) == {"waiting": {"distill": 3, "evaluate": 3}}
    with pytest.raises(StoreError, match="another version"):
        find_unit(harness.store, units[0].key)
    path.write_text(json.dumps({units[0].key: planned[units[1].key]}))
    with pytest.raises(StoreError, match="another version"):
        find_unit(harness.store, units[0].key)


def test_status_reads_the_last_plan_of_a_space_alone(harness, units, small_plan):
    (old,) = (harness.store.root / "plans").iterdir()
    record(harness.store, small_plan(sets=1), "small", "2025-01-02")
    old.unlink()
    assert counts(harness.store)["waiting"]["distill"] == 1


def test_nothing_is_written_for_a_status(harness, units):
    with leases.hold(harness.store.storage, units[0].key, "r"):
        before = {path: path.stat().st_mtime_ns for path in harness.store.root.rglob("*")}
        read_status(harness.store)
        assert {path: path.stat().st_mtime_ns for path in harness.store.root.rglob("*")} == before


def test_the_last_launch_is_told_with_its_end_and_its_log(harness, units):
    old = read_status(harness.store).last_launch  # its record is as version 0.1.0 wrote it
    assert format_launch(old).plain == f"Last launch: {old.run}"
    note = LaunchNote(run="r", outcome="failed", log="store/runs/r.log")
    assert format_launch(note).plain == "Last launch: r, failed, log: store/runs/r.log"
    note = LaunchNote(run="r", outcome=None, log="store/runs/r.log")
    assert format_launch(note).plain == "Last launch: r, running or killed, log: store/runs/r.log"
