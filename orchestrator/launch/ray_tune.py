"""Run a plan's units as trials of Ray Tune, and follow what becomes of them.

Tune's own resume is not used, since it repeats finished trials: its experiment folder is temporary,
and what is done is read from the store.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from orchestrator.cluster._compat import forget_metrics
from orchestrator.cluster.preflight import is_cluster
from orchestrator.cluster.resources import Capacity
from orchestrator.errors import StoreError
from orchestrator.execution.commit import record_failure
from orchestrator.execution.context import UnitProgress
from orchestrator.execution.lost_devices import DeviceNotes, release_name
from orchestrator.execution.trial import TrialSettings, UnitResult, build_trial_resources
from orchestrator.execution.worker import run_trial
from orchestrator.launch.join_cluster import translate_ray_errors
from orchestrator.launch.plan_searcher import MAX_DEATHS, PlanSearcher
from orchestrator.launch.private_folder import private_folder
from orchestrator.launch.progress import LaunchProgress
from orchestrator.planning.ready_queue import ReadyQueue
from orchestrator.store import run_log
from orchestrator.store.store import Store
from orchestrator.text import find_last_line
from orchestrator.units import Unit, from_json

_log = logging.getLogger(__name__)

AHEAD_ON_CLUSTER = 16
"""Trials that wait for a node to join."""
AHEAD_ON_MACHINE = 2
"""Trials that wait for one to end."""


def run_units(
    queue: ReadyQueue,
    *,
    store: Store,
    settings: TrialSettings,
    capacity: Capacity,
    progress: LaunchProgress,
    stopping: Callable[[], bool],
    trial: Callable[[dict[str, Any]], None] = run_trial,
) -> None:
    """Run all units of a queue on the joined cluster, until none can be started anymore.

    Args:
        queue: which unit is ready, which is blocked.
        store: where results go.
        settings: shared by all trials.
        capacity: what each trial gets, and how many run at once.
        progress: records what happens.
        stopping: returns whether the launch is to stop.
        trial: what a worker does with a trial's configuration.

    Raises:
        StoreError: the store cannot be read.
        LaunchError: Ray broke down, or its folder for temporary files cannot be written.
    """
    searcher = PlanSearcher(
        queue,
        store=store,
        settings=settings,
        gpus=capacity.gpus,
        progress=progress,
        stopping=stopping,
        slots=capacity.slots if capacity.gpus else 0,
    )
    # Tune asks for the next trial only when it may have one more; those beyond the slots wait for
    # resources, and start at once when a trial ends or a node joins.
    ahead = capacity.slots + AHEAD_ON_CLUSTER if is_cluster() else AHEAD_ON_MACHINE
    with (
        _forget_devices(store, settings.run),
        translate_ray_errors(),
        private_folder("tune") as folder,
    ):
        tune.Tuner(
            tune.with_resources(trial, _build_placement),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=capacity.slots + ahead,
                reuse_actors=True,
                trial_name_creator=_name_trial,
                trial_dirname_creator=_name_trial,
            ),
            run_config=tune.RunConfig(
                name=settings.run,
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
                callbacks=[ProgressCallback(progress, store, settings.run)],
            ),
        ).fit()


@contextmanager
def _forget_devices(store: Store, run: str) -> Iterator[None]:
    """Remove what workers noted about GPUs, at the end."""
    try:
        yield
    finally:
        DeviceNotes(store, run).forget()
        try:
            store.storage.remove(release_name(run))
        except StoreError as error:
            _log.warning("a note stays: %s", error)


class ProgressCallback(tune.Callback):
    """Records what becomes of the trials of Tune."""

    def __init__(self, progress: LaunchProgress, store: Store, run: str) -> None:
        self._progress = progress
        self._store = store
        self._run = run

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        """Note the units that a worker starts with."""
        units = _read_units(trial)
        for unit in units:
            self._progress.record_start(unit, len(units))

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: object,
    ) -> None:
        """Note how far one of its units is, or how all of them ended."""
        if result.get("results"):  # none of a trial whose units were handed back
            for unit, ended in zip(_read_units(trial), result["results"], strict=True):
                self._progress.record_result(unit, UnitResult(**ended))
        elif "place" in result:
            report = UnitProgress(**{name: result[name] for name in ("step", "total", "values")})
            self._progress.record_progress(
                from_json(trial.config["units"][result["place"]]), report
            )

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        """Drop what nobody reads anymore: Tune keeps its trials to the end, which may be many."""
        forget_metrics(trial)
        trial.config = {}
        # Behind a URL the lines of this process would otherwise be lost if it is killed.
        run_log.flush()

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        """Note a worker that died, which Tune starts again."""
        self._progress.workers_died += 1
        units = _read_units(trial)
        if len(units) == 1:
            self._progress.record_death(units[0])
        else:
            # Which unit of a cohort is to blame cannot be known.
            self._split_cohort(units)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        """Note a unit whose workers died too often; the units of a cohort are tried alone."""
        self._progress.workers_died += 1
        units = _read_units(trial)
        if len(units) > 1:
            self._split_cohort(units)
            return
        (unit,) = units
        error = trial.get_error()
        last = f"; the last time: {find_last_line(error)}" if error else ""
        reason = f"its worker died {trial.num_failures} times{last}"
        result = UnitResult(
            status="failed", error="WorkerDied", reason=reason, traceback=str(error)
        )
        self._progress.record_result(unit, result)
        record_failure(unit, self._store, run=self._run, device="", result=result)

    def _split_cohort(self, units: list[Unit]) -> None:
        _log.warning("the worker of a cohort of %d units died", len(units))
        for unit in units:
            self._progress.record_result(unit, UnitResult(status="split"))

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks for its own resume, which is not used.
        return {}


def _build_placement(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([build_trial_resources(config)])


def _name_trial(trial: Trial) -> str:
    return str(trial.trial_id)


def _read_units(trial: Trial) -> list[Unit]:
    return [from_json(text) for text in trial.config["units"]]
