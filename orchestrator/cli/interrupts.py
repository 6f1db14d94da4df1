"""Ctrl-C: outside of a launch, which has its own switch, a command says "stopped" and ends at once.

So it does on SIGTERM and SIGHUP, which service managers, batch systems and closed terminals send.

Nothing is torn down on the way. A store survives a kill at any moment, and an interpreter that is
interrupted while it imports, prints or ends would show tracebacks of others, or crash. This module
is imported first of all, so it imports little itself.
"""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

STOPPED = 130
"""Exit code of a command that Ctrl-C stopped, as shells have it: 128 + SIGINT."""
_SHOW_CURSOR = "\x1b[?25h"


def stop_at_once(number: int = signal.SIGINT, frame: FrameType | None = None) -> NoReturn:
    """Say "stopped", and end this process without any further code of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    try:
        # A terminal shows ^C on the line, and a live display may have hidden the cursor.
        os.write(2, f"{_SHOW_CURSOR}\n".encode() * os.isatty(2) + f"stopped{by}\n".encode())
    finally:
        os._exit(STOPPED)


def install() -> None:
    """Stop at once on signals from now on, unless the caller has one ignored, as nohup does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop_at_once)


@contextmanager
def raising() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT during the block, for code that has to let go of things."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Ending:
    """The last thing that a process does, after whatever libraries want to do at its end."""

    def __init__(self) -> None:
        self.code = 1

    def __call__(self) -> None:
        """End here if the command was stopped: the interpreter would free what was cut off."""
        if self.code != STOPPED:
            return
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # nobody reads it any more
                stream.flush()
        os._exit(self.code)


def watch_end() -> Ending:
    """Return the `Ending` of this process, whose exit code the caller sets."""
    ending = Ending()
    atexit.register(ending)  # the first to be registered is the last to be called
    return ending
