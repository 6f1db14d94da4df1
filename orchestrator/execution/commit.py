"""How the work on a unit ends: commit its outcome to the store, or record why there is none.

A unit that fails is a result like any other. Its exception is recorded in table `failures`, and the
launch continues with the units that do not need it.
"""

import logging
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import StoreError
from orchestrator.execution.context import Outcome, Stopped
from orchestrator.execution.trial import Status, TrialSettings, UnitResult
from orchestrator.store.atomic_files import FREE_SPACE, is_full
from orchestrator.store.leases import Lease
from orchestrator.store.provenance import Provenance, build_failure_row, name_device
from orchestrator.store.store import Store
from orchestrator.units import Unit

_log = logging.getLogger(__name__)


class CohortSplit(Exception):
    """A cohort could not be computed as a whole; its units have to be tried alone."""


@dataclass(frozen=True, slots=True)
class OutcomeRecorder:
    """Writes what becomes of units to the store."""

    store: Store
    settings: TrialSettings
    device: str
    """"cpu" or "cuda"."""

    def commit_outcome(
        self,
        unit: Unit,
        lease: Lease,
        workdir: Path,
        outcome: Outcome | Exception,
        seconds: float,
    ) -> UnitResult:
        """Commit the outcome of a unit, or record the exception that ended it.

        Args:
            unit: the unit.
            lease: held by this process, unless another one has taken it over.
            workdir: folder with the unit's artifacts.
            outcome: what the unit function returned or raised.
            seconds: how long it took.
        """
        began = time.monotonic()
        try:
            if isinstance(outcome, Exception):
                raise outcome
            is_first = self._commit(unit, workdir, outcome)
        except CohortSplit:
            return UnitResult(status="split")
        except Stopped:
            status: Status = "busy" if lease.lost.is_set() else "stopped"
            _log.info("%s %s stopped before its end: %s", unit.kind, unit.key, status)
            return UnitResult(status=status)
        except Exception as error:
            # The heartbeat may not have noticed yet that another process took the lease over. That
            # process works with the same files, so an error here can be of its making.
            lease.touch()
            if lease.lost.is_set():
                _log.warning(
                    "%s %s was taken over by another process; ignoring %s: %s",
                    *(unit.kind, unit.key, type(error).__name__, error),
                )
                return UnitResult(status="busy")
            return self.record_exception(unit, error)
        seconds += time.monotonic() - began
        _log.info(
            "finished %s %s in %.1f s%s",
            *(unit.kind, unit.key, seconds, "" if is_first else "; another launch was first"),
        )
        return UnitResult(status="done" if is_first else "present", seconds=seconds)

    def record_exception(self, unit: Unit, error: Exception) -> UnitResult:
        """Record the exception that ended a unit in table `failures`, and return it as a result."""
        reason = str(error) or type(error).__name__
        # A StoreError says itself what to do about a full disk.
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
        _log.error(
            "%s %s failed: %s: %s", unit.kind, unit.key, result.error, reason, exc_info=error
        )
        device = name_device(self.device)
        record_failure(unit, self.store, run=self.settings.run, device=device, result=result)
        return result

    def _commit(self, unit: Unit, workdir: Path, outcome: Outcome) -> bool:
        """Put a unit into the store; return False if another launch was first."""
        if outcome.fingerprint is not None:
            self.store.check_fingerprint(unit.dataset, outcome.fingerprint)
        provenance = Provenance(
            run=self.settings.run,
            device=name_device(self.device),
            fingerprint=outcome.fingerprint,
            git_commit=self.settings.git_commit,
        )
        shared = provenance.build_columns(unit)
        rows = [{**shared, **row} for row in outcome.rows]
        finished = shared["finished"].isoformat()
        return self.store.commit(unit, workdir, rows, run=self.settings.run, finished=finished)


def record_failure(unit: Unit, store: Store, *, run: str, device: str, result: UnitResult) -> None:
    """Record a failed result in table `failures`, if the store can still be written."""
    row = build_failure_row(
        unit,
        run=run,
        device=device,
        error=result.error or "",
        reason=result.reason or "",
        traceback=result.traceback or "",
    )
    try:
        store.record_failure(row)
    except StoreError as error:
        # A full disk may well be why the unit failed. The summary of the launch still shows the
        # failure, so a second error would only hide the first.
        _log.warning("the failure of %s %s is not recorded: %s", unit.kind, unit.key, error)


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether the memory of a device ran out; never imports torch for the answer."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
