"""A unit function without torch, which counts steps, logs events, and misbehaves on request.

Each step hashes the one before, the first the parents' results, so that a step left out, repeated
or taken from another unit shows in the result. `data_root/behavior.json` maps keys (or "default")
to: steps, pause (seconds per step), fail (message), kill_once, kill, other_host (its lease looks
like another machine's), full (disk), meet (units to have started), out_of_memory (attempts that run
out of a device's memory), fingerprint. `data_root/log` gets a line for each thing that happens.
"""

import errno
import hashlib
import json
import os
import signal
import time

from orchestrator.execution.context import Outcome

BEHAVIOR = {
    "steps": 3,
    "pause": 0.0,
    "fail": None,
    "kill_once": False,
    "kill": False,
    "other_host": False,
    "full": False,
    "meet": 0,
    "out_of_memory": 0,
    "fingerprint": "images",
}


def run_unit(unit, context):
    """Count to `steps`, with checkpoints, and write the count."""
    behavior = read_behavior(context.data_root, unit.key)
    begin, chain = 0, unit.key
    for key in unit.parents:
        assert (context.parent_folder(key) / "count.txt").read_text() == str(
            read_behavior(context.data_root, key)["steps"]
        )
        chain = hash_link(chain, (context.parent_folder(key) / "chain.txt").read_text())
    if (checkpoint := context.load_checkpoint()) is not None:
        begin, chain = json.loads(checkpoint.read_text())
        log_event(context, "resume", unit, begin)
    log_event(context, "start", unit)
    if behavior["out_of_memory"] and _count_attempts(context, unit) <= behavior["out_of_memory"]:
        import torch

        raise torch.OutOfMemoryError("the device has no memory left")
    if behavior["other_host"]:
        _move_lease(context, unit)
    deadline = time.monotonic() + 120
    while (context.data_root / "log").read_text().count("start ") < behavior["meet"]:
        assert time.monotonic() < deadline, "no other unit started"
        time.sleep(0.02)
    if behavior["kill"]:
        os.kill(os.getpid(), signal.SIGKILL)
    for step in range(begin + 1, behavior["steps"] + 1):
        time.sleep(behavior["pause"])
        chain = hash_link(chain, str(step))
        context.report_progress(step, behavior["steps"], {"loss": 1 / step})
        if context.is_checkpoint_due():
            state = json.dumps([step, chain])
            context.save_checkpoint(lambda path, state=state: path.write_text(state))
        if step == 2 and behavior["kill_once"] and not _was_killed_before(context, unit):
            os.kill(os.getpid(), signal.SIGKILL)
    if behavior["full"]:
        raise OSError(errno.ENOSPC, "No space left on device")
    if behavior["fail"]:
        raise ValueError(behavior["fail"])
    (context.workdir / "count.txt").write_text(str(behavior["steps"]))
    (context.workdir / "chain.txt").write_text(chain)
    log_event(context, "end", unit)
    rows = [{"seconds": 0.1, "peak_memory": int(chain[:12], 16)}]
    return Outcome(rows=rows, fingerprint=behavior["fingerprint"])


def read_behavior(data_root, key):
    """Read how a unit is to behave."""
    given = json.loads((data_root / "behavior.json").read_text())
    return BEHAVIOR | given.get("default", {}) | given.get(key, {})


def log_event(context, event, unit, value=""):
    """Append a line to the log."""
    with (context.data_root / "log").open("a") as log:
        log.write(f"{event} {unit.key} {os.getpid()} {value}\n")


def hash_link(chain, link):
    return hashlib.sha256(f"{chain} {link}".encode()).hexdigest()


def _count_attempts(context, unit):
    return sum(
        line.startswith(f"start {unit.key} ")
        for line in (context.data_root / "log").read_text().splitlines()
    )


def _move_lease(context, unit):
    path = context.workdir.parents[2] / "leases" / f"{unit.key}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "another machine"}))


def _was_killed_before(context, unit):
    marker = context.data_root / f"killed-{unit.key}"
    if marker.exists():
        return True
    marker.touch()
    return False
