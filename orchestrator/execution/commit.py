"""How a unit's work ends: its artefacts and rows committed, or what ended it told.

A unit that fails is a result like any other: its exception is recorded in table `failures` and
reported.
"""

import sys
import time
import traceback
from pathlib import Path

from orchestrator.errors import StoreError
from orchestrator.execution.context import Outcome, Stopped
from orchestrator.execution.trial import TrialSettings, UnitResult
from orchestrator.store.atomic_files import FREE_SPACE, is_full
from orchestrator.store.leases import Lease
from orchestrator.store.provenance import Provenance, device_name, failure_row
from orchestrator.store.store import Store
from orchestrator.units import Unit


class CohortSplit(Exception):
    """A cohort could not go on as a whole."""


def commit_outcome(
    unit: Unit,
    lease: Lease,
    workdir: Path,
    outcome: Outcome | Exception,
    seconds: float,
    store: Store,
    settings: TrialSettings,
    device: str,
) -> UnitResult:
    """Commit what a unit came to, or tell what ended it."""
    began = time.monotonic()
    try:
        if isinstance(outcome, Exception):
            raise outcome
        first = _commit(unit, workdir, outcome, store, settings, device)
    except CohortSplit:
        return UnitResult(status="split")
    except Stopped:
        return UnitResult(status="busy" if lease.lost.is_set() else "stopped")
    except Exception as error:
        lease.touch()
        if lease.lost.is_set():  # its new holder works with the same files
            return UnitResult(status="busy")
        return record_exception(unit, store, settings, device, error)
    return UnitResult(
        status="done" if first else "present", seconds=seconds + time.monotonic() - began
    )


def _commit(
    unit: Unit, workdir: Path, outcome: Outcome, store: Store, settings: TrialSettings, device: str
) -> bool:
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
    return store.commit(
        unit, workdir, rows, run=settings.run, finished=shared["finished"].isoformat()
    )


def record_exception(
    unit: Unit, store: Store, settings: TrialSettings, device: str, error: Exception
) -> UnitResult:
    """Tell what ended a unit, and record it."""
    reason = str(error) or type(error).__name__
    if is_full(error) and not isinstance(error, StoreError):
        reason = f"{reason}; {FREE_SPACE}"
    result = UnitResult(
        status="failed",
        error=type(error).__name__,
        reason=reason,
        traceback="".join(traceback.format_exception(error)),
        out_of_memory=_is_out_of_memory(error),
        fatal=is_full(error),
    )
    record_failure(unit, store, run=settings.run, device=device_name(device), result=result)
    return result


def record_failure(unit: Unit, store: Store, *, run: str, device: str, result: UnitResult) -> None:
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
        # a full disk is a likely reason for the failure itself; the launch's summary still tells it
        return


def _is_out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
