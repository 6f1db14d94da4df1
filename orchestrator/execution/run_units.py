"""Compute units: take the lease, call the unit function, commit the outcome.

The same code runs in a Ray Tune trial and, without Ray, in a plain process. One call of the cohort
function computes all units of a cohort, but each unit keeps its lease, its folder and its commit.
"""

import importlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from distill_core.paths import PathError
from orchestrator.errors import StoreError
from orchestrator.execution.commit import CohortSplit, DeviceLost, OutcomeRecorder
from orchestrator.execution.context import Outcome, Stopped, UnitContext, UnitProgress
from orchestrator.execution.device_errors import is_device_lost
from orchestrator.execution.printed_lines import log_printed_lines
from orchestrator.execution.tensorboard import TensorBoardLog
from orchestrator.execution.trial import TrialSettings, UnitResult, count_cpu_threads
from orchestrator.store import leases
from orchestrator.store.leases import Lease
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.units import SetUnit, Unit, find_set, list_settings, name_folder

_log = logging.getLogger(__name__)

UnitFunction = Callable[[Unit, UnitContext], Outcome]
CohortFunction = Callable[[Sequence[Unit], Sequence[UnitContext]], Sequence[Outcome | Exception]]
"""Returns the outcome of each unit, or what ended it; raises what ends all of them."""


_ENDS = (Stopped, CohortSplit, DeviceLost)
"""Exceptions that say nothing about the device, or all of it."""


def compute_unit(
    unit: Unit,
    settings: TrialSettings,
    *,
    device: str,
    report: Callable[[UnitProgress], None] | None = None,
) -> UnitResult:
    """Compute a unit and commit it, unless it is done or another process is working on it."""
    report_place = None if report is None else lambda place, progress: report(progress)
    (result,) = compute_units([unit], settings, device=device, report=report_place)
    return result


def compute_units(
    units: Sequence[Unit],
    settings: TrialSettings,
    *,
    device: str,
    report: Callable[[int, UnitProgress], None] | None = None,
) -> list[UnitResult]:
    """Compute a unit or a cohort, and commit each unit to the store.

    Units that are done, or that another process is working on, are left out.

    Args:
        units: at least one.
        settings: shared by all trials.
        device: "cpu" or "cuda".
        report: receives the index of a unit in `units`, and its progress.
    """
    try:
        store = open_store(settings.store)
    except PathError as error:  # this machine has something else there, so nothing is recorded
        _log.error("the store cannot be opened: %s", error)
        failed = UnitResult(status="failed", error="StoreError", reason=str(error))
        return [failed] * len(units)
    return Executor(store, settings, device).run(units, report)


@dataclass(frozen=True, slots=True)
class _Task:
    """A unit whose lease this process holds."""

    unit: Unit
    lease: Lease
    report: Callable[[UnitProgress], None] | None


@dataclass(frozen=True, slots=True)
class Executor:
    """Computes units in this process."""

    store: Store
    settings: TrialSettings
    device: str
    """"cpu" or "cuda"."""

    def run(
        self,
        units: Sequence[Unit],
        report: Callable[[int, UnitProgress], None] | None = None,
    ) -> list[UnitResult]:
        """Compute the units that are neither done nor leased by another process.

        Returns:
            The result of each unit, in the order of `units`.
        """
        results: dict[str, UnitResult] = {}
        try:
            if self.store.stop_signal(self.settings.run).is_set():
                return [UnitResult(status="stopped") for _ in units]
            # The leases are held until everything is committed: only then may another process
            # conclude from a free lease that the unit is done or has failed.
            with ExitStack() as held_leases:
                tasks = []
                for place, unit in enumerate(units):
                    report_unit = None if report is None else partial(report, place)
                    taken = self._take_unit(unit, report_unit, held_leases)
                    if isinstance(taken, UnitResult):
                        results[unit.key] = taken
                    else:
                        tasks.append(taken)
                if tasks:
                    results.update(self._compute_tasks(tasks))
        except StoreError as error:
            # Not even a lease can be written: all units that have no result yet fail for it.
            recorder = self._recorder()
            for unit in units:
                if unit.key not in results:
                    results[unit.key] = recorder.record_exception(unit, error)
        return [results[unit.key] for unit in units]

    def _take_unit(
        self,
        unit: Unit,
        report: Callable[[UnitProgress], None] | None,
        held_leases: ExitStack,
    ) -> _Task | UnitResult:
        """Take the lease of a unit; return a result where there is nothing to compute."""
        lease = held_leases.enter_context(
            leases.hold(self.store.storage, unit.key, self.settings.run)
        )
        # Checked while the lease is held, so that nobody can finish the unit after the check.
        if self.store.is_done(unit):
            # A worker that was killed after its commit may have left rows unpublished.
            self.store.publish_missing_rows([unit])
            _log.info("%s %s is already done", unit.kind, unit.key)
            return UnitResult(status="present")
        if lease is None:
            _log.info("another process is working on %s %s", unit.kind, unit.key)
            return UnitResult(status="busy")
        return _Task(unit, lease, report)

    def _compute_tasks(self, tasks: Sequence[_Task]) -> Mapping[str, UnitResult]:
        """Compute some units together, then commit one after the other."""
        began = time.monotonic()
        results: dict[str, UnitResult] = {}
        recorder = self._recorder()
        # A process that stood still since it took a lease would otherwise remove the folder of the
        # one that took it over, as that of a killed attempt.
        for task in tasks:
            lease = task.lease
            lease.touch()
            if lease.lost.is_set() or (lease.interrupted and self.store.is_done(task.unit)):
                results[task.unit.key] = recorder.give_way(task.unit, lease.taker)
        tasks = [task for task in tasks if task.unit.key not in results]
        if not tasks:
            return results
        for task in tasks:
            _log.info(
                "started %s %s on %s%s",
                *(task.unit.kind, task.unit.key, self.device),
                f" in a cohort of {len(tasks)}" if len(tasks) > 1 else "",
            )
        # Two stacks: the commits need the folders, while the TensorBoard logs are closed before
        # them, so that the log of a done unit is complete.
        with ExitStack() as folders:
            with ExitStack() as logs:
                stop_signal = self.store.stop_signal(self.settings.run)
                is_stopping = logs.enter_context(stop_signal.watched())
                contexts = []
                for task in tasks:
                    context = self._open_context(task, len(tasks), is_stopping, folders, logs)
                    contexts.append(context)
                with log_printed_lines():
                    outcomes = list(map(self._check_device, self._call_function(tasks, contexts)))
                for context, outcome in zip(contexts, outcomes, strict=True):
                    if isinstance(outcome, Outcome):
                        context.log_results(outcome.rows)
            seconds = (time.monotonic() - began) / len(tasks)
            for task, context, outcome in zip(tasks, contexts, outcomes, strict=True):
                results[task.unit.key] = recorder.commit_outcome(
                    task.unit, task.lease, context.workdir, outcome, seconds
                )
        return results

    def _call_function(
        self, tasks: Sequence[_Task], contexts: Sequence[UnitContext]
    ) -> Sequence[Outcome | Exception]:
        """Call the unit function, or the cohort function; return exceptions as outcomes."""
        try:
            if len(tasks) == 1:
                unit_function: UnitFunction = _import_function(self.settings.runner)
                return [unit_function(tasks[0].unit, contexts[0])]
            cohort_function: CohortFunction = _import_function(self.settings.cohort_runner)
            return cohort_function([task.unit for task in tasks], contexts)
        except Exception as error:
            checked = self._check_device(error)
            if isinstance(checked, DeviceLost):
                return [checked] * len(tasks)
            if len(tasks) == 1 or isinstance(error, Stopped):
                return [error] * len(tasks)
            # The error may be due to one of the units, or to all of them together (memory). Alone,
            # each of them shows whether it is the one.
            _log.warning(
                "a cohort of %d units is split, each is to be tried alone: %s: %s",
                *(len(tasks), type(error).__name__, error),
            )
            return [CohortSplit()] * len(tasks)

    def _check_device(self, outcome: Outcome | Exception) -> Outcome | Exception:
        """Return `DeviceLost` in place of an exception after which the GPU does not compute."""
        if self.device == "cpu" or not isinstance(outcome, Exception):
            return outcome
        if isinstance(outcome, _ENDS) or not is_device_lost(outcome):
            return outcome
        return DeviceLost(outcome)

    def _open_context(
        self,
        task: _Task,
        cohort_size: int,
        is_stopping: Callable[[], bool],
        folders: ExitStack,
        logs: ExitStack,
    ) -> UnitContext:
        """Build what the unit function sees; the stacks close its folder and its log."""
        log = None
        if self.settings.tensorboard:
            made = self._read_set(task.unit)
            folder = self.store.locate_tensorboard(task.unit, name_folder(task.unit, made))
            log = TensorBoardLog(folder, list_settings(task.unit, made))
            logs.callback(log.close)
        return UnitContext(
            store=self.store,
            unit=task.unit,
            workdir=folders.enter_context(self.store.scratch(task.unit)),
            data_root=Path(self.settings.data_root),
            device=self.device,
            threads=count_cpu_threads(self.settings.cpus),
            checkpoint_seconds=self.settings.checkpoint_seconds,
            cohort_size=cohort_size,
            # All units of a cohort report, and the launch can only read so many reports a second.
            report_seconds=self.settings.report_seconds * cohort_size,
            report=task.report,
            is_stopping=lambda: task.lease.lost.is_set() or is_stopping(),
            log=log,
            chunk_share=self.settings.chunk_share,
        )

    def _read_set(self, unit: Unit) -> SetUnit | None:
        """Return the set that a unit measures, for a name; None without one that can be read."""
        try:
            parents = {key: self.store.read_unit(key) for key in unit.parents[:1]}
        except StoreError as error:  # the unit itself runs into it, and says what to do
            _log.debug("the set of %s cannot be read: %s", unit.key, error)
            return None
        return find_set(unit, parents)

    def _recorder(self) -> OutcomeRecorder:
        return OutcomeRecorder(self.store, self.settings, self.device)


def _import_function(name: str) -> Any:
    """Import a function given as module:name; only workers call it, and only when needed."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)
