"""What a Tune trial of a search does: its rungs one after another, each as ordinary units in the
ordinary store.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.compute as pc

from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings, UnitResult
from orchestrator.execution.worker import prepare_process
from orchestrator.search.study import RungUnits
from orchestrator.store import run_log
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.units import KINDS, Distill, Evaluate, Unit, from_json, to_json

if TYPE_CHECKING:
    from orchestrator.cluster.dataset_transfer import DatasetArchives

BUSY_SECONDS = 1.0
"""Pause before a unit that somebody else is working on is looked at again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RungWork:
    """A rung's units, in plain values that travel: JSON of each unit."""

    rung: int
    distill: tuple[str, ...]
    """One a seed."""
    following: tuple[str | None, ...]
    """The same at the next rung; None at the last."""
    before: tuple[str, ...]
    """Keys of the same at the rung before; empty at the first."""
    evaluations: tuple[tuple[str, ...], ...]
    """One a seed and network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RungMeasurement:
    """How a rung ended."""

    rung: int
    outcome: Literal["value", "failed", "stopped"]
    value: float | None = None
    values: tuple[float, ...] = ()
    seconds: float = 0.0
    error: str | None = None
    reason: str | None = None
    fatal: bool = False


def build_rung_work(rung: int, rungs: Sequence[Mapping[int, RungUnits]]) -> RungWork:
    """Write down the work of a rung; `rungs` are the units of all."""
    here = rungs[rung]
    after = rungs[rung + 1] if rung + 1 < len(rungs) else None
    return RungWork(
        rung=rung,
        distill=tuple(to_json(units.distill) for units in here.values()),
        following=tuple(to_json(after[seed].distill) if after else None for seed in here),
        before=tuple(rungs[rung - 1][seed].distill.key for seed in here) if rung else (),
        evaluations=tuple(tuple(map(to_json, units.evaluations)) for units in here.values()),
    )


def run_search_trial(config: dict[str, Any], archives: "DatasetArchives | None" = None) -> None:
    """Climb the rungs of a trial in Tune, reporting each; the scheduler ends it where it is not
    worth going on.

    Args:
        config: what `StudyRun.next_config` returns.
        parcels: on a cluster, the data sets that were sent to its nodes.
    """
    from ray import tune

    settings = TrialSettings(**config["settings"])
    run_log.attach(open_store(settings.store), settings.run)
    if archives is not None:
        from orchestrator.cluster.dataset_transfer import find_data_root

        if (reason := archives.software_mismatch()) is not None:
            refused = RungMeasurement(
                rung=config["work"][0]["rung"], outcome="failed", reason=reason, fatal=True
            )
            tune.report(_build_tune_report(refused, config["reduction"]))
            return
        dataset = from_json(config["work"][0]["distill"][0]).dataset
        settings = replace(
            settings, data_root=str(find_data_root(dataset, Path(settings.data_root), archives))
        )
    prepare_process(cpus=settings.cpus, gpus=config["gpus"])
    for work in config["work"]:
        measured = measure_rung(
            RungWork(**work), settings, device="cuda" if config["gpus"] else "cpu"
        )
        run_log.flush()  # before the report, after which Tune may stop this process
        tune.report(_build_tune_report(measured, config["reduction"]))
        if measured.outcome != "value":
            return


def _build_tune_report(measured: RungMeasurement, reduction: int) -> dict[str, Any]:
    """Return what Tune is told; it wants a number for the value whatever happened."""
    if measured.value is None:
        return asdict(measured) | {"value": math.nan}
    return asdict(measured) | {"resource": reduction**measured.rung}


def measure_rung(work: RungWork, settings: TrialSettings, *, device: str) -> RungMeasurement:
    """Compute a rung's units that the store lacks, and return what it says of them all."""
    store = open_store(settings.store)
    units: list[Unit] = []
    for distill, following, evaluations in zip(
        work.distill, work.following, work.evaluations, strict=True
    ):
        for unit in map(from_json, (distill, *evaluations)):
            longer = None if following is None else from_json(following)
            result = _compute_or_wait(unit, longer, store, settings, device)
            if result.status == "stopped":
                return RungMeasurement(rung=work.rung, outcome="stopped")
            if result.status == "failed":
                return _build_failed_measurement(work.rung, result)
            units.append(unit)
    return _average_accuracies(work, units, store)


def _compute_or_wait(
    unit: Unit, longer: Unit | None, store: Store, settings: TrialSettings, device: str
) -> UnitResult:
    """Compute a unit, waiting while somebody else does."""
    while True:
        if isinstance(unit, Distill) and isinstance(longer, Distill):
            from orchestrator.search.warm_start import advance

            advance(unit, longer, settings, device=device)
        result = compute_unit(unit, settings, device=device)
        if result.status != "busy":
            return result
        if store.stop_signal(settings.run).is_set():
            return UnitResult(status="stopped")
        time.sleep(BUSY_SECONDS)


def _average_accuracies(work: RungWork, units: Sequence[Unit], store: Store) -> RungMeasurement:
    """Average the accuracies over networks, then over seeds; a set's seconds count those of the
    shorter one again.
    """
    by_seed: dict[int, list[float]] = {}
    for unit in units:
        if isinstance(unit, Evaluate):
            rows = store.read("evaluations", [unit.key])
            by_seed.setdefault(unit.seed, []).append(pc.mean(rows["accuracy"]).as_py())
    values = tuple(sum(found) / len(found) for found in by_seed.values())
    spent = sum(_sum_seconds(store, KINDS[unit.kind].table, [unit.key]) for unit in units)
    seconds = max(0.0, spent - _sum_seconds(store, "distillations", work.before))
    return RungMeasurement(
        rung=work.rung,
        outcome="value",
        value=sum(values) / len(values),
        values=values,
        seconds=seconds,
    )


def _sum_seconds(store: Store, table: str, keys: Sequence[str]) -> float:
    return float(pc.sum(store.read(table, keys)["seconds"]).as_py() or 0.0)


def _build_failed_measurement(rung: int, result: UnitResult) -> RungMeasurement:
    return RungMeasurement(
        rung=rung,
        outcome="failed",
        error=result.error,
        reason=result.reason,
        fatal=result.fatal,
    )
