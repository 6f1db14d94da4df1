"""Ctrl-C during a launch: the first asks the workers to stop, the second stops at once."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from orchestrator.errors import StoreError
from orchestrator.store.stop_signal import StopSignal
from orchestrator.text import choose_error_console

_log = logging.getLogger(__name__)


class StopSwitch:
    """Handles SIGINT and SIGTERM.

    Args:
        stop_signal: what the workers look for.
        console: where the user reads what happens next.
    """

    def __init__(self, stop_signal: StopSignal, console: Console) -> None:
        self._stop_signal = stop_signal
        self._console = console
        self._on = False

    def is_on(self) -> bool:
        """Tell whether the launch is to stop."""
        return self._on

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: to stop at once, the second time or if the workers cannot be asked.
        """
        name = signal.Signals(number).name
        if self._on:
            _log.warning("%s again: stopping at once", name)
            raise KeyboardInterrupt
        self._on = True
        _log.info("%s: asking the workers to stop after their next checkpoints", name)
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
        self._console.print(
            "Stopping after the next checkpoint of each running unit; Ctrl-C again stops at once.",
            soft_wrap=True,
        )

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM during the block, where that is possible."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python handles signals in the main thread only
            return
        before = {number: signal.signal(number, self) for number in (signal.SIGINT, signal.SIGTERM)}
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
