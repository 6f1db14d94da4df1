"""The progress of a launch: what is counted, estimated and shown."""

import io
import sys
import threading

from rich.console import Console

from orchestrator.execution.context import UnitProgress
from orchestrator.execution.trial import UnitResult
from orchestrator.launch.display import display, format_line, render
from orchestrator.launch.progress import Failure, LaunchProgress


def by_kind(plan, kind):
    return [unit for unit in plan.units.values() if unit.kind == kind]


def test_progress_is_counted_estimated_and_drawn(small_plan):
    plan = small_plan(sets=2, evaluations=1)
    assert LaunchProgress(units=plan.units).estimate_seconds_left() is None
    expected = {key: 10.0 if unit.kind == "distill" else 1.0 for key, unit in plan.units.items()}
    progress = LaunchProgress(units=plan.units, expected=expected)
    (extractor,), (first, second) = by_kind(plan, "train_extractors"), by_kind(plan, "distill")
    assert progress.estimate_seconds_left() == 23.0
    progress.record_start(extractor)
    progress.record_result(extractor, UnitResult(status="done", seconds=2.0))
    assert (
        progress.estimate_seconds_left() == 2 * 22.0
    )  # the first unit took twice what was expected
    progress.record_start(first)
    progress.record_progress(first, UnitProgress(step=10, total=100, values={"loss": 0.5}))
    progress.running[first.key].first_time -= 1.0
    progress.record_progress(first, UnitProgress(step=20, total=100, values={"loss": 0.25}))
    assert 7 < progress.running[first.key].seconds_left < 9
    assert "1/5 done" in format_line(progress) and "20/100" in format_line(progress)
    console = Console(file=io.StringIO(), width=200)
    console.print(render(progress))
    text = console.file.getvalue()
    assert "20/100" in text and "loss 0.25" in text and "0/2" in text
    progress.record_result(first, UnitResult(status="failed", error="ValueError", reason="why"))
    assert len(progress.blocked) == 1 and progress.failures[first.key] == Failure(
        unit=first, error="ValueError", reason="why"
    )
    progress.record_result(first, UnitResult(status="done", seconds=10.0))
    assert not progress.blocked and not progress.failures
    progress.record_result(second, UnitResult(status="done", seconds=10.0))
    for evaluation in by_kind(plan, "evaluate"):
        progress.record_result(evaluation, UnitResult(status="present"))
    assert progress.estimate_seconds_left() == 0


def test_progress_is_drawn_while_it_changes(small_plan):
    plan = small_plan(sets=50)
    progress = LaunchProgress(units=plan.units, expected=dict.fromkeys(plan.units, 1.0))
    over = threading.Event()

    def change():
        while not over.is_set():
            for unit in plan.units.values():
                progress.record_start(unit)
                progress.record_result(unit, UnitResult(status="failed"))
                progress.record_result(unit, UnitResult(status="done"))

    thread = threading.Thread(target=change)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(50):
            format_line(progress), render(progress)
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)


def test_waiting_for_another_launch_is_shown(small_plan):
    plan = small_plan()
    progress = LaunchProgress(units=plan.units)
    unit = next(iter(plan.units.values()))
    progress.record_wait(unit)
    assert "waiting for 1 unit that another launch is computing" in format_line(progress)
    progress.record_start(unit)
    assert "another launch" not in format_line(progress)


def test_a_quiet_display_leaves_stderr_alone(small_plan):
    progress = LaunchProgress(units=small_plan(sets=1).units)
    console, before = Console(file=io.StringIO(), force_terminal=True, quiet=True), sys.stderr
    with display(progress, console):
        assert sys.stderr is before
    with display(progress, Console(file=io.StringIO(), force_terminal=True)):
        assert sys.stderr is not before  # which is why a quiet one must not draw
