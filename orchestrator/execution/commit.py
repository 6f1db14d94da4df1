"""How the work on a unit ends: commit its outcome to the store, or record why there is none.

A unit that fails is a result like any other. Its exception is recorded in table `failures`, and the
launch continues with the units that do not need it.
"""

import logging
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import StoreError
from orchestrator.execution.context import Outcome, Stopped
from orchestrator.execution.device_errors import is_out_of_memory
from orchestrator.execution.trial import TrialSettings, UnitResult
from orchestrator.store.atomic_files import FREE_SPACE, is_full
from orchestrator.store.leases import Lease
from orchestrator.store.provenance import Provenance, build_failure_row, name_device
from orchestrator.store.store import Store
from orchestrator.text import find_last_line
from orchestrator.units import Unit

_log = logging.getLogger(__name__)


ANOTHER = "another launch"
"""Stands for the name of a launch that is not known."""


def describe_taker(run: str) -> str:
    """Name the launch that took a unit over."""
    return run if run == ANOTHER else f"launch {run}"


class CohortSplit(Exception):
    """A cohort could not be computed as a whole; its units have to be tried alone."""


class DeviceLost(Exception):
    """The GPU of this process does not compute any more, whatever the unit."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {find_last_line(error)}")


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
        except DeviceLost as error:
            _log.error("%s %s lost its GPU: %s", unit.kind, unit.key, error)
            return UnitResult(status="lost", error="DeviceLost", reason=str(error))
        except Stopped:
            if lease.lost.is_set():
                return self.give_way(unit, lease.taker)
            _log.info("%s %s stopped before its end", unit.kind, unit.key)
            return UnitResult(status="stopped")
        except Exception as error:
            # A process that stood still (a laptop asleep) wakes up to files that another one has
            # taken, moved or finished. What it then runs into says nothing about the unit.
            taker = self._find_taker(unit, lease, workdir)
            if taker is not None:
                return self.give_way(unit, taker, f"ignoring {type(error).__name__}: {error}")
            return self.record_exception(unit, error)
        seconds += time.monotonic() - began
        _log.info(
            "finished %s %s in %.1f s%s",
            *(unit.kind, unit.key, seconds, "" if is_first else "; another launch was first"),
        )
        return UnitResult(status="done" if is_first else "present", seconds=seconds)

    def _find_taker(self, unit: Unit, lease: Lease, workdir: Path) -> str | None:
        """Return the launch that took a unit over; None if this process had it all the time."""
        lease.touch()  # the heartbeat may not have noticed yet
        try:
            run = self.store.read_done_record(unit.key).get("run")
            if lease.lost.is_set() or lease.interrupted or run != self.settings.run:
                return str(run or ANOTHER)
        except StoreError as error:
            _log.debug("%s %s is not done: %s", unit.kind, unit.key, error)
        if lease.lost.is_set() or lease.interrupted:
            return lease.taker or ANOTHER
        # A launch that starts removes the folders of those who seem dead, whatever it computes.
        return ANOTHER if lease.paused and not workdir.exists() else None

    def give_way(self, unit: Unit, taker: str | None, consequence: str = "") -> UnitResult:
        """Return the result of a unit that another launch has finished, or may be working on."""
        taker = taker or ANOTHER
        _log.warning(
            "%s %s was taken over by %s%s",
            *(unit.kind, unit.key, describe_taker(taker)),
            f"; {consequence}" if consequence else "",
        )
        return UnitResult(status="busy", taken_over_by=taker)

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
            out_of_memory=is_out_of_memory(error),
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
