"""What people see of a launch from elsewhere, and a time left that does not jump."""

import io
import json
import threading
import time

import pytest
from rich.console import Console

from orchestrator.cli.commands.status import list_units, show_status
from orchestrator.execution.context import UnitProgress
from orchestrator.execution.trial import UnitResult
from orchestrator.launch import progress_view
from orchestrator.launch.progress import LaunchProgress
from orchestrator.launch.progress_view import SteadyEstimate, published, read_progress
from orchestrator.store.cleanup import clean_up
from orchestrator.units import name_units


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def progress(small_plan):
    plan = small_plan(sets=2, evaluations=1)
    made = LaunchProgress(
        units=plan.units, names=name_units(plan.units), expected=dict.fromkeys(plan.units, 10.0)
    )
    extractor, distill, *_ = plan.units.values()
    made.record_result(extractor, UnitResult(status="done", seconds=10.0))
    made.record_start(distill)
    made.record_progress(distill, UnitProgress(step=10, total=100, values={"loss": 0.5}))
    made.running[distill.key].first_time -= 20
    made.record_progress(distill, UnitProgress(step=30, total=100, values={"loss": 0.5}))
    return made


def shown(store):
    console = Console(file=io.StringIO(), width=200)
    show_status(store, console)
    return console.file.getvalue()


def test_another_terminal_sees_progress_rate_and_time_left(harness, progress):
    harness.store.write_run("r", {"space": "small", "started": "2030"}, progress.units)
    with published(progress, harness.store, "r", "small"):
        wait_until(lambda: read_progress(harness.store))
        (found,) = read_progress(harness.store)
        assert found.view == progress.view() or found.view.kinds == progress.view().kinds
        text = shown(harness.store)
    assert "small, launch r," in text and "30/100" in text and "1/s" in text
    assert "left" in text and "not known" not in text and "1/1" in text
    assert read_progress(harness.store) == [] and "30/100" not in shown(harness.store)


def test_a_launch_that_was_killed_is_told(harness, progress, monkeypatch):
    with published(progress, harness.store, "r", "small"):
        wait_until(lambda: read_progress(harness.store))
        (name,) = [n for n in harness.store.storage.entries("runs") if n.endswith(".progress")]
        content = harness.store.storage.get(f"runs/{name}")
    record = json.loads(content) | {"written": time.time() - 3600}
    harness.store.storage.put("runs/r.progress", json.dumps(record).encode())
    assert "Launch r was last heard of 1 h 00 min ago" in shown(harness.store)
    monkeypatch.setattr("orchestrator.store.cleanup.DAY", -1.0)
    clean_up(harness.store, frozenset())
    assert read_progress(harness.store) == []


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"written": 1}', b'{"written": "x"}'])
def test_a_damaged_record_is_no_error(harness, content):
    harness.store.storage.put("runs/r.progress", content)
    assert read_progress(harness.store) == []
    shown(harness.store)


def test_a_store_that_cannot_be_written_is_no_reason_to_stop(progress):
    class Broken:
        is_local = True

        def put(self, *arguments):
            raise progress_view.StoreError("full")

        remove = put

    class Store:
        storage = Broken()

    with published(progress, Store(), "r", "small"):
        threading.Event().wait(0.05)


def test_the_time_left_is_not_told_before_anything_was_measured(small_plan):
    plan = small_plan(sets=1, evaluations=1)
    progress = LaunchProgress(units=plan.units, expected=dict.fromkeys(plan.units, 3000.0))
    unit = next(iter(plan.units.values()))
    assert progress.view().seconds_left is None
    progress.record_start(unit)
    # the first steps of a process are slow
    progress.record_progress(unit, UnitProgress(step=1, total=1000, values={}))
    progress.running[unit.key].first_time -= 2
    progress.record_progress(unit, UnitProgress(step=2, total=1000, values={}))
    assert progress.view().seconds_left is None
    measured = LaunchProgress(
        units=plan.units, expected=dict.fromkeys(plan.units, 10.0), is_measured=True
    )
    assert measured.view().seconds_left == pytest.approx(30)


def test_slow_first_steps_do_not_make_a_short_unit_long(small_plan):
    plan = small_plan(sets=1, evaluations=1)
    progress = LaunchProgress(units=plan.units, expected=dict.fromkeys(plan.units, 30.0))
    unit = next(iter(plan.units.values()))
    progress.record_start(unit)
    progress.record_progress(unit, UnitProgress(step=1, total=1000, values={}))
    progress.running[unit.key].first_time -= 3  # 3 s a step: 50 minutes at this speed
    progress.record_progress(unit, UnitProgress(step=2, total=1000, values={}))
    assert progress.estimate_seconds_left() < 800


def test_the_time_left_does_not_jump():
    steady = SteadyEstimate()
    assert steady.update(None, 0.0) is None
    assert steady.update(100.0, 0.0) == 100.0
    seen = [
        steady.update(6000.0 if second == 5 else 100.0 - second, second) for second in range(20)
    ]
    assert max(seen) < 800 and abs(seen[4] - 96.0) < 1
    assert steady.update(0.0, 20.0) == 0.0


def test_all_units_are_listed_with_their_keys(harness, units):
    store = harness.store
    store.write_run("r", {"space": "small", "started": "2030"}, {u.key: u for u in units})
    with store.scratch(units[0]) as workdir:
        store.commit(units[0], workdir, [{"key": units[0].key}], run="r", finished="2030")
    console = Console(file=io.StringIO(), width=30)  # nothing is wrapped
    list_units(store, console)
    lines = console.file.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [
        [units[0].key, "done"],
        [units[1].key, "waiting"],
        [units[2].key, "waiting"],
    ]
    assert "DM+CC, IPC 1" in lines[2]
