"""The head node of the Ray cluster that a launch joins.

Finds its address, checks that it answers before Ray waits for it, and tells the user when it stops
answering in the middle of a launch.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from orchestrator.cluster._compat import find_started_cluster
from orchestrator.text import choose_error_console

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
"""Timeout of one check: more than a busy node needs, and far less than the minutes of Ray."""
WATCH_SECONDS = 5.0
"""Pause between two checks during a launch."""
MAX_UNANSWERED = 2
"""Checks without an answer after which the head node counts as gone; a single one may be chance."""

_SETTINGS_FRAME = 4
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(
    [0, 0, 0, _SETTINGS_FRAME, 0, 0, 0, 0, 0]
)
"""How a gRPC client opens a connection, with empty settings; the server answers with a frame of
settings (RFC 9113).
"""


def find_running_cluster() -> str:
    """Return the host:port that `auto` means: RAY_ADDRESS, or the last `ray start` on this machine.

    Ray itself would also accept the private cluster of another launch on this machine.

    Raises:
        ConnectionError: there is none.
    """
    found = os.environ.get("RAY_ADDRESS") or find_started_cluster()
    if not found or found == "auto":
        raise ConnectionError(
            "ray start has started none on this machine, and RAY_ADDRESS names none"
        )
    return str(found)


def check_reachable(address: str) -> None:
    """Check that a gRPC server listens at host:port, which takes Ray itself minutes to find out.

    Raises:
        ValueError: this is not host:port.
        OSError: nothing answers, or something other than Ray.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or " " in host:
        raise ValueError(f"{address!r} is not HOST:PORT")
    if "://" in host:
        raise ValueError(f"{address!r} is an address of Ray's client; give HOST:PORT of the head")
    if not 0 < int(port) < 2**16:
        raise ValueError(f"there is no port {port}")
    endpoint = (host.strip("[]"), int(port))
    with socket.create_connection(endpoint, timeout=CONNECT_SECONDS) as connection:
        # With TLS the server expects a handshake first; that it accepts the connection must do.
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        connection.sendall(_HTTP2_PREFACE)
        try:
            answer = connection.recv(9, socket.MSG_WAITALL)
        except ConnectionError as error:
            _log.info("%s closed the connection: %s", address, error)
            answer = b""
        if len(answer) == 9 and answer[3] == _SETTINGS_FRAME:
            return
    raise ConnectionError("what listens there is not Ray")


@contextmanager
def watch_head_node(address: str, console: Console) -> Iterator[None]:
    """Tell the user when the head node stops answering, for the duration of a `with` block.

    Ray ends the whole process a minute later, without saying what to do.
    """
    ended = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(address, console, ended), name="head node watch", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        # Not joined: a check may be waiting for its timeout, and a daemon thread holds nothing up.
        ended.set()


def _watch(address: str, console: Console, ended: threading.Event) -> None:
    unanswered = 0
    while unanswered < MAX_UNANSWERED:
        if ended.wait(WATCH_SECONDS):
            return
        try:
            check_reachable(address)
            unanswered = 0
        except OSError as error:
            unanswered += 1
            _log.info("the head node at %s does not answer: %s", address, error)
    choose_error_console(console).print(
        f"The head node of the Ray cluster at {address} does not answer. If it stays away, Ray ends"
        " this launch in about a minute. Then start the cluster again and run the same command:"
        " what is done stays done.",
        style="red",
        highlight=False,
        soft_wrap=True,
    )
