"""A study while it runs: which trial is next, and what becomes of one that reached a rung.

Free of Ray: `ray_tune` calls `next_config` for every free worker, `record_rung` for every rung that
a worker reports, and `release` when a worker has no trial any more. All decisions are written to
the journal before they take effect.
"""

import logging
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

_log = logging.getLogger(__name__)


def _never() -> bool:
    return False


def _ignore(trial: Trial, result: RungResult) -> None:
    """Report nothing."""


@dataclass
class StudyRun:
    """Hands out the trials of a study and keeps its journal."""

    study: Study
    journal: Journal
    store: Store
    settings: TrialSettings
    gpus: float
    """GPUs of each trial, or a fraction of one."""
    trials: int
    """Number of trials in the end."""
    is_stopping: Callable[[], bool] = _never
    is_taken_over: Callable[[], bool] = _never
    """Whether another search took the study over while this one stood still. The journal is that
    one's from then on, and nothing is written to it here."""
    report_rung: Callable[[Trial, RungResult], None] = _ignore
    """Called with every result of a rung, for a display."""
    halted: str | None = None
    """Why the search cannot continue; None if it can."""
    running: set[int] = field(default_factory=set)
    """Trials that a worker has."""
    failed: set[int] = field(default_factory=set)
    """Trials that failed in this search; the next search tries them again."""
    _units: dict[int, list[dict[int, RungUnits]]] = field(default_factory=dict)

    def next_config(self) -> dict[str, Any] | None:
        """Return the configuration of the next trial; None if there is none now, or none any more.

        Raises:
            StoreError: the store cannot be written.
        """
        if self.is_over() or self._gives_way():
            return None
        trial = self._choose_trial()
        if trial is None or self._shares_units_with_running(trial):
            return None
        self.running.add(trial.number)
        units = self.build_units(trial)
        first = trial.rungs[-1].rung
        return {
            "number": trial.number,
            "parameters": dict(trial.parameters),
            "work": [asdict(build_rung_work(rung, units)) for rung in range(first, len(units))],
            "settings": asdict(self.settings),
            "gpus": self.gpus,
            "reduction": self.study.experiment.rungs.reduction,
        }

    def is_over(self) -> bool:
        """Return whether no trial is to be started any more."""
        if self.is_stopping() or self.halted is not None:
            return True
        return not (self._list_idle() or self._has_new_trials())

    def build_units(self, trial: Trial) -> list[dict[int, RungUnits]]:
        """Return a trial's units at all rungs, by seed."""
        if trial.number not in self._units:
            rungs = range(len(self.study.iterations))
            self._units[trial.number] = [
                self.study.build_rung_units(trial.parameters, rung) for rung in rungs
            ]
        return self._units[trial.number]

    def record_rung(self, number: int, measured: RungMeasurement, *, passes: bool) -> State:
        """Record what a trial reached at a rung, and decide what becomes of it.

        Args:
            number: number of the trial.
            measured: what it reached.
            passes: whether it is good enough to continue; the published settings always do.

        Returns:
            The state of the trial: "passed" if it continues.

        Raises:
            StoreError: the store cannot be written.
        """
        trial = self.journal.trials[number]
        current = trial.rungs[-1]
        if self._gives_way():
            return "stopped"
        if trial.finished or measured.rung < current.rung:
            # A worker died, and the one after it repeats rungs that are recorded. Their values are
            # the same, and ASHA has seen them.
            return trial.rungs[measured.rung].state
        units = self.build_units(trial)
        keys: list[str] = []
        for of_seed in units[current.rung].values():
            keys.append(of_seed.distill.key)
            keys.extend(evaluation.key for evaluation in of_seed.evaluations)
        result = RungResult(
            rung=current.rung,
            iterations=current.iterations,
            state=self._decide_state(trial, measured, passes),
            value=measured.value,
            values=measured.values,
            order=None if measured.value is None else self.journal.next_order(),
            units=tuple(keys),
            reason=measured.reason,
            seconds=measured.seconds,
        )
        trial = self.journal.record(number, result)
        self._log_result(number, result)
        if result.state == "failed":
            self.failed.add(number)
            if measured.fatal:
                self.halted = measured.reason
        if result.state in ("stopped", "diverged") and result.rung + 1 < len(units):
            self._remove_checkpoints(units[result.rung + 1])
        self.report_rung(trial, result)
        return result.state

    def release(self, number: int, error: str | None = None) -> None:
        """Record that no worker has a trial any more.

        Args:
            number: number of the trial.
            error: why, if the worker did not end the trial itself.
        """
        self.running.discard(number)
        trial = self.journal.trials[number]
        if error is not None and not trial.finished and number not in self.failed:
            rung = trial.rungs[-1].rung
            measured = RungMeasurement(rung=rung, outcome="failed", reason=error)
            self.record_rung(number, measured, passes=False)

    def _gives_way(self) -> bool:
        """Return whether the study is another search's by now, which ends this one."""
        if self.halted is None and self.is_taken_over():
            self.halted = (
                "another search took the study over while this one stood still; wait for it, then"
                " run the same command again"
            )
            _log.warning("study %s: %s", self.study.key, self.halted)
        return self.halted is not None and self.is_taken_over()

    def _decide_state(self, trial: Trial, measured: RungMeasurement, passes: bool) -> State:
        if measured.value is None:
            # Diverging is a property of the settings, to be learned from. Everything else that goes
            # wrong may go right the next time.
            is_divergence = measured.error == "DistillationError"
            at_iteration = " at iteration " in (measured.reason or "")
            return "diverged" if is_divergence and at_iteration else "failed"
        if measured.rung + 1 == len(self.study.iterations):
            return "complete"
        return "passed" if passes or trial.number == 0 else "stopped"

    def _log_result(self, number: int, result: RungResult) -> None:
        level = logging.WARNING if result.state == "failed" else logging.INFO
        reached = result.reason if result.value is None else f"accuracy {result.value:.4f}"
        message = "trial %d of study %s, rung %d (%d iterations): %s, %s"
        arguments = (number, self.study.key, result.rung, result.iterations, result.state, reached)
        _log.log(level, message, *arguments)

    def _choose_trial(self) -> Trial | None:
        """Return the next trial: one that is idle, else a new one; None if there is none."""
        idle = self._list_idle()
        if idle:
            return self.journal.trials[idle[0]]
        if not self._has_new_trials():
            return None
        number = self.journal.next_number()
        suggestion = suggest(self.study, number, self.journal.trials.values())
        if suggestion is None:
            # The grid has no further point: this is how many trials there are.
            _log.info("the grid of study %s ends after %d trials", self.study.key, number)
            self.trials = number
            return None
        return self.journal.add_trial(number, *suggestion)

    def _list_idle(self) -> list[int]:
        """Return the numbers of unfinished trials that no worker has."""
        idle = []
        for number, trial in self.journal.trials.items():
            is_taken = number in self.running or number in self.failed
            if not trial.finished and not is_taken:
                idle.append(number)
        return idle

    def _has_new_trials(self) -> bool:
        return len(self.journal.trials) < self.trials

    def _shares_units_with_running(self, trial: Trial) -> bool:
        """Return whether a worker computes the same units, as for a grid point that is published.

        A launch must give a unit to one worker at a time: the second worker would take the first
        one for dead and take over its lease.
        """
        sets = self._list_first_sets(trial.number)
        return any(sets & self._list_first_sets(number) for number in self.running)

    def _list_first_sets(self, number: int) -> set[str]:
        """Return the keys of a trial's sets at the first rung; equal settings have equal keys."""
        first_rung = self.build_units(self.journal.trials[number])[0]
        return {units.distill.key for units in first_rung.values()}

    def _remove_checkpoints(self, units: dict[int, RungUnits]) -> None:
        """Remove the checkpoints of sets that are no longer needed."""
        for of_seed in units.values():
            # Another search, with other settings of its rungs, may be computing the same set.
            if not leases.is_held(self.store.storage, of_seed.distill.key):
                self.store.remove_checkpoints(of_seed.distill)
