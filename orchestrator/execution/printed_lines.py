"""What custom code prints while a unit is computed goes to the launch's log, too."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import BinaryIO, TextIO

_log = logging.getLogger(__name__)

MAX_LINES = 500
"""Printed lines of a unit that are logged."""
MAX_LENGTH = 500


@contextmanager
def log_printed_lines() -> Iterator[None]:
    """Log what is printed to stdout and stderr, which still get it."""
    out, err = _LoggedStream(sys.stdout), _LoggedStream(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        finally:
            out.log_rest()
            err.log_rest()


class _LoggedStream(io.TextIOBase):
    """A stream that passes on what is written, and logs it line by line."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.rest, self.lines = "", 0
        self.is_logging = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream."""
        return self.stream.encoding

    @property
    def buffer(self) -> BinaryIO:
        """That of the stream; bytes are not logged."""
        return self.stream.buffer

    def write(self, text: str) -> int:
        self.stream.write(text)
        if self.is_logging:  # a log that custom code has set up writes here
            return len(text)
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self._log_line(line)
        self.rest = self.rest[-MAX_LENGTH:]  # a progress bar never ends its line
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def log_rest(self) -> None:
        """Log what is left after the last end of a line."""
        if self.rest:
            self._log_line(self.rest)
        self.rest = ""

    def _log_line(self, line: str) -> None:
        line = line.rsplit("\r", 1)[-1].rstrip()
        if not line:
            return
        self.lines += 1
        self.is_logging = True
        try:
            if self.lines <= MAX_LINES:
                _log.info("printed: %s", line[:MAX_LENGTH])
            elif self.lines == MAX_LINES + 1:
                _log.info("printed: more than %d lines; the rest is not logged", MAX_LINES)
        finally:
            self.is_logging = False
