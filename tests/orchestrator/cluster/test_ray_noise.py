"""Ray's C++ code writes past Python: to the log, not to the user."""

import subprocess
import sys

import pytest

from orchestrator.cluster.head_node import check_reachable

WRITES = """
import logging, os, sys
from orchestrator.cluster.ray_noise import divert_noise
logging.basicConfig(filename=sys.argv[1], level=logging.INFO)
with divert_noise():
    os.write(2, b"[2026-11-29 00:04:22,870 W 72 72] gcs_client.cc:210: Failed\\n")
    print("of Python", file=sys.stderr)
    os.write(2, b"of another library\\n")
    os.write(2, b"[2026-11-29 00:04:23,874 E 72 72] core_worker.cc:1: Failed again\\n")
print("after", file=sys.stderr)
os.write(2, b"[2026-11-29 00:04:24,000 W 72 72] not diverted\\n")
"""


def test_lines_of_ray_go_to_the_log_and_all_others_to_stderr(tmp_path):
    log = tmp_path / "log"
    ended = subprocess.run(
        [sys.executable, "-c", WRITES, str(log)], capture_output=True, text=True, check=True
    )
    assert sorted(ended.stderr.splitlines()) == [
        "[2026-11-29 00:04:24,000 W 72 72] not diverted",
        "after",
        "of Python",
        "of another library",
    ]
    assert log.read_text().count("Ray: [2026-11-29") == 2


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("nonsense", "is not HOST:PORT"),
        ("a host:6379", "is not HOST:PORT"),
        ("ray://127.0.0.1:10001", "give HOST:PORT of the head"),
        ("127.0.0.1:99999", "there is no port 99999"),
    ],
)
def test_a_wrong_address_is_told_before_ray_sees_it(address, told):
    with pytest.raises(ValueError, match=told):
        check_reachable(address)
