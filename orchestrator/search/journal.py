"""What is known of a study: its trials and their rungs, in table `trials`, one file per trial."""

import itertools
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from orchestrator.search.study import Parameters, Study
from orchestrator.store import provenance
from orchestrator.store.store import Store

_log = logging.getLogger(__name__)

State = Literal["running", "passed", "stopped", "complete", "diverged", "failed"]
"""passed: continues at the next rung; stopped: worse than others at this rung; complete: finished
the last rung; diverged: its numbers became infinite or NaN, which ends a trial like a bad value;
failed: tried again by the next search."""

FINAL: tuple[State, ...] = ("stopped", "complete", "diverged")


@dataclass(frozen=True, kw_only=True, slots=True)
class RungResult:
    """What a trial reached at a rung."""

    rung: int
    iterations: int
    state: State = "running"
    value: float | None = None
    """Validation accuracy, mean over seeds."""
    values: tuple[float, ...] = ()
    """Validation accuracy of each seed."""
    order: int | None = None
    """Place among all values of the study, in the order in which they came."""
    units: tuple[str, ...] = ()
    reason: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One choice of the searched settings."""

    number: int
    origin: str
    """"published", or the sampler that suggested it."""
    parameters: Parameters
    rungs: tuple[RungResult, ...]
    """At least one; the state of the last is that of the trial."""

    @property
    def state(self) -> State:
        """The state of the trial."""
        return self.rungs[-1].state

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in FINAL

    @property
    def value(self) -> float | None:
        """Accuracy at full length; None if the trial did not get there."""
        return self.rungs[-1].value if self.state == "complete" else None


class NumberedResult(NamedTuple):
    """The result of a rung, and the number of its trial."""

    number: int
    result: RungResult


@dataclass
class Journal:
    """The trials of a study by number, in memory and in the store."""

    study: Study
    store: Store
    space: str
    run: str
    trials: dict[int, Trial] = field(default_factory=dict)

    @classmethod
    def open(cls, study: Study, store: Store, *, space: str = "", run: str = "") -> "Journal":
        """Read what the store knows.

        Args:
            study: the study.
            store: the store.
            space: name of the search space, for the record.
            run: name of this launch, for the record.

        Raises:
            TableError: the table is damaged.
        """
        return cls(study, store, space, run, read_trials(study, store))

    def add_trial(self, number: int, origin: str, parameters: Parameters) -> Trial:
        """Record a trial that starts.

        Raises:
            StoreError: the store cannot be written.
        """
        first = RungResult(rung=0, iterations=self.study.iterations[0])
        _log.info("trial %d of study %s starts with %s", number, self.study.key, dict(parameters))
        return self._write(
            Trial(number=number, origin=origin, parameters=dict(parameters), rungs=(first,))
        )

    def record(self, number: int, result: RungResult) -> Trial:
        """Record the result of a trial's current rung; a trial that passes is then at the next.

        Raises:
            StoreError: the store cannot be written.
        """
        trial = self.trials[number]
        rungs = [*trial.rungs[:-1], result]
        if result.state == "passed":
            following = result.rung + 1
            iterations = self.study.iterations[following]
            rungs.append(RungResult(rung=following, iterations=iterations))
        return self._write(
            Trial(
                number=number,
                origin=trial.origin,
                parameters=trial.parameters,
                rungs=tuple(rungs),
            )
        )

    def next_number(self) -> int:
        """Return the first number without a trial; there is a gap where a file was set aside."""
        return next(number for number in itertools.count() if number not in self.trials)

    def next_order(self) -> int:
        """Return the place of the next value."""
        places = [numbered.result.order or 0 for numbered in self.in_order()]
        return max(places, default=-1) + 1

    def in_order(self) -> list[NumberedResult]:
        """Return all results that have a value, in the order in which they came."""
        found = []
        for trial in self.trials.values():
            for result in trial.rungs:
                if result.order is not None:
                    found.append(NumberedResult(trial.number, result))
        return sorted(found, key=lambda numbered: numbered.result.order or 0)

    def _write(self, trial: Trial) -> Trial:
        """Write a trial: first to the store, so that memory never knows more than the store."""
        key = self.study.hash_trial_key(trial.number)
        rows = [self._build_row(key, trial, result) for result in trial.rungs]
        self.store.write_rows("trials", key, rows)
        self.trials[trial.number] = trial
        return trial

    def _build_row(self, key: str, trial: Trial, result: RungResult) -> dict[str, Any]:
        study = self.study
        return {
            "key": key,
            "study": study.key,
            "space": self.space,
            "experiment": study.experiment.name,
            "dataset": study.dataset.name,
            "dataset_version": study.dataset.version,
            "protocol": study.experiment.protocol,
            "split": "validation",
            "method": study.method,
            "ipc": study.ipc,
            "trial": trial.number,
            "origin": trial.origin,
            "parameters": json.dumps(dict(trial.parameters)),
            "rung": result.rung,
            "iterations": result.iterations,
            "state": result.state,
            "value": result.value,
            "seeds": list(study.experiment.seeds),
            "values": list(result.values),
            "order": result.order,
            "units": list(result.units),
            "reason": result.reason,
            "seconds": result.seconds,
            "run": self.run,
            "versions": json.dumps(provenance.read_versions()),
            "git_commit": provenance.read_git_commit(),
            "finished": datetime.now(UTC),
        }


def read_trials(study: Study, store: Store) -> dict[int, Trial]:
    """Return the trials of a study that a store has, by number.

    Raises:
        TableError: the table is damaged.
    """
    by_number: dict[int, list[Mapping[str, Any]]] = {}
    for row in store.read("trials").to_pylist():
        if row["study"] == study.key:
            by_number.setdefault(row["trial"], []).append(row)
    return {number: _read_trial(number, by_number[number]) for number in sorted(by_number)}


def _read_trial(number: int, rows: Iterable[Mapping[str, Any]]) -> Trial:
    ordered = sorted(rows, key=lambda row: int(row["rung"]))
    return Trial(
        number=number,
        origin=ordered[0]["origin"],
        parameters=json.loads(ordered[0]["parameters"]),
        rungs=tuple(map(_read_rung, ordered)),
    )


def _read_rung(row: Mapping[str, Any]) -> RungResult:
    return RungResult(
        rung=row["rung"],
        iterations=row["iterations"],
        state=row["state"],
        value=row["value"],
        values=tuple(row["values"] or ()),
        order=row["order"],
        units=tuple(row["units"] or ()),
        reason=row["reason"],
        seconds=row["seconds"],
    )
