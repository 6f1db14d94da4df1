"""What is known of a study: its trials and their rungs, kept in table `trials`, one file a
trial.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from orchestrator.search.study import Parameters, Study
from orchestrator.store import provenance
from orchestrator.store.store import Store

State = Literal["running", "passed", "stopped", "complete", "diverged", "failed"]
"""passed: goes on to the next rung; stopped: worse than others there; complete: was at the last
one; diverged: its numbers left the finite, which ends a trial as its own kind of result; failed: is
tried again by the next search."""

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
    """Of each seed."""
    order: int | None = None
    """Place among all values of the study."""
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
    """At least one; the last says how it stands."""

    @property
    def state(self) -> State:
        """How it stands."""
        return self.rungs[-1].state

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in FINAL

    @property
    def value(self) -> float | None:
        """Accuracy of the finished sets; None if it did not come so far."""
        return self.rungs[-1].value if self.state == "complete" else None


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

        Raises:
            TableError: the table is damaged.
        """
        return cls(study, store, space, run, read_trials(study, store))

    def begin(self, number: int, origin: str, parameters: Parameters) -> Trial:
        """Note a trial that starts."""
        first = RungResult(rung=0, iterations=self.study.iterations[0])
        return self._keep(
            Trial(number=number, origin=origin, parameters=dict(parameters), rungs=(first,))
        )

    def note(self, number: int, result: RungResult) -> Trial:
        """Note the result of the rung at which a trial is; one that passes is at the next one then.

        Raises:
            StoreError: the store cannot be written.
        """
        trial = self.trials[number]
        rungs = (*trial.rungs[:-1], result)
        if result.state == "passed":
            rungs = (
                *rungs,
                RungResult(rung=result.rung + 1, iterations=self.study.iterations[result.rung + 1]),
            )
        return self._keep(
            Trial(number=number, origin=trial.origin, parameters=trial.parameters, rungs=rungs),
        )

    def next_order(self) -> int:
        """Return the place of the next value."""
        return len(self.in_order())

    def in_order(self) -> list[tuple[int, RungResult]]:
        """Return all values with their trials' numbers, in the order in which they came."""
        found = [
            (t.number, r) for t in self.trials.values() for r in t.rungs if r.order is not None
        ]
        return sorted(found, key=lambda pair: pair[1].order or 0)

    def _keep(self, trial: Trial) -> Trial:
        key = self.study.hash_trial_key(trial.number)
        rows = [self._row(key, trial, result) for result in trial.rungs]
        self.store.write_rows("trials", key, rows)
        self.trials[trial.number] = trial
        return trial

    def _row(self, key: str, trial: Trial, result: RungResult) -> dict[str, Any]:
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
            "versions": json.dumps(provenance.versions()),
            "git_commit": provenance.git_commit(),
            "finished": datetime.now(UTC),
        }


def read_trials(study: Study, store: Store) -> dict[int, Trial]:
    """Return the trials that a store has of a study, by number.

    Raises:
        TableError: the table is damaged.
    """
    rows = [row for row in store.read("trials").to_pylist() if row["study"] == study.key]
    by_number: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_number.setdefault(row["trial"], []).append(row)
    return {number: _trial(number, by_number[number]) for number in sorted(by_number)}


def _trial(number: int, rows: Iterable[Mapping[str, Any]]) -> Trial:
    ordered = sorted(rows, key=lambda row: int(row["rung"]))
    return Trial(
        number=number,
        origin=ordered[0]["origin"],
        parameters=json.loads(ordered[0]["parameters"]),
        rungs=tuple(
            RungResult(
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
            for row in ordered
        ),
    )
