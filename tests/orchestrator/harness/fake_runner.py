"""A unit function without torch: it counts steps, keeps a log beside the data, and misbehaves as it is told.

`data_root/behaviour.json` maps keys (or "default") to: steps, pause (seconds a step), fail (message), kill_once, kill,
other_host (its lease looks like another machine's), full (disk), meet (units to have started), fingerprint.
`data_root/log` gets a line for each thing that happens.
"""

import errno
import json
import os
import signal
import time

from orchestrator.context import Outcome

BEHAVIOUR = {
    "steps": 3,
    "pause": 0.0,
    "fail": None,
    "kill_once": False,
    "kill": False,
    "other_host": False,
    "full": False,
    "meet": 0,
    "fingerprint": "images",
}


def run_unit(unit, context):
    """Count to `steps`, with checkpoints, and write the count."""
    behaviour = behaviour_of(context.data_root, unit.key)
    for key in unit.parents:
        assert (context.parent(key) / "count.txt").read_text() == str(behaviour_of(context.data_root, key)["steps"])
    begin = 0
    if (checkpoint := context.load_checkpoint()) is not None:
        begin = int(checkpoint.read_text())
        note(context, "resume", unit, begin)
    note(context, "start", unit)
    if behaviour["other_host"]:
        _move_lease(context, unit)
    deadline = time.monotonic() + 120
    while (context.data_root / "log").read_text().count("start ") < behaviour["meet"]:
        assert time.monotonic() < deadline, "no other unit started"
        time.sleep(0.02)
    if behaviour["kill"]:
        os.kill(os.getpid(), signal.SIGKILL)
    for step in range(begin + 1, behaviour["steps"] + 1):
        time.sleep(behaviour["pause"])
        context.progress(step, behaviour["steps"], {"loss": 1 / step})
        if context.checkpoint_due():
            context.save_checkpoint(lambda path, step=step: path.write_text(str(step)))
        if step == 2 and behaviour["kill_once"] and not _killed_before(context, unit):
            os.kill(os.getpid(), signal.SIGKILL)
    if behaviour["full"]:
        raise OSError(errno.ENOSPC, "No space left on device")
    if behaviour["fail"]:
        raise ValueError(behaviour["fail"])
    (context.workdir / "count.txt").write_text(str(behaviour["steps"]))
    note(context, "end", unit)
    return Outcome(rows=[{"seconds": 0.1, "peak_memory": 1}], fingerprint=behaviour["fingerprint"])


def behaviour_of(data_root, key):
    """Read how a unit is to behave."""
    told = json.loads((data_root / "behaviour.json").read_text())
    return BEHAVIOUR | told.get("default", {}) | told.get(key, {})


def note(context, event, unit, value=""):
    """Append a line to the log."""
    with (context.data_root / "log").open("a") as log:
        log.write(f"{event} {unit.key} {os.getpid()} {value}\n")


def _move_lease(context, unit):
    path = context.workdir.parents[2] / "leases" / f"{unit.key}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "another machine"}))


def _killed_before(context, unit):
    marker = context.data_root / f"killed-{unit.key}"
    if marker.exists():
        return True
    marker.touch()
    return False
