"""The head of a Ray cluster that a launch joins: where it is, whether it is there, and noticing
that it is gone.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ray._private import services
from rich.console import Console

CONNECT_SECONDS = 10.0
WATCH_SECONDS = 5.0
_SETTINGS_FRAME = 4
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(
    [0, 0, 0, _SETTINGS_FRAME, 0, 0, 0, 0, 0]
)
"""What a client of gRPC begins with, and its empty settings; the server answers with a frame of
settings (RFC 9113).
"""


def find_running_cluster() -> str:
    """Return host:port of the cluster that `auto` means: of RAY_ADDRESS, or the last that `ray
    start` started here.

    Ray itself would also take the private one of another launch on this machine.

    Raises:
        ConnectionError: there is none.
    """
    found = os.environ.get("RAY_ADDRESS") or services.find_bootstrap_address(None)
    if not found or found == "auto":
        raise ConnectionError(
            "ray start has started none on this machine, and RAY_ADDRESS names none"
        )
    return str(found)


def check_reachable(address: str) -> None:
    """See that a server of gRPC listens at host:port, for which Ray itself takes minutes.

    Raises:
        ValueError: this is no host:port.
        OSError: nobody answers, or somebody else.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{address!r} is not host:port")
    with socket.create_connection(
        (host.strip("[]"), int(port)), timeout=CONNECT_SECONDS
    ) as connection:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        connection.sendall(_HTTP2_PREFACE)
        with suppress(ConnectionError):
            answer = connection.recv(9, socket.MSG_WAITALL)
            if len(answer) == 9 and answer[3] == _SETTINGS_FRAME:
                return
    raise ConnectionError("what listens there is not Ray")


@contextmanager
def watch_head_node(address: str, console: Console) -> Iterator[None]:
    """Tell the user when the head of the joined cluster is gone: Ray ends the whole process a
    minute later.
    """
    over = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(address, console, over), name="head", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()


def _watch(address: str, console: Console, over: threading.Event) -> None:
    unanswered = 0
    while unanswered < 2:
        if over.wait(WATCH_SECONDS):
            return
        try:
            check_reachable(address)
            unanswered = 0
        except OSError:
            unanswered += 1
    console.print(
        f"The head of the Ray cluster at {address} does not answer. If it stays away, Ray ends this"
        " launch within a minute or so; start the cluster again and run the same command: what is"
        " done stays done.",
        style="red",
        highlight=False,
        soft_wrap=True,
    )
