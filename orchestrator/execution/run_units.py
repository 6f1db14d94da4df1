"""Computing units: lease, unit function, commit. It works the same in a Tune trial and in this
process, without Ray.

A cohort is computed by one function; its units are leased and settled each by itself.
"""

import importlib
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.execution.commit import CohortSplit, commit_outcome, record_exception
from orchestrator.execution.context import Outcome, Stopped, UnitContext, UnitProgress
from orchestrator.execution.tensorboard import TensorBoardLog
from orchestrator.execution.trial import TrialSettings, UnitResult, count_cpu_threads
from orchestrator.store import leases
from orchestrator.store.leases import Lease
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.units import Unit

UnitFunction = Callable[[Unit, UnitContext], Outcome]
CohortFunction = Callable[[Sequence[Unit], Sequence[UnitContext]], Sequence[Outcome | Exception]]
"""Returns for each unit its outcome, or what ended it; raises what ends all of them."""


def compute_unit(
    unit: Unit,
    settings: TrialSettings,
    *,
    device: str,
    report: Callable[[UnitProgress], None] | None = None,
) -> UnitResult:
    """Compute a unit and commit it to the store, unless that is done or somebody else is at it."""
    placed = None if report is None else lambda place, progress: report(progress)
    (result,) = compute_units([unit], settings, device=device, report=placed)
    return result


def compute_units(
    units: Sequence[Unit],
    settings: TrialSettings,
    *,
    device: str,
    report: Callable[[int, UnitProgress], None] | None = None,
) -> list[UnitResult]:
    """Compute a unit, or a cohort of them, and commit each of them to the store; those that are
    done or that somebody else is at are left out.

    Args:
        units: at least one.
        settings: shared by all trials.
        device: "cpu" or "cuda".
        report: takes the place of a unit among `units`, and how far it is.
    """
    store = open_store(settings.store)
    results: dict[str, UnitResult] = {}
    try:
        if store.stop_signal(settings.run).is_set():
            return [UnitResult(status="stopped") for _ in units]
        with ExitStack() as held:
            tasks = []
            for place, unit in enumerate(units):
                lease = held.enter_context(leases.hold(store.lease_storage, unit.key, settings.run))
                if store.is_done(unit):
                    store.publish_missing_rows([unit])
                    results[unit.key] = UnitResult(status="present")
                elif lease is None:
                    results[unit.key] = UnitResult(status="busy")
                else:
                    tasks.append(
                        _Task(unit, lease, None if report is None else partial(report, place))
                    )
            if tasks:
                results |= _compute_leased(tasks, store, settings, device)
    except StoreError as error:  # it cannot even be noted who is working on what
        results = {
            u.key: record_exception(u, store, settings, device, error)
            for u in units
            if u.key not in results
        } | results
    return [results[unit.key] for unit in units]


@dataclass(frozen=True, slots=True)
class _Task:
    """A unit that is ours to compute."""

    unit: Unit
    lease: Lease
    report: Callable[[UnitProgress], None] | None


def _compute_leased(
    tasks: Sequence[_Task], store: Store, settings: TrialSettings, device: str
) -> dict[str, UnitResult]:
    """Compute some units together, then settle one after the other."""
    began = time.monotonic()
    with ExitStack() as folders:
        with ExitStack() as logs:
            stopping = logs.enter_context(store.stop_signal(settings.run).watched())
            contexts = [
                _open_context(task, store, settings, device, len(tasks), stopping, folders, logs)
                for task in tasks
            ]
            outcomes = _call_runner(tasks, contexts, settings)
        share = (time.monotonic() - began) / len(tasks)
        return {
            task.unit.key: commit_outcome(
                task.unit, task.lease, context.workdir, outcome, share, store, settings, device
            )
            for task, context, outcome in zip(tasks, contexts, outcomes, strict=True)
        }


def _call_runner(
    tasks: Sequence[_Task], contexts: Sequence[UnitContext], settings: TrialSettings
) -> Sequence[Outcome | Exception]:
    try:
        if len(tasks) == 1:
            unit_function: UnitFunction = _import_function(settings.runner)
            return [unit_function(tasks[0].unit, contexts[0])]
        cohort_function: CohortFunction = _import_function(settings.cohort_runner)
        return cohort_function([task.unit for task in tasks], contexts)
    except Exception as error:
        alone = len(tasks) == 1 or isinstance(error, Stopped)
        return [error if alone else CohortSplit() for _ in tasks]


def _open_context(
    task: _Task,
    store: Store,
    settings: TrialSettings,
    device: str,
    together: int,
    stopping: Callable[[], bool],
    folders: ExitStack,
    logs: ExitStack,
) -> UnitContext:
    """Return what the unit function sees; its folder and its log last as long as the two stacks."""
    log = TensorBoardLog(store.tensorboard_folder(task.unit)) if settings.tensorboard else None
    if log is not None:
        logs.callback(log.close)
    return UnitContext(
        store=store,
        unit=task.unit,
        workdir=folders.enter_context(store.scratch(task.unit)),
        data_root=Path(settings.data_root),
        device=device,
        threads=count_cpu_threads(settings.cpus),
        checkpoint_seconds=settings.checkpoint_seconds,
        together=together,
        report_seconds=settings.report_seconds * together,
        report=task.report,
        stopping=lambda: task.lease.lost.is_set() or stopping(),
        log=log,
    )


def _import_function(runner: str) -> Any:
    module, _, name = runner.partition(":")
    return getattr(importlib.import_module(module), name)
