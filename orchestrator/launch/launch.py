"""Launch a plan: find the machines, run what is still to do on them, and record how that ended.

Ray is imported only if there is something to compute.
"""

import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator.cluster._compat import keep_handlers
from orchestrator.cluster.resources import (
    Capacity,
    Node,
    allocate,
    compute_gpu_need,
    should_use_gpus,
)
from orchestrator.errors import StoreError
from orchestrator.execution.trial import TrialSettings
from orchestrator.execution.worker import run_trial
from orchestrator.launch.display import display
from orchestrator.launch.options import RunOptions
from orchestrator.launch.progress import LaunchProgress
from orchestrator.launch.progress_view import published
from orchestrator.launch.stop_switch import StopSwitch
from orchestrator.launch.summary import LaunchOutcome, Summary, summarize
from orchestrator.planning.cost_estimates import estimate_costs
from orchestrator.planning.planned_work import PlannedWork
from orchestrator.planning.ready_queue import ReadyQueue
from orchestrator.store import provenance, run_log
from orchestrator.store.cleanup import clean_up
from orchestrator.store.store import Store
from orchestrator.text import format_bytes
from orchestrator.units import KINDS, name_units

_log = logging.getLogger(__name__)

Trial = Callable[[dict[str, Any]], None]
"""What a worker does with a trial's configuration."""


def launch(
    work: PlannedWork,
    store: Store,
    options: RunOptions,
    *,
    space: str,
    overrides: Sequence[str] = (),
    console: Console | None = None,
    cohorts: bool = False,
) -> Summary:
    """Compute what the store lacks of a plan.

    A first Ctrl-C stops it after the next checkpoints, a second at once.

    Args:
        work: the plan, and what the store has of it.
        store: where results go.
        options: where and how to compute.
        space: name of the search space, for the record and the status.
        overrides: what the command line changed in it, for the record.
        console: where progress is shown; stderr by default.
        cohorts: whether sets that differ only in weights are distilled together (see
            `orchestrator.planning.cohorts`).

    Raises:
        StoreError: the store cannot be written, or is damaged.
        TableError: a table cannot be read.
        LaunchError: the cluster cannot be reached, is too small for a unit, does not see the
            store, or broke down.
    """
    began = time.monotonic()
    store = store.resolved()
    present = work.present_units
    progress = LaunchProgress(units=work.pending_units, already=len(present))
    if not progress.units:
        store.publish_missing_rows(present)
        return summarize(progress, began)

    progress.names = name_units(work.plan.units)
    store.check_writable()
    settings = options.build_trial_settings(store, provenance.make_run_id())
    with run_log.record_launch(store, settings.run):
        store.publish_missing_rows(present)
        clean_up(store, work.done)
        record = LaunchRecord(
            store, settings.run, _describe_launch(settings.run, space, overrides, options)
        )
        process = _LaunchProcess(
            work=work,
            store=store,
            options=options,
            settings=settings,
            record=record,
            progress=progress,
            console=console or Console(stderr=True),
            cohorts=cohorts,
            space=space,
        )
        _log.info("launch %s of %s: %d units", settings.run, space, len(progress.units))
        try:
            stopped_by = process.run()
        except BaseException as error:
            log = run_log.locate_log(store, settings.run)
            # What prevented a start is all in the error, which the command prints.
            level = logging.ERROR if record.is_written else logging.INFO
            _log.log(level, "launch %s broke down; its log is %s", settings.run, log, exc_info=True)
            record.write_end("error", reason=str(error))
            raise
        summary = summarize(progress, began, run=settings.run, stopped_by=stopped_by)
        _log_end(summary)
        record.write_end(summary.outcome, reason=summary.halted)
    return replace(
        summary,
        places=_find_unusual_places(store, settings),
        log=run_log.locate_log(store, settings.run),
    )


@dataclass(slots=True)
class LaunchRecord:
    """`runs/<run>.json` in the store: written when the launch starts, and again when it ends."""

    store: Store
    run: str
    fields: dict[str, object]
    is_written: bool = False

    def write_start(self, work: PlannedWork) -> None:
        """Write what the launch sets out to do."""
        self.fields = self.store.write_run(self.run, self.fields, work.plan.units)
        self.is_written = True

    def write_end(self, outcome: LaunchOutcome, *, reason: str | None) -> None:
        """Add how the launch ended; nothing for one that did not come to start."""
        if not self.is_written:
            return
        end = {"ended": datetime.now(UTC).isoformat(), "outcome": outcome, "reason": reason}
        try:
            self.store.rewrite_run({**self.fields, **end})
        except StoreError as error:
            # The units are safe, and a launch that ended well must not look as if it failed.
            _log.warning("the end of launch %s is not in its record: %s", self.run, error)


@dataclass(kw_only=True, slots=True)
class _LaunchProcess:
    """What the steps of a launch share."""

    work: PlannedWork
    store: Store
    options: RunOptions
    settings: TrialSettings
    record: LaunchRecord
    progress: LaunchProgress
    console: Console
    cohorts: bool
    space: str

    def run(self) -> str | None:
        """Run what is not done; return the name of the signal that stopped it, if one did."""
        with keep_handlers():
            from orchestrator.launch import ray_tune
            from orchestrator.launch.join_cluster import join_cluster

        switch = StopSwitch(self.store.stop_signal(self.settings.run), self.console)
        address = self.options.resources.address
        try:
            # The switch first: signals come while Ray starts, and while it ends.
            with switch.installed(), join_cluster(address, self.console):
                if switch.is_on():
                    return switch.reason
                nodes, trial = self._check_nodes()
                capacity = self._allocate(nodes)
                self.record.write_start(self.work)
                # Every trial reports to this one process: more trials, rarer reports.
                report_seconds = max(self.settings.report_seconds, capacity.slots / 40)
                queue = ReadyQueue(
                    self.work,
                    self.progress.expected,
                    slots=capacity.slots if self.cohorts else 0,
                )
                self._announce(capacity)
                with (
                    display(self.progress, self.console),
                    published(self.progress, self.store, self.settings.run, self.space),
                ):
                    ray_tune.run_units(
                        queue,
                        store=self.store,
                        settings=replace(
                            self.settings, cpus=capacity.cpus, report_seconds=report_seconds
                        ),
                        capacity=capacity,
                        progress=self.progress,
                        stopping=switch.is_on,
                        trial=trial,
                    )
        except KeyboardInterrupt:
            return switch.reason or "SIGINT"
        return switch.reason

    def _check_nodes(self) -> tuple[list[Node], Trial]:
        """Check that the machines can do the work; return them and what runs on them."""
        from orchestrator.cluster import dataset_transfer, preflight

        if self.options.resources.address is None and not preflight.is_cluster():
            return preflight.describe_this_machine(), run_trial
        nodes, archives = preflight.check_nodes(
            self.store, Path(self.settings.data_root), self.progress.units.values()
        )
        names = ", ".join(map(str, nodes))
        self._print(f"{len(nodes)} node{'s' * (len(nodes) > 1)}: {names}")
        if archives.sent:
            sent = [
                f"{name} ({format_bytes(archive.size)})" for name, archive in archives.sent.items()
            ]
            self._print(f"Sent to nodes that lacked it: {', '.join(sent)}")
        return nodes, dataset_transfer.build_cluster_trial(archives)

    def _allocate(self, nodes: Sequence[Node]) -> Capacity:
        """Decide what each trial gets, and note how long units are expected to take with it."""
        request = self.options.resources
        estimates = estimate_costs(
            self.work.plan,
            gpu=should_use_gpus(nodes, request.gpus),
            store_tables=self.store.refresh_tables(),
            done=self.work.done,
        )
        pending = self.progress.units
        self.progress.is_measured = all(estimates[key].basis == "measured" for key in pending)
        self.progress.expected = {key: value.seconds for key, value in estimates.items()}
        need = compute_gpu_need(self.progress.units.values(), estimates, cohorts=self.cohorts)
        return allocate(nodes, cpus=request.cpus, gpus=request.gpus, need=need)

    def _announce(self, capacity: Capacity) -> None:
        pending = self.progress.pending
        kinds = ", ".join(f"{pending[kind]} {kind}" for kind in KINDS if pending[kind])
        gpus = f" and {capacity.gpus:g} GPU" if capacity.gpus else ""
        self._print(
            f"{kinds} to compute, {self.progress.already} already there; {capacity.slots} at a time"
            f" with {capacity.cpus:g} CPU{gpus} each"
        )
        if capacity.reason:
            self._print(capacity.reason)

    def _print(self, line: str) -> None:
        _log.info("%s", line)
        self.console.print(line, soft_wrap=True, highlight=False)


def _describe_launch(
    run: str, space: str, overrides: Sequence[str], options: RunOptions
) -> dict[str, object]:
    return {
        "space": space,
        "overrides": list(overrides),
        "started": datetime.now(UTC).isoformat(),
        "command": shlex.join(sys.argv),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "address": options.resources.address,
        "versions": dict(provenance.read_versions()),
        "git_commit": provenance.read_git_commit(),
        "log": f"runs/{run}.log",
        "data": dict(options.data),
    }


def _log_end(summary: Summary) -> None:
    _log.info(
        "launch %s ended: %s; %d computed, %d already there, %d failed, %d blocked, %d not tried",
        summary.run,
        summary.outcome,
        sum(summary.computed.values()),
        summary.already,
        len(summary.failures),
        len(summary.blocked),
        summary.waiting,
    )


def _find_unusual_places(store: Store, settings: TrialSettings) -> dict[str, str]:
    """Return store and data folder where they are not the defaults of the command line."""
    places = {"store": store.address, "data": settings.data_root}
    return {name: place for name, place in places.items() if place != str(Path(name).resolve())}
