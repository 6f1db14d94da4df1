"""What people see of a study while its trials run: the same display as that of a launch."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.launch.progress_view import (
    KindView,
    ProgressView,
    RunningView,
    SteadyEstimate,
)
from orchestrator.search.journal import Trial
from orchestrator.search.study import format_settings


@dataclass(kw_only=True, slots=True)
class RunningTrial:
    """A trial that a worker has."""

    name: str
    work: str = ""
    """The unit it computes and the rung."""
    step: int | None = None
    total: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    first: tuple[float, int] | None = None
    """Time and step of the first report of this unit."""
    speed: float | None = None


@dataclass(kw_only=True)
class StudyProgress:
    """Follows the trials of a study; the display reads it from other threads."""

    read_trials: Callable[[], Iterable[Trial]]
    """Returns the trials of the study as they are now."""
    trials: Callable[[], int]
    """Returns their number in the end."""
    slots: int
    """Trials at a time."""
    rungs: int
    running: dict[int, RunningTrial] = field(default_factory=dict)
    workers_died: int = 0
    began: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _steady: SteadyEstimate = field(default_factory=SteadyEstimate)

    def record_start(self, number: int, parameters: Mapping[str, float]) -> None:
        """Note that a worker has a trial."""
        name = f"trial {number} ({format_settings(parameters)})"
        with self._lock:
            self.running[number] = RunningTrial(name=name)

    def record_step(
        self, number: int, work: str, step: int, total: int, values: Mapping[str, float]
    ) -> None:
        """Note how far the unit is that a trial computes."""
        now = time.monotonic()
        with self._lock:
            trial = self.running.get(number)
            if trial is None:
                return
            if trial.work != work or trial.first is None:
                trial.work, trial.first, trial.speed = work, (now, step), None
            elif now > trial.first[0]:
                trial.speed = (step - trial.first[1]) / (now - trial.first[0])
            trial.step, trial.total, trial.values = step, total, dict(values)

    def record_end(self, number: int) -> None:
        """Note that no worker has a trial any more."""
        with self._lock:
            self.running.pop(number, None)

    def view(self) -> ProgressView:
        """Return what people see of this moment."""
        trials = list(self.read_trials())
        finished = [trial for trial in trials if trial.finished]
        failed = sum(trial.state == "failed" for trial in trials)
        with self._lock:
            running = tuple(map(_view_trial, self.running.values()))
        notes = []
        if self.workers_died:
            died = self.workers_died
            notes.append("a worker died" if died == 1 else f"{died} workers died")
        now = time.monotonic()
        total = max(self.trials(), len(trials))
        left = self._estimate_seconds_left(finished, total - len(finished) - failed)
        kind = KindView(name="trials", total=total, done=len(finished), failed=failed)
        return ProgressView(
            kinds=(kind,),
            running=running,
            notes=tuple(notes),
            seconds=now - self.began,
            seconds_left=self._steady.update(left, now),
        )

    def _estimate_seconds_left(self, finished: Iterable[Trial], left: int) -> float | None:
        """Estimate by the mean of the finished trials; most are stopped early, as those were."""
        seconds = []
        for trial in finished:
            seconds.append(sum(rung.seconds or 0.0 for rung in trial.rungs))
        if not seconds:
            return None
        return left * sum(seconds) / len(seconds) / max(1, min(self.slots, max(1, left)))


def _view_trial(trial: RunningTrial) -> RunningView:
    name = f"{trial.name}: {trial.work}" if trial.work else trial.name
    return RunningView(
        name=name, step=trial.step, total=trial.total, speed=trial.speed, values=trial.values
    )
