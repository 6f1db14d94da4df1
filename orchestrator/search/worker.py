"""The function that a Tune trial of a search runs: its rungs, one after another.

Each rung is ordinary units in the ordinary store. After each, the scheduler decides whether the
trial continues.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.compute as pc

from orchestrator.execution.context import UnitProgress
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings, UnitResult
from orchestrator.execution.worker import DeviceGuard, prepare_process
from orchestrator.search.study import RungUnits
from orchestrator.store import run_log
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.units import KINDS, Distill, Evaluate, Unit, from_json, to_json

if TYPE_CHECKING:
    from orchestrator.cluster.dataset_transfer import DatasetArchives

_log = logging.getLogger(__name__)

Report = Callable[[Unit, UnitProgress], None]
EndIfLost = Callable[[Sequence[str], Sequence[UnitResult]], None]

BUSY_SECONDS = 1.0
"""Pause before checking again a unit that another process is working on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RungWork:
    """The units of a rung as JSON: plain values that travel to a worker."""

    rung: int
    distill: tuple[str, ...]
    """One per seed."""
    following: tuple[str | None, ...]
    """The same sets at the next rung; None at the last."""
    before: tuple[str, ...]
    """Keys of the same sets at the rung before; empty at the first."""
    evaluations: tuple[tuple[str, ...], ...]
    """One per seed and network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RungMeasurement:
    """How a rung ended."""

    rung: int
    outcome: Literal["value", "failed", "stopped"]
    value: float | None = None
    """Accuracy on held-out images, mean over seeds."""
    values: tuple[float, ...] = ()
    """Accuracy of each seed."""
    seconds: float = 0.0
    error: str | None = None
    """Class of the exception of a unit that failed."""
    reason: str | None = None
    fatal: bool = False
    """Whether every other trial would fail too."""


def build_rung_work(rung: int, rungs: Sequence[Mapping[int, RungUnits]]) -> RungWork:
    """Return the work of a rung.

    Args:
        rung: index of the rung.
        rungs: units of all rungs, by seed.
    """
    here = rungs[rung]
    following: list[str | None] = [None] * len(here)
    if rung + 1 < len(rungs):
        following = [to_json(rungs[rung + 1][seed].distill) for seed in here]
    evaluations = []
    for units in here.values():
        evaluations.append(tuple(map(to_json, units.evaluations)))
    return RungWork(
        rung=rung,
        distill=tuple(to_json(units.distill) for units in here.values()),
        following=tuple(following),
        before=tuple(rungs[rung - 1][seed].distill.key for seed in here) if rung else (),
        evaluations=tuple(evaluations),
    )


def run_search_trial(config: dict[str, Any], archives: "DatasetArchives | None" = None) -> None:
    """Climb the rungs of a trial in Tune, and report each of them.

    Args:
        config: what `StudyRun.next_config` returns.
        archives: on a cluster, the data sets that were sent to its nodes.
    """
    # Imported only here: planning a search needs this module, and must not load Ray.
    from ray import tune

    settings = TrialSettings(**config["settings"])
    run_log.attach(open_store(settings.store), settings.run)
    if archives is not None:
        from orchestrator.cluster.dataset_transfer import find_data_root

        if (reason := archives.software_mismatch()) is not None:
            _log.warning("refusing to compute: %s", reason)
            rung = config["work"][0]["rung"]
            refused = RungMeasurement(rung=rung, outcome="failed", reason=reason, fatal=True)
            tune.report(_build_tune_report(refused, config["reduction"]))
            return
        dataset = from_json(config["work"][0]["distill"][0]).dataset
        data_root = find_data_root(dataset, Path(settings.data_root), archives)
        settings = replace(settings, data_root=str(data_root))
    prepare_process(cpus=settings.cpus, gpus=config["gpus"])
    device = "cuda" if config["gpus"] else "cpu"
    guard = DeviceGuard(open_store(settings.store), settings.run, gpus=0)
    for work in config["work"]:

        def report(unit: Unit, progress: UnitProgress, rung: int = work["rung"]) -> None:
            working = KINDS[unit.kind].action
            # Tune wants the value of its scheduler in each report; this one is none.
            tune.report({"value": math.nan, "working": working, "at": rung, **asdict(progress)})

        measured = measure_rung(
            RungWork(**work), settings, device=device, end=guard.end_if_lost, report=report
        )
        run_log.flush()  # before the report, after which Tune may stop this process
        tune.report(_build_tune_report(measured, config["reduction"]))
        if measured.outcome != "value":
            return


def measure_rung(
    work: RungWork,
    settings: TrialSettings,
    *,
    device: str,
    end: EndIfLost | None = None,
    report: Report | None = None,
) -> RungMeasurement:
    """Compute the units of a rung that the store lacks, and average what it says about all.

    Args:
        work: the units.
        settings: settings of the trial.
        device: "cpu" or "cuda".
        end: ends this process if the result of a unit says that its GPU is lost.
        report: receives how far a unit is, for a display.
    """
    store = open_store(settings.store)
    units: list[Unit] = []
    for distill, following, evaluations in zip(
        work.distill, work.following, work.evaluations, strict=True
    ):
        for unit in map(from_json, (distill, *evaluations)):
            longer = None if following is None else from_json(following)
            result = _compute_or_wait(unit, longer, store, settings, device, report)
            if end is not None and device != "cpu":
                end([unit.key], [result])
            if result.status == "stopped":
                return RungMeasurement(rung=work.rung, outcome="stopped")
            if result.status in ("failed", "lost"):
                return _build_failed_measurement(work.rung, result)
            units.append(unit)
    return _average_accuracies(work, units, store)


def _compute_or_wait(
    unit: Unit,
    longer: Unit | None,
    store: Store,
    settings: TrialSettings,
    device: str,
    report: Report | None,
) -> UnitResult:
    """Compute a unit, or wait while another process does."""
    tell = None if report is None else partial(report, unit)
    while True:
        if isinstance(unit, Distill) and isinstance(longer, Distill):
            # Imported only here: it loads torch.
            from orchestrator.search.warm_start import advance

            advance(unit, longer, settings, device=device, report=tell)
        result = compute_unit(unit, settings, device=device, report=tell)
        if result.out_of_memory:
            _log.warning("%s is tried again with half the classes at once", unit.key)
            halved = replace(settings, chunk_share=0.5)
            result = compute_unit(unit, halved, device=device, report=tell)
        if result.status != "busy":
            return result
        if store.stop_signal(settings.run).is_set():
            return UnitResult(status="stopped")
        # The other process commits the unit, or dies, and then its lease becomes free.
        time.sleep(BUSY_SECONDS)


def _average_accuracies(work: RungWork, units: Sequence[Unit], store: Store) -> RungMeasurement:
    """Average the accuracies over networks, then over seeds."""
    by_seed: dict[int, list[float]] = {}
    seconds = 0.0
    for unit in units:
        if isinstance(unit, Evaluate):
            rows = store.read("evaluations", [unit.key])
            by_seed.setdefault(unit.seed, []).append(pc.mean(rows["accuracy"]).as_py())
        seconds += _sum_seconds(store, KINDS[unit.kind].table, [unit.key])
    # A set that continues a shorter one counts the shorter one's seconds as well.
    seconds -= _sum_seconds(store, "distillations", work.before)
    values = tuple(sum(found) / len(found) for found in by_seed.values())
    return RungMeasurement(
        rung=work.rung,
        outcome="value",
        value=sum(values) / len(values),
        values=values,
        seconds=max(0.0, seconds),
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


def _build_tune_report(measured: RungMeasurement, reduction: int) -> dict[str, Any]:
    """Return a report for Tune, which wants a number as the value whatever happened."""
    if measured.value is None:
        return asdict(measured) | {"value": math.nan}
    return asdict(measured) | {"resource": reduction**measured.rung}
