"""Damage to the files of a store, and what reading commands and the next launch make of it."""

import io
import json
import os
import shutil
from dataclasses import dataclass

import pytest
from fake_runner import hash_link
from harm import compute_here
from hypothesis import strategies as st
from rich.console import Console

from orchestrator.cli import app
from orchestrator.execution.run_units import compute_unit
from orchestrator.launch import launch
from orchestrator.launch.options import RunOptions
from orchestrator.planning.planned_work import find_pending
from orchestrator.store import leases
from orchestrator.store.open import open_store
from orchestrator.store.provenance import build_failure_row

KINDS = ("flip", "truncate", "delete", "replace", "append")


@dataclass(frozen=True)
class Damage:
    """What happens to one file; numbers are taken modulo what there is."""

    file: int
    kind: str
    at: int
    data: bytes

    def do(self, root):
        """Damage a store; return the file's path."""
        files = files_of(root)
        path = files[self.file % len(files)]
        content = bytearray(path.read_bytes())
        at = self.at % max(1, len(content))
        match self.kind:
            case "delete":
                path.unlink()
                return path
            case "flip" if content:
                content[at] ^= (self.data[0] if self.data else 0) or 1
            case "truncate":
                del content[at:]
            case "append":
                content += self.data
            case _:
                content = bytearray(self.data) if self.data else files[at % len(files)].read_bytes()
        path.write_bytes(content)
        return path


damages = st.builds(
    Damage,
    file=st.integers(0, 10_000),
    kind=st.sampled_from(KINDS),
    at=st.integers(0, 10**6),
    data=st.binary(max_size=40),
)


def files_of(root):
    """All files of a store, in an order that does not depend on when they were written."""
    return sorted(path for path in root.rglob("*") if path.is_file())


def fill(grid, *, failed=None, checkpointed=None):
    """Compute the units of a grid but two, of which one failed and one has a checkpoint, and leave
    a dead lease.
    """

    store = grid.store
    store.write_run("r", {"space": "small", "started": "2025-01-01"}, grid.plan.units)
    for unit in grid.plan.units.values():
        if unit.key not in (failed, checkpointed):
            compute_here(grid, unit)
    if failed:
        unit = grid.plan.units[failed]
        store.record_failure(
            build_failure_row(unit, run="r", device="d", error="E", reason="why", traceback="where")
        )
    if checkpointed:
        store.save_checkpoint(
            grid.plan.units[checkpointed],
            lambda path: path.write_text(state_after_no_step(grid, checkpointed)),
        )
        (store.root / "leases").mkdir(exist_ok=True)
        dead = (
            f'{{"token": "t", "host": "{leases.identify_host()}", "pid": 1, "started": "never",'
            ' "run": "r"}'
        )
        ((store.root / "leases") / f"{checkpointed}.json").write_text(dead)


def state_after_no_step(grid, key):
    """A checkpoint of the runner at its beginning."""

    chain = key
    for parent in grid.plan.units[key].parents:
        chain = hash_link(chain, (grid.store.fetch_folder(parent) / "chain.txt").read_text())
    return json.dumps([0, chain])


def copy_of(root, place):
    """Copy a store, in place of an earlier copy."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(root, place)
    return open_store(place)


def told(command):
    """Run a command; return what it printed, or the message of an error of the project's own."""
    console = Console(file=io.StringIO(), width=1000)
    try:
        command(console)
    except app.USER_ERRORS as error:
        assert str(error) and "\n" not in str(error)
        return None, str(error)
    return console.file.getvalue(), None


def launch_here(store, plan, data, runner):
    """Launch a plan as `iid run` does, with units computed one after the other in this process
    instead of on Ray.
    """

    def run_here(process):
        process.record.write_start(process.work)
        failed = set()
        for key, unit in plan.units.items():
            if key not in process.work.done and not failed & set(unit.parents):
                result = compute_unit(unit, process.settings, device="cpu")
                process.progress.record_result(unit, result)
                failed |= {key} if result.status == "failed" else set()
            elif key not in process.work.done:
                failed.add(key)
        return False

    for lease in (store.root / "leases").glob("*.json"):
        os.utime(lease, (1, 1))
    options = RunOptions(data_root=data, runner=runner, tensorboard=False, checkpoint_seconds=1e9)
    console = Console(file=io.StringIO())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch._LaunchProcess, "run", run_here)
        patch.setattr(leases, "_is_touched", lambda *watched: False)
        work = find_pending(plan, store.find_done_keys())
        return launch.launch(work, store, options, space="small", console=console)
