"""Ctrl-C during a launch."""

import io
import os
import signal
import threading
import time

import pytest
from rich.console import Console

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


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
