"""What a Ray Tune trial does: lease, unit function, commit. It works the same in this process, without Ray.

A trial has one unit, or a cohort of sets that are distilled together and in all else are units like any other. A unit
that fails is a result like any other: its exception is recorded in table `failures` and reported. Only what is
wrong with the machinery (a worker killed, a runner that cannot be imported) is raised, and makes Tune try again.
"""

import gc
import importlib
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from orchestrator import leases
from orchestrator.context import Outcome, Report, Stopped, UnitContext
from orchestrator.files import FREE_SPACE, is_full
from orchestrator.leases import Lease
from orchestrator.opening import open_store
from orchestrator.provenance import Provenance, device_name, failure_row
from orchestrator.store import Store, StoreError
from orchestrator.tensorboard_log import TensorBoardLog
from orchestrator.units import ImportExtractor, Select, Unit, from_json, to_json

RUNNER = "orchestrator.work:run_unit"
COHORT_RUNNER = "orchestrator.work:run_cohort"

Status = Literal["done", "present", "failed", "busy", "stopped", "apart"]
"""done: computed here; present: another launch had it; busy: another launch is at it; stopped: to be continued; apart:
its cohort could not go on as a whole, so that it is to be tried alone."""

UnitFunction = Callable[[Unit, UnitContext], Outcome]
CohortFunction = Callable[[Sequence[Unit], Sequence[UnitContext]], Sequence[Outcome | Exception]]
"""Returns for each unit its outcome, or what ended it; raises what ends all of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSettings:
    """What all trials of a launch share; plain values, so that it travels as a dictionary."""

    store: str
    """A path or URL that means the same on every node."""
    data_root: str
    run: str
    git_commit: str | None = None
    runner: str = RUNNER
    """Unit function as module:name; imported in the worker only."""
    cohort_runner: str = COHORT_RUNNER
    """Cohort function, likewise."""
    cpus: float = 1.0
    checkpoint_seconds: float = 30.0
    report_seconds: float = 0.5
    tensorboard: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How a trial ended."""

    status: Status
    seconds: float = 0.0
    """Of a unit of a cohort its share: the time of the cohort, divided by its units."""
    error: str | None = None
    """Class of the exception of a unit that failed."""
    reason: str | None = None
    """Its message."""
    traceback: str | None = None
    out_of_memory: bool = False
    """Whether it was a device's memory that ran out."""
    disk_full: bool = False
    """Whether the disk was full, or the store could not be written: no unit can do better."""


def trial_config(units: Sequence[Unit], settings: TrialSettings, *, gpus: float) -> dict[str, Any]:
    """Return the configuration of the Tune trial that computes a unit, or a cohort of them."""
    return {"units": [to_json(unit) for unit in units], "gpus": gpus, **asdict(settings)}


def needs_gpu(unit: Unit) -> bool:
    """Tell whether a unit has anything to compute on a GPU; the others leave the GPUs to the rest."""
    return not (isinstance(unit, ImportExtractor) or (isinstance(unit, Select) and unit.method == "random"))


def trial_resources(config: Mapping[str, Any]) -> dict[str, float]:
    """Return the resources that Tune reserves for a trial."""
    return {"CPU": config["cpus"], **({"GPU": config["gpus"]} if config["gpus"] else {})}


def run_trial(config: dict[str, Any]) -> None:
    """Compute the units of a Tune trial and report how each of them ended."""
    from ray import tune

    shared = dict(config)
    units, gpus = [from_json(text) for text in shared.pop("units")], shared.pop("gpus")
    settings = TrialSettings(**shared)
    prepare_process(cpus=settings.cpus, gpus=gpus)

    def report(place: int, progress: Report) -> None:
        tune.report({"place": place, "step": progress.step, "total": progress.total, "values": progress.values})

    results = compute_together(units, settings, device="cuda" if gpus else "cpu", report=report)
    tune.report({"results": [asdict(result) for result in results]})


def compute(
    unit: Unit, settings: TrialSettings, *, device: str, report: Callable[[Report], None] | None = None
) -> Result:
    """Compute a unit and commit it to the store, unless that is done or somebody else is at it."""
    placed = None if report is None else lambda place, progress: report(progress)
    (result,) = compute_together([unit], settings, device=device, report=placed)
    return result


def compute_together(
    units: Sequence[Unit],
    settings: TrialSettings,
    *,
    device: str,
    report: Callable[[int, Report], None] | None = None,
) -> list[Result]:
    """Compute a unit, or a cohort of them, and commit each of them to the store; those that are done or that somebody
    else is at are left out.

    Args:
        units: at least one.
        settings: shared by all trials.
        device: "cpu" or "cuda".
        report: takes the place of a unit among `units`, and how far it is.
    """
    store = open_store(settings.store)
    results: dict[str, Result] = {}
    try:
        if store.stop_sign(settings.run).is_up():
            return [Result(status="stopped") for _ in units]
        with ExitStack() as held:
            tasks = []
            for place, unit in enumerate(units):
                lease = held.enter_context(leases.hold(store.shelf, unit.key, settings.run))
                if store.is_done(unit):
                    store.publish_missing_rows([unit])
                    results[unit.key] = Result(status="present")
                elif lease is None:
                    results[unit.key] = Result(status="busy")
                else:
                    tasks.append(_Task(unit, lease, None if report is None else partial(report, place)))
            if tasks:
                results |= _compute_leased(tasks, store, settings, device)
    except StoreError as error:  # it cannot even be noted who is working on what
        results = {u.key: _failed(u, store, settings, device, error) for u in units if u.key not in results} | results
    return [results[unit.key] for unit in units]


def prepare_process(*, cpus: float, gpus: float) -> None:
    """Make a process, new or used by another unit before, as good as new.

    Hides the GPUs from a unit that asked for none, limits the CPU threads, resets global generators and frees memory
    that a predecessor left on the device.
    """
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    threads = _threads(cpus)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    random.seed(0)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(0)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        torch.set_grad_enabled(True)
        if gpus and torch.cuda.is_initialized():
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


@dataclass(frozen=True, slots=True)
class _Task:
    """A unit that is ours to compute."""

    unit: Unit
    lease: Lease
    report: Callable[[Report], None] | None


class _Apart(Exception):
    """A cohort could not go on as a whole."""


def _compute_leased(tasks: Sequence[_Task], store: Store, settings: TrialSettings, device: str) -> dict[str, Result]:
    """Compute some units together, then settle one after the other."""
    began = time.monotonic()
    with ExitStack() as folders:
        with ExitStack() as logs:
            stopping = logs.enter_context(store.stop_sign(settings.run).watched())
            contexts = [_context(task, store, settings, device, len(tasks), stopping, folders, logs) for task in tasks]
            outcomes = _outcomes(tasks, contexts, settings)
        share = (time.monotonic() - began) / len(tasks)
        return {
            task.unit.key: _settled(task, context.workdir, outcome, share, store, settings, device)
            for task, context, outcome in zip(tasks, contexts, outcomes, strict=True)
        }


def _outcomes(
    tasks: Sequence[_Task], contexts: Sequence[UnitContext], settings: TrialSettings
) -> Sequence[Outcome | Exception]:
    try:
        if len(tasks) == 1:
            unit_function: UnitFunction = _import(settings.runner)
            return [unit_function(tasks[0].unit, contexts[0])]
        cohort_function: CohortFunction = _import(settings.cohort_runner)
        return cohort_function([task.unit for task in tasks], contexts)
    except Exception as error:
        alone = len(tasks) == 1 or isinstance(error, Stopped)
        return [error if alone else _Apart() for _ in tasks]


def _context(
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
        threads=_threads(settings.cpus),
        checkpoint_seconds=settings.checkpoint_seconds,
        together=together,
        report_seconds=settings.report_seconds * together,
        report=task.report,
        stopping=lambda: task.lease.lost.is_set() or stopping(),
        log=log,
    )


def _settled(
    task: _Task,
    workdir: Path,
    outcome: Outcome | Exception,
    seconds: float,
    store: Store,
    settings: TrialSettings,
    device: str,
) -> Result:
    """Commit what a unit came to, or tell what ended it."""
    began = time.monotonic()
    try:
        if isinstance(outcome, Exception):
            raise outcome
        first = _commit(task.unit, workdir, outcome, store, settings, device)
    except _Apart:
        return Result(status="apart")
    except Stopped:
        return Result(status="busy" if task.lease.lost.is_set() else "stopped")
    except Exception as error:
        task.lease.touch()
        if task.lease.lost.is_set():  # its new holder works with the same files
            return Result(status="busy")
        return _failed(task.unit, store, settings, device, error)
    return Result(status="done" if first else "present", seconds=seconds + time.monotonic() - began)


def _commit(unit: Unit, workdir: Path, outcome: Outcome, store: Store, settings: TrialSettings, device: str) -> bool:
    """Put a unit into the store; False if another launch was first."""
    if outcome.fingerprint is not None:
        store.check_fingerprint(unit.dataset, outcome.fingerprint)
    provenance = Provenance(
        run=settings.run,
        device=device_name(device),
        fingerprint=outcome.fingerprint,
        git_commit=settings.git_commit,
    )
    shared = provenance.columns(unit)
    rows = [{**shared, **row} for row in outcome.rows]
    return store.commit(unit, workdir, rows, run=settings.run, finished=shared["finished"].isoformat())


def _failed(unit: Unit, store: Store, settings: TrialSettings, device: str, error: Exception) -> Result:
    reason = str(error) or type(error).__name__
    if is_full(error) and not isinstance(error, StoreError):
        reason = f"{reason}; {FREE_SPACE}"
    result = Result(
        status="failed",
        error=type(error).__name__,
        reason=reason,
        traceback="".join(traceback.format_exception(error)),
        out_of_memory=_is_out_of_memory(error),
        disk_full=is_full(error),
    )
    note_failure(unit, store, run=settings.run, device=device_name(device), result=result)
    return result


def note_failure(unit: Unit, store: Store, *, run: str, device: str, result: Result) -> None:
    """Record a failed result in table `failures`, if the store can still be written."""
    row = failure_row(
        unit,
        run=run,
        device=device,
        error=result.error or "",
        reason=result.reason or "",
        traceback=result.traceback or "",
    )
    try:
        store.record_failure(row)
    except StoreError:
        return  # a full disk is a likely reason for the failure itself; the launch's summary still tells it


def _is_out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def _threads(cpus: float) -> int:
    return max(1, int(cpus))


def _import(runner: str) -> Any:
    module, _, name = runner.partition(":")
    return getattr(importlib.import_module(module), name)
