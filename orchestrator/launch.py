"""Launching a plan: what is still to do, on which machines, what it shows meanwhile, and how it ended.

Ray is imported only when there is something to compute.
"""

import json
import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator import provenance
from orchestrator.costs import estimate
from orchestrator.plan import Plan, Schedule
from orchestrator.progress import Board, Failure, describe, display, duration
from orchestrator.store import Store
from orchestrator.trials import RUNNER, TrialSettings, stop_file
from orchestrator.units import KINDS, Unit, to_json


class LaunchError(RuntimeError):
    """A launch cannot start on this cluster; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How a launch ended."""

    run: str | None
    """Name of the launch; None if there was nothing to do."""
    computed: Mapping[str, int]
    """Units computed by this launch, by kind."""
    already: int
    """Units that were in the store, or that another launch brought there meanwhile."""
    failures: tuple[Failure, ...]
    blocked: tuple[Unit, ...]
    """Units that were not tried, because one that they need failed."""
    waiting: int
    """Units that were not tried, because the launch was stopped."""
    seconds: float

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before its end."""
        return self.waiting > 0

    @property
    def exit_code(self) -> int:
        """0 if everything is done, 1 if something failed or is blocked, 130 if stopped."""
        if self.failures or self.blocked:
            return 1
        return 130 if self.stopped else 0


def launch(
    plan: Plan,
    *,
    store: Store,
    data_root: Path,
    space: str,
    overrides: Sequence[str] = (),
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
    address: str | None = None,
    console: Console | None = None,
    runner: str = RUNNER,
    checkpoint_seconds: float = 30.0,
    tensorboard: bool = True,
) -> Summary:
    """Compute what the store lacks of a plan; a first Ctrl-C stops it after checkpointing, a second at once.

    Args:
        plan: the units.
        store: where results go.
        data_root: folder of the data sets.
        space: name of the search space, for the record and the status.
        overrides: what the command line changed in it, for the record.
        cpus_per_trial: CPU cores a unit; 1 by default.
        gpus_per_trial: GPUs a unit, or a fraction of one; by default 1 where there are GPUs.
        address: "auto" or host:port of a Ray cluster to join; by default Ray is started on this machine.
        console: where progress is shown.
        runner: unit function as module:name.
        checkpoint_seconds: pause between the checkpoints of a unit.
        tensorboard: whether units write TensorBoard logs.

    Raises:
        StoreError: the store cannot be written, or damaged.
        LaunchError: the cluster cannot be reached, is too small for a unit, or does not see the store.
    """
    began = time.monotonic()
    store = Store(store.root.expanduser().resolve())
    done = store.done_keys()
    present = [unit for key, unit in plan.units.items() if key in done]
    estimates = estimate(plan, gpu=False, store_tables=store.tables, done=done)
    expected = {key: value.seconds for key, value in estimates.items()}
    schedule = Schedule(plan, done, expected)
    board = Board(units=schedule.units, already=len(present), expected=expected)
    if present:
        store.publish_missing_rows(present)
    if not schedule.units:
        return _summary(None, board, began)

    store.check_writable()
    run = provenance.new_run_id()
    settings = TrialSettings(
        store=str(store.root),
        data_root=str(data_root.expanduser().resolve()),
        run=run,
        git_commit=provenance.git_commit(),
        runner=runner,
        checkpoint_seconds=checkpoint_seconds,
        tensorboard=tensorboard,
    )
    store.write_run(run, _record(run, plan, space, overrides, address))
    room = Resources(cpus=cpus_per_trial, gpus=gpus_per_trial, address=address)
    _compute(schedule, store, settings, room, board, console or Console(stderr=True))
    return _summary(run, board, began)


def show(summary: Summary, console: Console) -> None:
    """Print how a launch ended, the reasons of failures, and how to go on."""
    if summary.run is None:
        console.print(f"Everything is already done: {summary.already} units, nothing to compute.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("computed", "already there", "failed", "blocked", "not tried"):
        table.add_column(heading, justify="right")
    counts = (sum(summary.computed.values()), summary.already, len(summary.failures), len(summary.blocked))
    table.add_row(*map(str, (*counts, summary.waiting)))
    console.print(table)
    for failure in summary.failures:
        line = Text(f"failed: {describe(failure.unit)}: {failure.error}: {failure.reason}", style="red")
        console.print(line, soft_wrap=True)
    if summary.failures:
        console.print(
            f"Tracebacks: iid status --tracebacks; or iid unit {summary.failures[0].unit.key} to try one here."
        )
    if summary.stopped:
        console.print("Stopped. Run the same command again to go on; what is done stays done.")
    console.print(f"{duration(summary.seconds)}, launch {summary.run}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What a user asks for."""

    cpus: float | None
    gpus: float | None
    address: str | None


class StopSwitch:
    """Ctrl-C: once asks the workers to checkpoint and stop, twice stops at once."""

    def __init__(self, file: Path, console: Console) -> None:
        self._file = file
        self._console = console
        self._on = False

    def is_on(self) -> bool:
        """Whether the launch is to stop."""
        return self._on

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        if self._on:
            raise KeyboardInterrupt
        self._on = True
        with suppress(OSError):
            self._file.touch()
        self._console.print(
            "Stopping after the next checkpoint of each running unit; Ctrl-C again stops at once.", soft_wrap=True
        )

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM for the duration of the block, where that is possible."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._file.unlink(missing_ok=True)


def _compute(
    schedule: Schedule, store: Store, settings: TrialSettings, asked: Resources, board: Board, console: Console
) -> None:
    from orchestrator import tuning

    switch = StopSwitch(stop_file(store, settings.run), console)
    with suppress(KeyboardInterrupt), tuning.cluster(asked.address), switch.installed():
        room = tuning.capacity(asked.cpus, asked.gpus)
        tuning.check_store_is_shared(store)
        settings = replace(settings, cpus=room.cpus, report_seconds=max(settings.report_seconds, room.slots / 40))
        console.print(_opening(board, room.slots, room.cpus, room.gpus), soft_wrap=True, highlight=False)
        with display(board, console):
            tuning.run_units(schedule, store=store, settings=settings, room=room, board=board, stopping=switch.is_on)


def _opening(board: Board, slots: int, cpus: float, gpus: float) -> str:
    kinds = ", ".join(f"{board.pending[kind]} {kind}" for kind in KINDS if board.pending[kind])
    each = f"{cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
    return f"{kinds} to compute, {board.already} already there; {slots} at a time with {each} each"


def _summary(run: str | None, board: Board, began: float) -> Summary:
    settled = sum(board.done(kind) for kind in board.pending) + len(board.failures) + len(board.blocked)
    return Summary(
        run=run,
        computed=dict(board.computed),
        already=board.already + board.present.total(),
        failures=tuple(board.failures.values()),
        blocked=tuple(board.blocked.values()),
        waiting=len(board.units) - settled,
        seconds=time.monotonic() - began,
    )


def _record(run: str, plan: Plan, space: str, overrides: Sequence[str], address: str | None) -> dict[str, object]:
    return {
        "run": run,
        "space": space,
        "overrides": list(overrides),
        "started": datetime.now(UTC).isoformat(),
        "command": shlex.join(sys.argv),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "address": address,
        "versions": dict(provenance.versions()),
        "git_commit": provenance.git_commit(),
        "units": [json.loads(to_json(unit)) for unit in plan.units.values()],
    }
