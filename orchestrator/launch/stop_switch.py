"""Ctrl-C and signals during a launch: the first asks the workers to stop, the second stops at once.

SIGTERM comes from service managers and batch systems, SIGHUP from a terminal that was closed. Both
are often sent more than once, to all processes of a job.
"""

import logging
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from orchestrator.errors import StoreError
from orchestrator.store.stop_signal import StopSignal
from orchestrator.text import choose_error_console

_log = logging.getLogger(__name__)


REPEAT_SECONDS = 2.0
"""SIGTERM within this time after the first signal is the same request once more."""


class StopSwitch:
    """Handles SIGINT, SIGTERM and SIGHUP.

    Args:
        stop_signal: what the workers look for.
        console: where the user reads what happens next.
    """

    def __init__(self, stop_signal: StopSignal, console: Console) -> None:
        self._stop_signal = stop_signal
        self._console = console
        self._first: signal.Signals | None = None
        self._since = 0.0

    @property
    def reason(self) -> str | None:
        """Name of the signal that came first; None if there was none."""
        return None if self._first is None else self._first.name

    def is_on(self) -> bool:
        """Tell whether the launch is to stop."""
        return self._first is not None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: to stop at once, the second time or if the workers cannot be asked.
        """
        received = signal.Signals(number)
        if received is signal.SIGHUP:
            _leave_terminal()
        if self._first is not None:
            if received is signal.SIGHUP or (
                received is signal.SIGTERM and time.monotonic() - self._since < REPEAT_SECONDS
            ):
                _log.info("%s again", received.name)
                return
            _log.warning("%s again: stopping at once", received.name)
            raise KeyboardInterrupt
        self._first, self._since = received, time.monotonic()
        _log.info("%s: asking the workers to stop after their next checkpoints", received.name)
        try:
            self._stop_signal.set()
        except (OSError, StoreError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            _log.warning("the workers cannot be asked to stop: %s", error)
            choose_error_console(self._console).print(
                f"Stopping at once: the store cannot be written ({why}), so units can neither be"
                " asked to stop nor save checkpoints. They continue from their last checkpoints.",
                soft_wrap=True,
            )
            raise KeyboardInterrupt from error
        begin, again = "S", "Ctrl-C again stops at once."
        if received is not signal.SIGINT:
            begin, again = f"{received.name}: s", "run the same command again to continue."
        self._console.print(
            f"{begin}topping after the next checkpoint of each running unit; {again}",
            soft_wrap=True,
        )

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals during the block, where that is possible.

        A SIGHUP that this process was started to ignore, as by nohup, stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # Python handles signals in the main thread only
            return
        before = {}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, self)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            try:
                self._stop_signal.clear()
            except (OSError, StoreError) as error:
                # Harmless: the signal bears the name of this launch, so no other reads it.
                _log.warning("the stop signal is left behind: %s", error)


def _leave_terminal() -> None:
    """Send what is printed from now on nowhere, where it went to a terminal that is closed."""
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        try:
            # A terminal that is gone does not say any more that it is one.
            if stream is not None and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
        except (OSError, ValueError) as error:
            _log.info("a stream has no terminal to leave: %s", error)
