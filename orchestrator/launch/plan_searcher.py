"""The plan as a Ray Tune searcher: it suggests the units that are ready, which gives Tune a graph
of dependencies.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ray.tune.search import Searcher

from orchestrator.execution.commit import record_failure
from orchestrator.execution.trial import TrialSettings, UnitResult, build_trial_config
from orchestrator.launch.progress import LaunchProgress
from orchestrator.planning.ready_queue import ReadyQueue
from orchestrator.store import leases
from orchestrator.store.store import Store
from orchestrator.units import Unit, needs_gpu

BUSY_SECONDS = 2.0
"""Pause before a unit that another launch is working on is looked at again."""

MAX_DEATHS = 3
"""Workers that may die of a unit before it counts as failed."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one trial is to compute: a unit or a cohort of them, and the GPUs it gets."""

    units: tuple[Unit, ...]
    gpus: float


class PlanSearcher(Searcher):
    """Suggests a plan's units in order of their dependencies, cohorts as one trial.

    Args:
        schedule: what is ready, what is blocked.
        store: asked before each suggestion whether another launch has done the unit by now, or is
            at it.
        settings: shared by all trials.
        gpus: GPUs, or a fraction of one, for each unit that computes on one.
        progress: told what needs no trial, and asked how often workers died.
        stopping: asked before each suggestion whether the launch is to stop.
    """

    def __init__(
        self,
        schedule: ReadyQueue,
        *,
        store: Store,
        settings: TrialSettings,
        gpus: float,
        progress: LaunchProgress,
        stopping: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._schedule = schedule
        self._store = store
        self._settings = settings
        self._gpus = gpus
        self._progress = progress
        self._stopping = stopping
        self._running: dict[str, Attempt] = {}
        self._again: list[tuple[float, Attempt]] = []
        """What is to be tried again, and not before when."""

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial, None while nothing is ready, FINISHED at the
        end.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._stopping() or self._progress.halted is not None:
            return Searcher.FINISHED
        now = (
            time.monotonic()
        )  # one for all: what is put off below must not come due while the others are looked at
        while not self._stopping() and (candidate := self._next(now)) is not None:
            attempt = replace(
                candidate,
                units=tuple(u for u in candidate.units if self._is_to_do(u, candidate.gpus)),
            )
            if attempt.units:
                self._running[trial_id] = attempt
                return build_trial_config(attempt.units, self._settings, gpus=attempt.gpus)
        return Searcher.FINISHED if self._schedule.is_exhausted() else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Release a unit's dependants, block them, or have the unit tried again: for every unit of
        the trial.
        """
        attempt = self._running.pop(trial_id)
        ended = (result or {}).get("results") or [{}] * len(attempt.units)
        if error:
            ended = [{"status": "failed" if len(attempt.units) == 1 else "split"}] * len(
                attempt.units
            )
        for unit, result_of_unit in zip(attempt.units, ended, strict=True):
            self._settle(unit, attempt.gpus, result_of_unit)

    def _settle(self, unit: Unit, gpus: float, result: Mapping[str, Any]) -> None:
        match result.get("status"):
            case "done" | "present":
                self._schedule.finish(unit.key, ok=True)
            case "failed" if result.get("out_of_memory") and 0 < gpus < 1:
                self._try_again(unit, 1.0)
            case "failed":
                self._schedule.finish(unit.key, ok=False)
                if result.get("fatal"):
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
        return {}  # Tune pickles its searcher for a resume that we do not use

    def _is_to_do(self, unit: Unit, gpus: float) -> bool:
        """Whether to start a unit now, which another launch may have done meanwhile, or be at."""
        if self._store.is_done(unit):
            self._progress.record_result(unit, UnitResult(status="present"))
            self._schedule.finish(unit.key, ok=True)
            return False
        if leases.is_held(self._store.storage, unit.key, but=self._settings.run):
            self._progress.record_wait(unit)
            self._try_again(unit, gpus, after=BUSY_SECONDS)
            return False
        return True

    def _try_again(self, unit: Unit, gpus: float, *, after: float = 0.0) -> None:
        self._again.append((time.monotonic() + after, Attempt((unit,), gpus)))

    def _give_up(self, unit: Unit, error: str, reason: str) -> None:
        result = UnitResult(status="failed", error=error, reason=reason)
        self._progress.record_result(unit, result)
        record_failure(unit, self._store, run=self._settings.run, device="", result=result)
        self._schedule.finish(unit.key, ok=False)

    def _next(self, now: float) -> Attempt | None:
        for place, (when, attempt) in enumerate(self._again):
            if when <= now:
                del self._again[place]
                return attempt
        ready = self._schedule.next()
        return Attempt(ready, self._gpus if needs_gpu(ready[0]) else 0.0) if ready else None
