"""A unit function on GPUs that break: a broken process fails each of its units from then on.

`data_root/behavior.json` maps: at (the unit of a process, counted from 1, at which its GPU breaks
for the first time), bad (a GPU that breaks at every unit), pause (seconds per
unit).
"""

import json
import os
import time

from orchestrator.execution.context import Outcome

SEEN = []
BROKEN = []


def run_unit(unit, context):
    """Compute nothing, or meet an error that stays."""
    behavior = json.loads((context.data_root / "behavior.json").read_text())
    gpu = os.environ["CUDA_VISIBLE_DEVICES"]
    SEEN.append(unit.key)
    with (context.data_root / "log").open("a") as log:
        log.write(f"start {unit.key} {os.getpid()} {gpu}\n")
    once = context.data_root / "happened"
    breaks_once = len(SEEN) >= behavior.get("at", 1000) and not once.exists()
    if BROKEN or breaks_once or gpu == behavior.get("bad"):
        once.touch()
        BROKEN.append(unit.key)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    time.sleep(behavior.get("pause", 0.3))
    return Outcome(rows=[{"seconds": 0.3, "peak_memory": 1}], fingerprint="images")
