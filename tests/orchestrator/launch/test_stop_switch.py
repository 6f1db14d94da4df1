"""Ctrl-C during a launch."""

import io
import os
import pty
import signal
import sys
import threading
import time

import pytest
from rich.console import Console

from orchestrator.launch import stop_switch
from orchestrator.launch.stop_switch import StopSwitch
from orchestrator.store.stop_signal import StopSignal


class Unwritable:
    """A storage that cannot be written."""

    def put(self, *arguments):
        raise OSError(30, "Read-only file system")

    remove = put


def test_ctrl_c_on_a_store_that_cannot_be_written_stops_at_once_and_says_so():
    console = Console(file=io.StringIO(), width=200)
    switch = StopSwitch(StopSignal(Unwritable(), "runs/r.stop"), console)
    with pytest.raises(KeyboardInterrupt), switch.installed():
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(10)
    assert (
        switch.is_on()
        and "Stopping at once: the store cannot be written (Read-only" in console.file.getvalue()
    )


def test_ctrl_c_twice_stops_at_once(harness):
    console, stop_signal = Console(file=io.StringIO(), width=200), harness.store.stop_signal("r")
    switch = StopSwitch(stop_signal, console)
    with pytest.raises(KeyboardInterrupt), switch.installed():
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(switch.is_on)
        assert stop_signal.is_set() and "Ctrl-C again stops at once" in console.file.getvalue()
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(60)
    assert not stop_signal.is_set()


@pytest.fixture
def switch(harness):
    console = Console(file=io.StringIO(), width=200)
    return StopSwitch(harness.store.stop_signal("r"), console), console.file


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_of_service_managers_and_closed_terminals_stop_as_ctrl_c_does(switch, number):
    switch, output = switch
    with switch.installed():
        for _ in range(2):  # they often come twice, to the group and to each process
            os.kill(os.getpid(), number)
            wait_until(switch.is_on)
    name = signal.Signals(number).name
    assert switch.reason == name and f"{name}: stopping after the next" in output.getvalue()


def test_sigterm_again_after_a_while_stops_at_once(switch, monkeypatch):
    monkeypatch.setattr(stop_switch, "REPEAT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt), switch[0].installed():
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(switch[0].is_on)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(60)


def test_under_nohup_a_closed_terminal_is_no_reason_to_stop(switch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with switch[0].installed():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
        assert not switch[0].is_on()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_launch_goes_on_without_its_terminal():
    """What it prints after SIGHUP goes nowhere; a closed terminal refuses it."""
    code = (
        "import os, signal, time\n"
        "from rich.console import Console\n"
        "from orchestrator.launch.stop_switch import StopSwitch\n"
        "class Signal:\n    set = clear = lambda self: None\n"
        "switch = StopSwitch(Signal(), Console())\n"
        "with switch.installed():\n"
        "    print('ready', flush=True)\n"
        "    while not switch.is_on():\n        time.sleep(0.01)\n"
        "print('after', flush=True)\n"
        "os._exit(7)"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    while b"ready" not in os.read(terminal, 1000):
        pass
    os.close(terminal)  # which sends SIGHUP
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
