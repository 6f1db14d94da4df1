"""What a Ray Tune trial does: lease, unit function, commit. It works the same in this process, without Ray.

A unit that fails is a result like any other: its exception is recorded in table `failures` and reported. Only what is
wrong with the machinery (a worker killed, a runner that cannot be imported) is raised, and makes Tune try again.
"""

import gc
import importlib
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator import leases
from orchestrator.context import Outcome, Report, Stopped, UnitContext
from orchestrator.files import FREE_SPACE, is_full
from orchestrator.leases import Lease
from orchestrator.provenance import Provenance, device_name, failure_row
from orchestrator.store import Store, StoreError
from orchestrator.tensorboard_log import TensorBoardLog
from orchestrator.units import ImportExtractor, Select, Unit, from_json, to_json

RUNNER = "orchestrator.work:run_unit"

Status = Literal["done", "present", "failed", "busy", "stopped"]
"""done: computed here; present: another launch had it; busy: another launch is at it; stopped: to be continued."""

UnitFunction = Callable[[Unit, UnitContext], Outcome]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSettings:
    """What all trials of a launch share; plain values, so that it travels as a dictionary."""

    store: str
    data_root: str
    run: str
    git_commit: str | None = None
    runner: str = RUNNER
    """Unit function as module:name; imported in the worker only."""
    cpus: float = 1.0
    checkpoint_seconds: float = 30.0
    report_seconds: float = 0.5
    tensorboard: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How a trial ended."""

    status: Status
    seconds: float = 0.0
    error: str | None = None
    """Class of the exception of a unit that failed."""
    reason: str | None = None
    """Its message."""
    traceback: str | None = None
    out_of_memory: bool = False
    """Whether it was a device's memory that ran out."""
    disk_full: bool = False
    """Whether the disk was full, or the store could not be written: no unit can do better."""


def trial_config(unit: Unit, settings: TrialSettings, *, gpus: float) -> dict[str, Any]:
    """Return the configuration of the Tune trial that computes a unit."""
    return {"unit": to_json(unit), "gpus": gpus, **asdict(settings)}


def needs_gpu(unit: Unit) -> bool:
    """Tell whether a unit has anything to compute on a GPU; the others leave the GPUs to the rest."""
    return not (isinstance(unit, ImportExtractor) or (isinstance(unit, Select) and unit.method == "random"))


def trial_resources(config: Mapping[str, Any]) -> dict[str, float]:
    """Return the resources that Tune reserves for a trial."""
    return {"CPU": config["cpus"], **({"GPU": config["gpus"]} if config["gpus"] else {})}


def run_trial(config: dict[str, Any]) -> None:
    """Compute one unit in a Tune trial and report how it ended."""
    from ray import tune

    shared = dict(config)
    unit, gpus = from_json(shared.pop("unit")), shared.pop("gpus")
    settings = TrialSettings(**shared)
    prepare_process(cpus=settings.cpus, gpus=gpus)

    def report(progress: Report) -> None:
        tune.report({"status": "running", "step": progress.step, "total": progress.total, "values": progress.values})

    result = compute(unit, settings, device="cuda" if gpus else "cpu", report=report)
    tune.report(asdict(result))


def compute(
    unit: Unit, settings: TrialSettings, *, device: str, report: Callable[[Report], None] | None = None
) -> Result:
    """Compute a unit and commit it to the store, unless that is done or somebody else is at it."""
    store = Store(Path(settings.store))
    if stop_file(store, settings.run).exists():
        return Result(status="stopped")
    try:
        with leases.hold(store.leases, unit.key, settings.run) as lease:
            if store.is_done(unit):
                store.publish_missing_rows([unit])
                return Result(status="present")
            if lease is None:
                return Result(status="busy")
            return _compute_leased(unit, store, settings, lease, device, report)
    except StoreError as error:  # it cannot even be noted who is working on what
        return _failed(unit, store, settings, device, error)


def stop_file(store: Store, run: str) -> Path:
    """File whose presence asks the workers of a launch to checkpoint and stop."""
    return store.root / "runs" / f"{run}.stop"


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


def _compute_leased(
    unit: Unit,
    store: Store,
    settings: TrialSettings,
    lease: Lease,
    device: str,
    report: Callable[[Report], None] | None,
) -> Result:
    began = time.monotonic()
    try:
        first = _run_and_commit(unit, store, settings, lease, device, report)
    except Stopped:
        return Result(status="busy" if lease.lost.is_set() else "stopped")
    except Exception as error:
        lease.touch()
        if lease.lost.is_set():  # its new holder works with the same files
            return Result(status="busy")
        return _failed(unit, store, settings, device, error)
    return Result(status="done" if first else "present", seconds=time.monotonic() - began)


def _run_and_commit(
    unit: Unit,
    store: Store,
    settings: TrialSettings,
    lease: Lease,
    device: str,
    report: Callable[[Report], None] | None,
) -> bool:
    runner = _import(settings.runner)
    log = TensorBoardLog(store.tensorboard_folder(unit)) if settings.tensorboard else None
    stop = stop_file(store, settings.run)
    with store.scratch(unit) as workdir:
        context = UnitContext(
            store=store,
            unit=unit,
            workdir=workdir,
            data_root=Path(settings.data_root),
            device=device,
            threads=_threads(settings.cpus),
            checkpoint_seconds=settings.checkpoint_seconds,
            report_seconds=settings.report_seconds,
            report=report,
            stopping=lambda: lease.lost.is_set() or stop.exists(),
            log=log,
        )
        try:
            outcome = runner(unit, context)
        finally:
            if log is not None:
                log.close()
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


def _import(runner: str) -> UnitFunction:
    module, _, name = runner.partition(":")
    function: UnitFunction = getattr(importlib.import_module(module), name)
    return function
