"""Ctrl-C at any moment of a command: "stopped", exit code 130, nothing else."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from orchestrator.cli import interrupts

# A runner in the background may have Ctrl-C ignored, which commands inherit.
START = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from orchestrator.__main__ import main
from orchestrator.cli import interrupts
interrupts.install()
print("up", flush=True)
main()
"""
COMMANDS = (
    ["verify", "--store", "{store}"],
    ["plan", "quickstart", "--store", "{store}"],
    ["evaluate", "nothing", "--dataset", "digits", "--store", "{store}"],
    ["report", "quickstart", "--store", "{store}"],
    ["--help"],
)


def interrupt(command, store, after, times):
    """Start a command, press Ctrl-C some seconds after it is up, and return how it ended."""
    words = [word.format(store=store) for word in command]
    process = subprocess.Popen(
        [sys.executable, "-c", START, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=store.parent,
    )
    assert process.stdout.readline() == "up\n"
    time.sleep(after)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize("rounds", [4, pytest.param(60, marks=pytest.mark.nightly, id="60 rounds")])
def test_ctrl_c_in_the_first_two_seconds_says_stopped(tmp_path, rounds):
    drawn = random.Random(rounds)
    for number in range(rounds):
        command, after = COMMANDS[number % len(COMMANDS)], drawn.uniform(0, 2) * (number > 0)
        code, errors = interrupt(command, tmp_path / "store", after, times=1 + number % 2)
        shown = f"{command} after {after:.3f} s: {code}, {errors}"
        if code == interrupts.STOPPED:
            assert errors == "stopped\n", shown
        else:  # it was done before
            assert code in (0, 2) and after > 0 and "Traceback" not in errors, shown


def test_a_command_that_was_started_with_ctrl_c_ignored_keeps_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupts.install()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_code_that_lets_go_of_things_is_interrupted_by_an_exception():
    before = signal.signal(signal.SIGINT, interrupts.stop_at_once)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts.raising():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        assert signal.getsignal(signal.SIGINT) is interrupts.stop_at_once
    finally:
        signal.signal(signal.SIGINT, before)


def test_after_a_stop_the_interpreter_does_not_end_by_itself():
    code = (
        "import sys, atexit\nfrom orchestrator.cli import interrupts\n"
        "ending = interrupts.watch_end()\n"
        "class Crash:\n    def __del__(self): print('freed')\n"
        "kept = Crash()\natexit.register(print, 'a library ends')\n"
        "ending.code = 130\nsys.exit(130)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (130, "a library ends\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_of_service_managers_stop_a_command_with_the_same_exit_code(number):
    code = (
        "import time; from orchestrator.cli import interrupts; interrupts.install();"
        " print('up', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, f"stopped by {signal.Signals(number).name}\n")
