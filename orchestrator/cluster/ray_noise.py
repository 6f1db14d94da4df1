"""What Ray's C++ code writes to stderr while a launch runs: it goes to the log of the launch.

A wrong address or a dead node makes it repeat lines for a minute, past Python and its logging. The
launch says in its own words what happened.
"""

import io
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_log = logging.getLogger(__name__)

NOISE = re.compile(rb"\[\d{4}-\d\d-\d\d [\d:,]+ [A-Z] \d+ \d+\]|\((raylet|gcs_server|autoscaler)")
"""How such lines begin."""
_STDERR = 2
_JOIN_SECONDS = 1.0


@contextmanager
def divert_noise() -> Iterator[None]:
    """Log Ray's lines instead of showing them, during the block; other lines pass.

    Only what bypasses `sys.stderr` is looked at: Python's own output goes where it went.
    """
    if not _is_plain_stderr():
        yield
        return
    real = os.dup(_STDERR)
    ours, python = sys.stderr, _open_like(sys.stderr, real)
    read, write = os.pipe()
    thread = threading.Thread(target=_forward, args=(read, real), name="ray noise", daemon=True)
    ours.flush()
    os.dup2(write, _STDERR)
    os.close(write)
    sys.stderr = python
    thread.start()
    try:
        yield
    finally:
        python.flush()
        if sys.stderr is python:  # unless somebody has put their own in place
            sys.stderr = ours
        os.dup2(real, _STDERR)
        # A process of Ray may still hold the other end: then the thread ends with it.
        thread.join(_JOIN_SECONDS)


def _is_plain_stderr() -> bool:
    """Tell whether Python writes to the descriptor that C++ writes to."""
    try:
        return sys.stderr is not None and sys.stderr.fileno() == _STDERR
    except (OSError, ValueError):
        return False


def _open_like(stream: TextIO, descriptor: int) -> io.TextIOWrapper:
    return open(
        descriptor,
        "w",
        buffering=1,
        encoding=stream.encoding,
        errors=stream.errors,
        closefd=False,
    )


def _forward(read: int, real: int) -> None:
    with open(read, "rb", buffering=0) as pipe, io.BufferedReader(pipe) as lines:
        for line in lines:
            if NOISE.match(line):
                _log.info("Ray: %s", line.decode(errors="replace").rstrip())
            else:
                os.write(real, line)
