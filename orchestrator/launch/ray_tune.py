"""Ray and Ray Tune: starting or joining a cluster, and running a plan's units on it.

The only module that drives Tune. Tune's own resume is not used (it repeats finished trials): its
experiment folder is temporary, and what is done is read from the store.
"""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.error import TuneError
from ray.tune.experiment import Trial
from rich.console import Console

from orchestrator.cluster._compat import enable_token_auth, forget_metrics
from orchestrator.cluster.auth_token import keep_token_private
from orchestrator.cluster.head_node import check_reachable, find_running_cluster, watch_head_node
from orchestrator.cluster.preflight import is_cluster
from orchestrator.cluster.resources import Capacity
from orchestrator.errors import LaunchError
from orchestrator.execution.commit import record_failure
from orchestrator.execution.context import UnitProgress
from orchestrator.execution.trial import TrialSettings, UnitResult, build_trial_resources
from orchestrator.execution.worker import run_trial
from orchestrator.launch.plan_searcher import MAX_DEATHS, PlanSearcher
from orchestrator.launch.progress import LaunchProgress
from orchestrator.planning.ready_queue import ReadyQueue
from orchestrator.store.store import Store
from orchestrator.text import find_last_line
from orchestrator.units import Unit, from_json

OBJECT_STORE_BYTES = 100 * 2**20
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints even when told to be silent
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the launch has its own, which lets units checkpoint
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
}
_DEFAULTS = {
    # As `distill_core.runtime.device.keep_memory`, which workers would call too late: their units
    # run in threads.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "2147483647",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What a user may have set otherwise."""


@contextmanager
def join_cluster(address: str | None, console: Console) -> Iterator[None]:
    """Have Ray for the duration of the block: the given cluster, one of this machine, or the one
    already joined.

    Args:
        address: "auto" or host:port of a cluster; None for one of this machine.
        console: where it is said when the head of a joined cluster is gone.

    Raises:
        LaunchError: there is no cluster at `address`.
    """
    os.environ.update(_ENVIRONMENT)
    logging.getLogger("ray").setLevel(
        logging.ERROR
    )  # as ray.init below; some of it warns before that
    logging.getLogger("ray.tune").setLevel(
        logging.CRITICAL
    )  # a worker that died is tried again, or told by the progress
    os.environ.update({name: value for name, value in _DEFAULTS.items() if name not in os.environ})
    if ray.is_initialized():
        yield
        return
    found = address
    own = (
        {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
        if address is None
        else {}
    )
    options: dict[str, Any] = {"logging_level": "error", "log_to_driver": False, **own}
    try:
        if address is None:
            keep_token_private()
        else:
            found = find_running_cluster() if address == "auto" else address
            check_reachable(found)
            if address == "auto" and not os.environ.get("RAY_ADDRESS"):
                enable_token_auth()
        ray.init(found or "local", **options)
    except (ConnectionError, ValueError, RuntimeError, OSError, RayError) as error:
        if address is None:
            raise LaunchError(f"Ray cannot be started on this machine: {error}") from error
        raise LaunchError(
            f"no Ray cluster can be reached at {found}: {error}; see that it is up (ray status),"
            " start one (ray start --head), or give the host:port of another; if it asks for a"
            " token have it in ~/.ray/auth_token and set RAY_AUTH_MODE=token"
        ) from error
    try:
        with nullcontext() if found is None else watch_head_node(found, console):
            yield
    finally:
        ray.shutdown()


def run_units(
    schedule: ReadyQueue,
    *,
    store: Store,
    settings: TrialSettings,
    capacity: Capacity,
    progress: LaunchProgress,
    stopping: Callable[[], bool],
    trial: Callable[[dict[str, Any]], None] = run_trial,
) -> None:
    """Run all units of a schedule on the joined cluster; returns when none can be started any more.

    Args:
        schedule: what is ready, what is blocked.
        store: where results go.
        settings: shared by all trials.
        capacity: what each trial gets, and how many run at once.
        progress: told what happens.
        stopping: asked whether the launch is to stop.
        trial: what a worker does with a trial's configuration.

    Raises:
        StoreError: the store cannot be read any more.
        LaunchError: Ray broke down, or its folder for temporary files cannot be written.
    """
    searcher = PlanSearcher(
        schedule,
        store=store,
        settings=settings,
        gpus=capacity.gpus,
        progress=progress,
        stopping=stopping,
    )
    ahead = capacity.slots + 16 if is_cluster() else 2  # trials in wait for a node that joins
    with (
        _translate_ray_errors(),
        tempfile.TemporaryDirectory(prefix="iid-tune-", ignore_cleanup_errors=True) as folder,
    ):
        tune.Tuner(
            tune.with_resources(trial, _placement),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=capacity.slots + ahead,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=settings.run,
                storage_path=folder,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
                callbacks=[ProgressCallback(progress, store, settings.run)],
            ),
        ).fit()


@contextmanager
def _translate_ray_errors() -> Iterator[None]:
    try:
        yield
    except (TuneError, RayError, OSError) as error:
        raise LaunchError(
            f"Ray broke down: {find_last_line(error)}; see that {tempfile.gettempdir()} has room (TMPDIR"
            " names another folder) and that the cluster is up, then run the same command again:"
            " what is done stays done"
        ) from error


class ProgressCallback(tune.Callback):
    """Tells the progress what Tune's trials do."""

    def __init__(self, progress: LaunchProgress, store: Store, run: str) -> None:
        self._progress = progress
        self._store = store
        self._run = run

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        """Note the units that a worker has."""
        units = _units(trial)
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
        if "results" in result:
            for unit, ended in zip(_units(trial), result["results"], strict=True):
                self._progress.record_result(unit, UnitResult(**ended))
        elif "place" in result:
            report = UnitProgress(**{name: result[name] for name in ("step", "total", "values")})
            self._progress.record_progress(
                from_json(trial.config["units"][result["place"]]), report
            )

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        """Drop what nobody reads any more: Tune keeps its trials to the end, and a launch may have
        very many.
        """
        forget_metrics(trial)
        trial.config = {}

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        """Note a worker that died; which unit of a cohort is to blame cannot be known."""
        self._progress.workers_died += 1
        units = _units(trial)
        for unit in units:
            if len(units) == 1:
                self._progress.record_death(unit)
            else:
                self._progress.record_result(unit, UnitResult(status="split"))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        """Note a unit whose workers died again and again; those of a cohort are tried alone."""
        self._progress.workers_died += 1
        units = _units(trial)
        if len(units) > 1:
            for unit in units:
                self._progress.record_result(unit, UnitResult(status="split"))
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

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a resume that we do not use


def _placement(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([build_trial_resources(config)])


def _trial_name(trial: Trial) -> str:
    return str(trial.trial_id)


def _units(trial: Trial) -> list[Unit]:
    return [from_json(text) for text in trial.config["units"]]
