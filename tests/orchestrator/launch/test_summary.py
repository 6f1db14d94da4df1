"""How a launch ended: exit codes, and what is printed of failures."""

import functools
import io

import pytest
from rich.console import Console

from orchestrator.launch.progress import Failure
from orchestrator.launch.summary import Summary, print_summary

SUMMARY = functools.partial(
    Summary,
    run="r",
    computed={},
    already=0,
    failures=(),
    blocked=(),
    waiting=0,
    stopped_by=None,
    halted=None,
    seconds=1.0,
)


def shown(summary, **options):
    console = Console(file=io.StringIO(), width=200, **options)
    print_summary(summary, console)
    return console.file.getvalue()


def test_of_many_failures_ten_are_shown(small_plan):
    failures = tuple(
        Failure(unit=unit, error="E", reason=f"why not {number}")
        for number, unit in enumerate(small_plan(sets=20, evaluations=1).units.values())
    )
    text = shown(SUMMARY(failures=failures))
    assert (
        text.count("why not") == 10
        and f"and {len(failures) - 10} more failed; iid status shows all" in text
    )


def test_failures_of_one_reason_are_one_line(small_plan):
    units = list(small_plan(sets=20, evaluations=1).units.values())
    failures = [Failure(unit=unit, error="E", reason="no such file") for unit in units]
    failures[1] = Failure(unit=units[1], error="E", reason="other")
    text = shown(SUMMARY(failures=tuple(failures)))
    assert text.count("no such file") == text.count("other") == 1
    assert f"and {len(units) - 2} more: E: no such file" in text
    assert "more failed" not in text


@pytest.mark.parametrize(
    ("failed", "waiting", "stopped", "code"),
    [
        (0, 0, False, 0),
        (0, 0, True, 0),
        (1, 0, False, 1),
        (0, 3, True, 130),
        (0, 3, False, 1),
        (1, 3, True, 1),
    ],
)
def test_exit_codes(small_plan, failed, waiting, stopped, code):
    unit = next(iter(small_plan().units.values()))
    failures = (Failure(unit=unit, error="E", reason="r"),) * failed
    signal = "SIGTERM" if stopped else None
    assert SUMMARY(failures=failures, waiting=waiting, stopped_by=signal).exit_code == code


def test_a_launch_that_did_not_end_well_names_its_log():
    assert "Log: store/runs/r.log" in shown(
        SUMMARY(waiting=1, stopped_by="SIGINT", log="store/runs/r.log")
    )
    assert "Log" not in shown(SUMMARY(log="store/runs/r.log"))


def test_a_quiet_console_lets_errors_through(small_plan, capsys):
    unit = next(iter(small_plan().units.values()))
    failure = Failure(unit=unit, error="ValueError", reason="why not")
    assert shown(SUMMARY(failures=(failure,), log="a/run.log"), quiet=True) == ""
    printed = capsys.readouterr()
    assert printed.out == "" and "ValueError: why not" in printed.err and "a/run.log" in printed.err
    assert shown(SUMMARY(computed={"distill": 3}), quiet=True) == ""
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("signal", "text"), [("SIGINT", "Stopped. Run"), ("SIGTERM", "Stopped by SIGTERM. Run")]
)
def test_a_stop_names_its_signal(signal, text):
    assert text in shown(SUMMARY(waiting=1, stopped_by=signal))


def test_a_launch_whose_units_were_taken_over_says_by_whom():
    text = shown(SUMMARY(taken_over={"a": "20300101-x", "b": "20300101-x", "c": "another launch"}))
    assert "2 units were taken over by launch 20300101-x while this one stood still" in text
    assert "1 unit was taken over by another launch" in text


def test_a_command_that_would_fail_again_is_not_offered_without_a_change(small_plan):
    unit = next(iter(small_plan().units.values()))
    failure = Failure(unit=unit, error="ValueError", reason="why not", name="the first set")
    text = shown(SUMMARY(failures=(failure,)))
    assert "failed: the first set: ValueError: why not" in text
    assert "Change what their messages name first, or they fail again" in text
    halted = shown(SUMMARY(waiting=3, halted="the disk is full; free some space"))
    assert "the disk is full; free some space. Once that is mended: run the same command" in halted
    assert "mended" not in shown(SUMMARY(waiting=3, stopped_by="SIGINT"))
