"""A study while it runs: which trial comes next, and what becomes of one that reached a rung. Free
of Ray.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.execution.trial import TrialSettings
from orchestrator.search.journal import Journal, RungResult, State, Trial
from orchestrator.search.sampler import suggest
from orchestrator.search.study import RungUnits, Study
from orchestrator.search.worker import RungMeasurement, build_rung_work
from orchestrator.store import leases
from orchestrator.store.store import Store


@dataclass
class StudyRun:
    """Hands out the trials of a study and keeps its journal."""

    study: Study
    journal: Journal
    store: Store
    settings: TrialSettings
    gpus: float
    trials: int
    """Number of trials that there are to be in all."""
    stopping: Callable[[], bool] = lambda: False
    tell: Callable[[Trial, RungResult], None] = lambda trial, result: None
    halted: str | None = None
    """Why the search cannot go on; None if it can."""
    running: set[int] = field(default_factory=set)
    given_up: set[int] = field(default_factory=set)
    """Trials that failed in this search; the next search tries them again."""
    _units: dict[int, list[dict[int, RungUnits]]] = field(default_factory=dict)

    def next_config(self) -> dict[str, Any] | None:
        """Return the configuration of the trial that comes next; None while there is none, or none
        any more.
        """
        if self.over():
            return None
        trial = self._next()
        if trial is None or self._shares_units_with_a_running_one(trial):
            return None
        self.running.add(trial.number)
        units = self.units(trial)
        return {
            "number": trial.number,
            "work": [
                asdict(build_rung_work(rung, units))
                for rung in range(trial.rungs[-1].rung, len(units))
            ],
            "settings": asdict(self.settings),
            "gpus": self.gpus,
            "reduction": self.study.experiment.rungs.reduction,
        }

    def over(self) -> bool:
        """Whether no trial is to be started any more."""
        return (
            self.stopping() or self.halted is not None or not (self._unfinished() or self._more())
        )

    def units(self, trial: Trial) -> list[dict[int, RungUnits]]:
        """Return a trial's units at all rungs."""
        if trial.number not in self._units:
            rungs = range(len(self.study.iterations))
            self._units[trial.number] = [
                self.study.build_rung_units(trial.parameters, rung) for rung in rungs
            ]
        return self._units[trial.number]

    def note(self, number: int, measured: RungMeasurement, *, passes: bool) -> State:
        """Record what a trial reached at a rung, and what becomes of it.

        Args:
            number: the trial.
            measured: what it reached.
            passes: whether it may go on; the published settings always do.

        Returns:
            How the trial stands: "passed" if it goes on.
        """
        trial = self.journal.trials[number]
        before = trial.rungs[-1]
        if trial.finished or measured.rung < before.rung:  # a worker that died and began anew
            return trial.rungs[measured.rung].state
        units = self.units(trial)
        result = RungResult(
            rung=before.rung,
            iterations=before.iterations,
            state=self._state(trial, measured, passes),
            value=measured.value,
            values=measured.values,
            order=None if measured.value is None else self.journal.next_order(),
            units=tuple(
                u.key for r in units[before.rung].values() for u in (r.distill, *r.evaluations)
            ),
            reason=measured.reason,
            seconds=measured.seconds,
        )
        trial = self.journal.note(number, result)
        if result.state == "failed":
            self.given_up.add(number)
            self.halted = measured.reason if measured.fatal else self.halted
        if result.state in ("stopped", "diverged") and result.rung + 1 < len(units):
            self._forget(units[result.rung + 1])
        self.tell(trial, result)
        return result.state

    def ended(self, number: int, error: str | None = None) -> None:
        """Note that no worker has a trial any more, and why if that was not its end."""
        self.running.discard(number)
        trial = self.journal.trials[number]
        if error is not None and not trial.finished and number not in self.given_up:
            rung = trial.rungs[-1].rung
            self.note(
                number, RungMeasurement(rung=rung, outcome="failed", reason=error), passes=False
            )

    def _state(self, trial: Trial, measured: RungMeasurement, passes: bool) -> State:
        if measured.value is None:
            diverged = measured.error == "DistillationError" and " at iteration " in (
                measured.reason or ""
            )
            return "diverged" if diverged else "failed"
        if measured.rung + 1 == len(self.study.iterations):
            return "complete"
        return "passed" if passes or trial.number == 0 else "stopped"

    def _next(self) -> Trial | None:
        unfinished = self._unfinished()
        if unfinished:
            return self.journal.trials[unfinished[0]]
        if not self._more():
            return None
        number = len(self.journal.trials)
        suggested = suggest(self.study, number, self.journal.trials.values())
        if suggested is None:
            self.trials = number
            return None
        return self.journal.begin(number, *suggested)

    def _unfinished(self) -> list[int]:
        idle = [
            t.number
            for t in self.journal.trials.values()
            if not t.finished and t.number not in self.running
        ]
        return [number for number in idle if number not in self.given_up]

    def _more(self) -> bool:
        return len(self.journal.trials) < self.trials

    def _shares_units_with_a_running_one(self, trial: Trial) -> bool:
        """Tell whether a worker is at the same units; a launch gives a unit to one worker at a
        time.
        """

        def sets(number: int) -> set[str]:
            return {
                units.distill.key for units in self.units(self.journal.trials[number])[0].values()
            }

        return any(sets(trial.number) & sets(number) for number in self.running)

    def _forget(self, units: dict[int, RungUnits]) -> None:
        """Remove the checkpoints of sets that will not be needed, unless somebody is at them."""
        for seed in units.values():
            if not leases.is_held(self.store.storage, seed.distill.key):
                self.store.remove_checkpoints(seed.distill)
