import subprocess
import sys

import pytest

PROGRAM = """
import resource, threading, torch
from distill_core.runtime.device import keep_memory

def faults():
    for _ in range(40):  # the heap grows at first
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**22)  # 4,096 pages
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

assert keep_memory()
torch.set_num_threads(1)
thread = threading.Thread(target=faults)
thread.start()
thread.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux's")
def test_kept_memory_is_fetched_once():
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 100
