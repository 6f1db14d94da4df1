"""Launching a plan: what is still to do, on which machines, what it shows meanwhile, and how it
ended.

Ray is imported only when there is something to compute.
"""

import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cluster.resources import (
    Capacity,
    Node,
    ResourceRequest,
    allocate,
    compute_gpu_need,
    should_use_gpus,
)
from orchestrator.errors import StoreError
from orchestrator.execution.trial import RUNNER, TrialSettings
from orchestrator.execution.worker import run_trial
from orchestrator.launch.progress import Failure, LaunchProgress, display
from orchestrator.planning.cost_estimates import estimate_costs
from orchestrator.planning.plan import Plan
from orchestrator.planning.ready_queue import ReadyQueue
from orchestrator.planning.work import find_pending
from orchestrator.store import provenance
from orchestrator.store.cleanup import clean_up
from orchestrator.store.stop_signal import StopSignal
from orchestrator.store.store import Store
from orchestrator.text import duration
from orchestrator.units import KINDS, Unit, describe_unit

Trial = Callable[[dict[str, Any]], None]
"""What a worker does with a trial's configuration."""

SHOWN_FAILURES = 10


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
    """Units that were not tried, because the launch was stopped or could not go on."""
    stopped: bool
    """Whether Ctrl-C (or a signal) ended it."""
    halted: str | None
    """Why it could not go on; None if it could."""
    seconds: float
    deaths: int = 0
    """Workers that died, be it with their node; their units were tried again."""
    places: Mapping[str, str] = field(default_factory=dict)
    """By the name of the option that other commands find them with; none that are where it looks by
    itself.
    """

    @property
    def exit_code(self) -> int:
        """0 if everything is done, 130 if it was stopped before that, 1 if something failed or was
        not tried.
        """
        if self.failures or self.blocked:
            return 1
        if self.waiting:
            return 130 if self.stopped else 1
        return 0


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
    cohorts: bool = False,
    checkpoint_seconds: float = 30.0,
    tensorboard: bool = True,
) -> Summary:
    """Compute what the store lacks of a plan; a first Ctrl-C stops it after checkpointing, a second
    at once.

    Args:
        plan: the units.
        store: where results go.
        data_root: folder of the data sets.
        space: name of the search space, for the record and the status.
        overrides: what the command line changed in it, for the record.
        cpus_per_trial: CPU cores a unit; 1 by default.
        gpus_per_trial: GPUs a unit, or a fraction of one; by default what its memory needs, where
            there are GPUs.
        address: "auto" or host:port of a Ray cluster to join; by default Ray is started on this
            machine.
        console: where progress is shown.
        runner: unit function as module:name.
        cohorts: whether sets that differ in weights alone are distilled together (see
            `orchestrator.planning.cohorts`).
        checkpoint_seconds: pause between the checkpoints of a unit.
        tensorboard: whether units write TensorBoard logs.

    Raises:
        StoreError: the store cannot be written, or is damaged.
        TableError: a table cannot be read.
        LaunchError: resources are impossible; the cluster cannot be reached, is too small for a
            unit, does not see the store, or broke down.
    """
    began = time.monotonic()
    asked = ResourceRequest(cpus=cpus_per_trial, gpus=gpus_per_trial, address=address)
    store = store.resolved()
    done = store.done_keys()
    present = [unit for key, unit in plan.units.items() if key in done]
    store.publish_missing_rows(present)
    board = LaunchProgress(units=find_pending(plan, done).pending_units, already=len(present))
    if not board.units:
        return _summary(None, board, began, stopped=False)
    data_root = data_root.expanduser().resolve()

    store.check_writable()
    clean_up(store, done)
    settings = TrialSettings(
        store=store.address,
        data_root=str(data_root),
        run=provenance.new_run_id(),
        git_commit=provenance.git_commit(),
        runner=runner,
        checkpoint_seconds=checkpoint_seconds,
        tensorboard=tensorboard,
    )
    record = _record(space, overrides, address)
    console = console or Console(stderr=True)
    stopped = _compute(plan, done, store, settings, asked, record, board, console, cohorts=cohorts)
    ended = _summary(settings.run, board, began, stopped=stopped)
    places = {"store": store.address, "data": str(data_root)}
    unusual = {name: place for name, place in places.items() if place != str(Path(name).resolve())}
    return replace(ended, places=unusual)


def show(summary: Summary, console: Console) -> None:
    """Print how a launch ended, the reasons of failures, and how to go on."""
    if summary.run is None:
        console.print(f"Everything is already done: {summary.already} units, nothing to compute.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("computed", "already there", "failed", "blocked", "not tried"):
        table.add_column(heading, justify="right")
    counts = (
        sum(summary.computed.values()),
        summary.already,
        len(summary.failures),
        len(summary.blocked),
    )
    table.add_row(*map(str, (*counts, summary.waiting)))
    console.print(table)
    if summary.deaths:
        died = "A worker" if summary.deaths == 1 else f"{summary.deaths} workers"
        console.print(
            f"{died} died, alone or with a node; the units at hand were tried again",
            highlight=False,
        )
    for failure in summary.failures[:SHOWN_FAILURES]:
        line = Text(
            f"failed: {describe_unit(failure.unit)}: {failure.error}: {failure.reason}", style="red"
        )
        console.print(line, soft_wrap=True)
    if len(summary.failures) > SHOWN_FAILURES:
        console.print(
            f"and {len(summary.failures) - SHOWN_FAILURES} more failed; iid status shows all"
        )
    if summary.failures:
        look = shlex.join(["iid", "status", "--tracebacks", *_options(summary.places, "store")])
        key = summary.failures[0].unit.key
        again = shlex.join(["iid", "unit", key, *_options(summary.places, "store", "data")])
        console.print(Text(f"Tracebacks: {look}; or {again} to try one here."), soft_wrap=True)
    if summary.waiting:
        ended = (
            "Stopped."
            if summary.stopped
            else f"Could not go on: {summary.halted or 'Ray Tune ended early'}."
        )
        console.print(
            Text(f"{ended} Run the same command again to go on; what is done stays done."),
            soft_wrap=True,
        )
    console.print(f"{duration(summary.seconds)}, launch {summary.run}")


class StopSwitch:
    """Ctrl-C: once asks the workers to checkpoint and stop, twice stops at once."""

    def __init__(self, sign: StopSignal, console: Console) -> None:
        self._stop_signal = sign
        self._console = console
        self._on = False

    def is_on(self) -> bool:
        """Whether the launch is to stop."""
        return self._on

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal.

        Raises:
            KeyboardInterrupt: to stop at once, the second time or where workers cannot be told.
        """
        if self._on:
            raise KeyboardInterrupt
        self._on = True
        try:
            self._stop_signal.set()
        except (OSError, StoreError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            reason = (
                f"the store cannot be written ({why}), so units can neither be told nor checkpoint"
            )
            self._console.print(
                f"Stopping at once: {reason}. They go on at their last checkpoint.", soft_wrap=True
            )
            raise KeyboardInterrupt from error
        self._console.print(
            "Stopping after the next checkpoint of each running unit; Ctrl-C again stops at once.",
            soft_wrap=True,
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
            with suppress(OSError, StoreError):
                self._stop_signal.clear()


def _compute(
    plan: Plan,
    done: frozenset[str],
    store: Store,
    settings: TrialSettings,
    asked: ResourceRequest,
    record: Mapping[str, object],
    board: LaunchProgress,
    console: Console,
    *,
    cohorts: bool,
) -> bool:
    """Run what is not done, and return whether that was stopped."""
    from orchestrator.launch import ray_tune

    switch = StopSwitch(store.stop_signal(settings.run), console)
    try:
        with ray_tune.cluster(asked.address, console), switch.installed():
            nodes, trial = _survey(asked.address, store, settings, board, console)
            gpu = should_use_gpus(nodes, asked.gpus)
            estimates = estimate_costs(plan, gpu=gpu, store_tables=store.fresh_tables(), done=done)
            need = compute_gpu_need(board.units.values(), estimates, cohorts=cohorts)
            capacity = allocate(nodes, cpus=asked.cpus, gpus=asked.gpus, need=need)
            store.write_run(settings.run, record, plan.units)
            settings = replace(
                settings,
                cpus=capacity.cpus,
                report_seconds=max(settings.report_seconds, capacity.slots / 40),
            )
            board.expected = {key: value.seconds for key, value in estimates.items()}
            schedule = ReadyQueue(
                find_pending(plan, done),
                board.expected,
                slots=capacity.slots if cohorts else 0,
            )
            console.print(_opening(board, capacity), soft_wrap=True, highlight=False)
            with display(board, console):
                ray_tune.run_units(
                    schedule,
                    store=store,
                    settings=settings,
                    capacity=capacity,
                    board=board,
                    stopping=switch.is_on,
                    trial=trial,
                )
    except KeyboardInterrupt:
        return True
    return switch.is_on()


def _survey(
    address: str | None,
    store: Store,
    settings: TrialSettings,
    board: LaunchProgress,
    console: Console,
) -> tuple[list[Node], Trial]:
    """Look at the machines, see that they can do the work, and return them and what runs on
    them.
    """
    from orchestrator.cluster import dataset_transfer, preflight

    if address is None and not preflight.is_cluster():
        return preflight.describe_this_machine(), run_trial
    nodes, archives = preflight.check_nodes(store, Path(settings.data_root), board.units.values())
    console.print(
        f"{len(nodes)} node{'s' * (len(nodes) > 1)}: {', '.join(map(str, nodes))}", highlight=False
    )
    if archives.sent:
        sent = ", ".join(
            f"{name} ({archive.size / 1e6:,.1f} MB)" for name, archive in archives.sent.items()
        )
        console.print(f"Sent to nodes that lacked it: {sent}", highlight=False)
    return nodes, dataset_transfer.build_cluster_trial(archives)


def _opening(board: LaunchProgress, capacity: Capacity) -> str:
    kinds = ", ".join(f"{board.pending[kind]} {kind}" for kind in KINDS if board.pending[kind])
    each = f"{capacity.cpus:g} CPU" + (f" and {capacity.gpus:g} GPU" if capacity.gpus else "")
    opening = (
        f"{kinds} to compute, {board.already} already there; {capacity.slots} at a time with {each}"
        " each"
    )
    return f"{opening}\n{capacity.reason}" if capacity.reason else opening


def _summary(run: str | None, board: LaunchProgress, began: float, *, stopped: bool) -> Summary:
    settled = (
        sum(board.done(kind) for kind in board.pending) + len(board.failures) + len(board.blocked)
    )
    return Summary(
        run=run,
        computed=dict(board.computed),
        already=board.already + board.present.total(),
        deaths=board.workers_died,
        failures=tuple(board.failures.values()),
        blocked=tuple(board.blocked.values()),
        waiting=len(board.units) - settled,
        stopped=stopped,
        halted=board.halted,
        seconds=time.monotonic() - began,
    )


def _options(places: Mapping[str, str], *names: str) -> list[str]:
    return [word for name in names if name in places for word in (f"--{name}", places[name])]


def _record(space: str, overrides: Sequence[str], address: str | None) -> dict[str, object]:
    return {
        "space": space,
        "overrides": list(overrides),
        "started": datetime.now(UTC).isoformat(),
        "command": shlex.join(sys.argv),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "address": address,
        "versions": dict(provenance.versions()),
        "git_commit": provenance.git_commit(),
    }
