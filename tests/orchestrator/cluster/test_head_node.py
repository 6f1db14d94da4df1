"""A head that is gone is told, one that is there or only slow once is not."""

import io
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from rich.console import Console

from orchestrator.cluster import head_node

SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@contextmanager
def answering():
    """A server that greets as one of gRPC does, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_greet, args=(server,), daemon=True)
        thread.start()
        yield "{}:{}".format(*server.getsockname())
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def _greet(server):
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.recv(100)
            connection.sendall(SETTINGS)


@pytest.fixture
def console(monkeypatch):
    monkeypatch.setattr(head_node, "WATCH_SECONDS", 0.02)
    return Console(file=io.StringIO(), width=200)


def test_a_head_that_answers_is_not_spoken_of(console):
    with answering() as address, head_node.watch_head_node(address, console):
        head_node.check_reachable(address)
        time.sleep(0.3)
    assert console.file.getvalue() == ""


def test_a_head_that_is_gone_is_told_once(console):
    with answering() as address:
        pass
    with head_node.watch_head_node(address, console):
        deadline = time.monotonic() + 20
        while not console.file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
    assert (
        console.file.getvalue().count(f"head of the Ray cluster at {address} does not answer") == 1
    )


def test_one_knock_without_an_answer_means_nothing(console, monkeypatch):
    knocks = iter([OSError, None, OSError, None])
    over = threading.Event()

    def knock(address):
        match next(knocks, over):
            case error if error is OSError:
                raise OSError
            case end if end is over:
                over.set()

    monkeypatch.setattr(head_node, "check_reachable", knock)
    with head_node.watch_head_node("10.0.0.1:6379", console):
        assert over.wait(20)
    assert console.file.getvalue() == ""
