"""The user is told of a head node that is gone, but not of one that answers or is slow once."""

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
def run_server():
    """Run a server that greets like one of gRPC, until the block ends."""
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


def test_a_head_node_that_answers_is_not_mentioned(console):
    with run_server() as address, head_node.watch_head_node(address, console):
        head_node.check_reachable(address)
        time.sleep(0.3)
    assert console.file.getvalue() == ""


def test_a_head_node_that_is_gone_is_reported_once(console):
    with run_server() as address:
        pass
    with head_node.watch_head_node(address, console):
        deadline = time.monotonic() + 20
        while not console.file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
    assert (
        console.file.getvalue().count(f"head node of the Ray cluster at {address} does not answer")
        == 1
    )


def test_one_check_without_an_answer_means_nothing(console, monkeypatch):
    answers = iter([OSError, None, OSError, None])
    ended = threading.Event()

    def check(address):
        match next(answers, ended):
            case error if error is OSError:
                raise OSError
            case end if end is ended:
                ended.set()

    monkeypatch.setattr(head_node, "check_reachable", check)
    with head_node.watch_head_node("10.0.0.1:6379", console):
        assert ended.wait(20)
    assert console.file.getvalue() == ""
