"""The plan as a searcher of Ray Tune, which suggests units only when their parents are done.

Tune itself knows no dependencies between trials.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ray.tune.search import Searcher

from orchestrator.execution.commit import record_failure
from orchestrator.execution.lost_devices import release_name
from orchestrator.execution.trial import TrialSettings, UnitResult, build_trial_config
from orchestrator.launch.progress import LaunchProgress
from orchestrator.planning.ready_queue import ReadyQueue
from orchestrator.store import leases
from orchestrator.store.store import Store
from orchestrator.units import Unit, needs_gpu

_log = logging.getLogger(__name__)

BUSY_SECONDS = 2.0
"""Pause before a unit that another launch is computing is checked again."""

HALF = 0.5
"""Part of the classes in memory at once, after memory ran out on a whole GPU."""
MAX_DEATHS = 3
"""Times that a unit's worker may die and the unit is tried again."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a trial is to compute: a unit or a cohort of units, and the GPUs it gets."""

    units: tuple[Unit, ...]
    gpus: float
    chunk_share: float = 1.0
    """See `TrialSettings`; less after memory ran out on a whole GPU."""


class PlanSearcher(Searcher):
    """Suggests a plan's units in the order of their dependencies, a cohort as one trial.

    Args:
        queue: which unit is ready, which is blocked.
        store: where another launch may have done a unit since, or may hold its lease.
        settings: shared by all trials.
        gpus: GPUs, or a fraction of one, for each unit that computes on one.
        progress: records what needs no trial, and knows how often workers died.
        stopping: returns whether the launch is to stop.
        slots: trials that run at the same time; 0 if that is not known.
    """

    def __init__(
        self,
        queue: ReadyQueue,
        *,
        store: Store,
        settings: TrialSettings,
        gpus: float,
        progress: LaunchProgress,
        stopping: Callable[[], bool],
        slots: int = 0,
    ) -> None:
        super().__init__()
        self._queue = queue
        self._store = store
        self._settings = settings
        self._gpus = gpus
        self._progress = progress
        self._stopping = stopping
        self._slots = slots
        self._kept: dict[str, str] = {}
        """GPUs out of use by the trial that keeps them."""
        self._released = False
        self._running: dict[str, Attempt] = {}
        self._again: list[tuple[float, Attempt]] = []
        """When each attempt may be tried again, by the monotonic clock."""

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial.

        None means that nothing is ready yet, FINISHED that nothing will be.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._stopping() or self._progress.halted is not None:
            return self._finish()
        # One time for the whole loop: what is put off in it must not come due in it.
        now = time.monotonic()
        while not self._stopping() and (candidate := self._take_next(now)) is not None:
            units = [u for u in candidate.units if self._is_to_do(u, candidate.gpus)]
            attempt = replace(candidate, units=tuple(units))
            if attempt.units:
                self._running[trial_id] = attempt
                settings = replace(self._settings, chunk_share=attempt.chunk_share)
                return build_trial_config(attempt.units, settings, gpus=attempt.gpus)
        return self._finish() if self._queue.is_exhausted() else None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take the units back from a trial that keeps a GPU out of use; no other has them."""
        if "kept" not in result or trial_id in self._kept:
            return
        device, attempt = str(result["kept"]), self._running[trial_id]
        self._kept[trial_id] = device
        self._running[trial_id] = replace(attempt, units=())
        for unit in attempt.units:
            self._progress.record_result(unit, UnitResult(status="busy"))
            self._try_again(unit, attempt.gpus)
        self._progress.record_lost_device(device, str(result.get("reason")))
        if self._slots and len(self._kept) >= self._slots:
            devices = ", ".join(dict.fromkeys(self._kept.values()))
            self._progress.halted = f"no GPU is left: {devices} broke one process after the other"

    def _finish(self) -> str:
        """Have the GPUs that are out of use released; their trials are the last ones."""
        if self._kept and not self._released:
            self._released = True
            self._store.storage.put(release_name(self._settings.run), b"")
        return str(Searcher.FINISHED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Release or block what depends on the trial's units, or have them tried again."""
        attempt = self._running.pop(trial_id)
        self._kept.pop(trial_id, None)
        ended = (result or {}).get("results") or [{}] * len(attempt.units)
        if error:  # its worker died as often as it may; a cohort's units are tried alone
            status = "failed" if len(attempt.units) == 1 else "split"
            ended = [{"status": status}] * len(attempt.units)
        for unit, result_of_unit in zip(attempt.units, ended, strict=True):
            self._handle_result(unit, attempt, result_of_unit)

    def _handle_result(self, unit: Unit, attempt: Attempt, result: Mapping[str, Any]) -> None:
        gpus, halved = attempt.gpus, attempt.chunk_share < 1
        match result.get("status"):
            case "done" | "present":
                self._queue.finish(unit.key, ok=True)
            case "failed" if result.get("out_of_memory") and 0 < gpus < 1:
                _log.warning("unit %s is tried again on a whole GPU: out of memory", unit.key)
                self._try_again(unit, 1.0)
            case "failed" if result.get("out_of_memory") and not halved:
                _log.warning("unit %s is tried again with half the classes at once", unit.key)
                self._again.append((time.monotonic(), Attempt((unit,), gpus, HALF)))
            case "failed":
                self._queue.finish(unit.key, ok=False)
                if result.get("fatal"):
                    _log.error("no more units are started: %s", result.get("reason"))
                    self._progress.halted = str(result.get("reason"))
            case "split":
                self._try_again(unit, gpus)
            case "busy" if self._progress.deaths[unit.key] <= MAX_DEATHS:
                self._try_again(unit, gpus, after=BUSY_SECONDS)
            case "busy":
                self._give_up(
                    unit, "WorkerDied", f"its worker died {self._progress.deaths[unit.key]} times"
                )
            case other if not self._stopping():
                self._give_up(
                    unit, "NoResult", f"its trial ended without a result (status {other})"
                )

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: what is done is in the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: what is done is in the store."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher for its own resume, which is not used.
        return {}

    def _is_to_do(self, unit: Unit, gpus: float) -> bool:
        """Tell whether to start a unit now: another launch may have done it, or be computing it."""
        if self._store.is_done(unit):
            self._progress.record_result(unit, UnitResult(status="present"))
            self._queue.finish(unit.key, ok=True)
            return False
        if leases.is_held(self._store.storage, unit.key, but=self._settings.run):
            self._progress.record_wait(unit)
            self._try_again(unit, gpus, after=BUSY_SECONDS)
            return False
        return True

    def _try_again(self, unit: Unit, gpus: float, *, after: float = 0.0) -> None:
        self._again.append((time.monotonic() + after, Attempt((unit,), gpus)))

    def _give_up(self, unit: Unit, error: str, reason: str) -> None:
        _log.error("unit %s failed: %s", unit.key, reason)
        result = UnitResult(status="failed", error=error, reason=reason)
        self._progress.record_result(unit, result)
        record_failure(unit, self._store, run=self._settings.run, device="", result=result)
        self._queue.finish(unit.key, ok=False)

    def _take_next(self, now: float) -> Attempt | None:
        for place, (when, attempt) in enumerate(self._again):
            if when <= now:
                del self._again[place]
                return attempt
        ready = self._queue.next()
        return Attempt(ready, self._gpus if needs_gpu(ready[0]) else 0.0) if ready else None
