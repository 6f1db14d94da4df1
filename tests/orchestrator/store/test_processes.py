import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.store import processes


def test_a_hidden_process_is_not_taken_for_one_that_ended(monkeypatch):
    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    with pytest.raises(PermissionError):
        processes.find_process_start(1 if os.geteuid() else os.getpid())


@pytest.mark.parametrize("pid", [2**22 + 1, 10**30])
def test_a_process_that_there_is_not_has_no_start(pid):
    assert processes.find_process_start(pid) is None


def test_a_zombie_counts_as_ended():
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = processes.find_process_start(process.pid)
    assert started is not None
    deadline = time.monotonic() + 10
    while processes.find_process_start(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)  # it ends, and stays a zombie until it is waited for
    assert processes.find_process_start(process.pid) is None
    process.wait()


def test_a_machine_has_one_identity():
    assert processes.identify_host() == processes.identify_host() != ""
