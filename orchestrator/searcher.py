"""The plan as a Ray Tune searcher: it suggests the units that are ready, which gives Tune a graph of dependencies."""

import time
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from orchestrator.plan import Schedule
from orchestrator.progress import Board
from orchestrator.store import Store
from orchestrator.trials import Result, TrialSettings, needs_gpu, trial_config
from orchestrator.units import Unit

BUSY_SECONDS = 2.0
"""Pause before a unit that another launch is working on is looked at again."""


class PlanSearcher(Searcher):
    """Suggests a plan's units in order of their dependencies.

    Args:
        schedule: what is ready, what is blocked.
        store: asked before each suggestion whether another launch has done the unit by now.
        settings: shared by all trials.
        gpus: GPUs, or a fraction of one, for each unit that computes on one.
        board: told what needs no trial any more.
        stopping: asked before each suggestion whether the launch is to stop.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        store: Store,
        settings: TrialSettings,
        gpus: float,
        board: Board,
        stopping: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._schedule = schedule
        self._store = store
        self._settings = settings
        self._gpus = gpus
        self._board = board
        self._stopping = stopping
        self._running: dict[str, tuple[Unit, float]] = {}
        self._again: list[tuple[float, Unit, float]] = []
        """Units to be tried again: not before when, and with how many GPUs."""

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial, None while nothing is ready, FINISHED at the end."""
        if self._stopping():
            return Searcher.FINISHED
        while (candidate := self._next()) is not None:
            unit, gpus = candidate
            if self._store.is_done(unit):
                self._board.finished(unit, Result(status="present"))
                self._schedule.settle(unit.key, ok=True)
                continue
            self._running[trial_id] = candidate
            return trial_config(unit, self._settings, gpus=gpus)
        return Searcher.FINISHED if self._schedule.exhausted() else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Release a unit's dependants, block them, or have the unit tried again."""
        unit, gpus = self._running.pop(trial_id)
        status = "failed" if error or result is None else result.get("status")
        if status == "busy":
            self._again.append((time.monotonic() + BUSY_SECONDS, unit, gpus))
        elif status == "failed" and result is not None and result.get("out_of_memory") and 0 < gpus < 1:
            self._again.append((0.0, unit, 1.0))
        elif status in ("done", "present"):
            self._schedule.settle(unit.key, ok=True)
        elif status == "failed":
            self._schedule.settle(unit.key, ok=False)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: what is done is in the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: what is done is in the store."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its searcher for a resume that we do not use

    def _next(self) -> tuple[Unit, float] | None:
        now = time.monotonic()
        for place, (when, unit, gpus) in enumerate(self._again):
            if when <= now:
                del self._again[place]
                return unit, gpus
        ready = self._schedule.next()
        return None if ready is None else (ready, self._gpus if needs_gpu(ready) else 0.0)
