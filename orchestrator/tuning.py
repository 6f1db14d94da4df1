"""Ray and Ray Tune: starting or joining a cluster, checking it, and running a plan's units on it.

The only module that drives Ray. Tune's own resume is not used (it repeats finished trials): its experiment folder is
temporary, and what is done is read from the store.
"""

import dataclasses
import logging
import math
import os
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.error import TuneError
from ray.tune.experiment import Trial
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator import files
from orchestrator.context import Report
from orchestrator.launch import LaunchError
from orchestrator.plan import Schedule
from orchestrator.progress import Board
from orchestrator.searcher import MAX_DEATHS, PlanSearcher
from orchestrator.store import Store
from orchestrator.trials import Result, TrialSettings, note_failure, run_trial, trial_resources
from orchestrator.units import Unit, from_json

OBJECT_STORE_BYTES = 100 * 2**20
KNOCK_SECONDS = 10.0
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints even when told to be silent
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the launch has its own, which lets units checkpoint
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
}


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one trial gets, and how many run at once."""

    cpus: float
    gpus: float
    slots: int


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Have Ray for the duration of the block: the given cluster, one of this machine, or the one already joined.

    Raises:
        LaunchError: there is no cluster at `address`.
    """
    os.environ.update(_ENVIRONMENT)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a worker that died is tried again, or told by the board
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if ray.is_initialized():
        yield
        return
    own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES} if address is None else {}
    options: dict[str, Any] = {"logging_level": "error", "log_to_driver": False, **own}
    try:
        if address not in (None, "auto"):
            _knock(address)
        ray.init(address or "local", **options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        where = "on this machine" if address is None else f"at {address}"
        raise LaunchError(f"Ray cannot be reached {where}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody listens at host:port, for which Ray itself takes minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


def capacity(cpus: float | None, gpus: float | None) -> Capacity:
    """Decide what each trial gets on the joined cluster: one CPU, and a GPU where there are any, unless told otherwise.

    Raises:
        LaunchError: no node has that much.
    """
    nodes = [node["Resources"] for node in _nodes()]
    if gpus is None:
        gpus = 1.0 if any(node.get("GPU", 0) >= 1 for node in nodes) else 0.0
    cpus = 1.0 if cpus is None else cpus
    slots = sum(_slots(node, cpus, gpus) for node in nodes)
    if slots == 0:
        most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in ("CPU", "GPU")}
        raise LaunchError(
            f"no node has {cpus:g} CPUs and {gpus:g} GPUs for a trial; the most there is are {most['CPU']:g} CPUs and "
            f"{most['GPU']:g} GPUs; lower --cpus-per-trial or --gpus-per-trial"
        )
    return Capacity(cpus=cpus, gpus=gpus, slots=slots)


def check_store_is_shared(store: Store) -> None:
    """See a marker written here from every node of the joined cluster.

    Raises:
        LaunchError: a node does not see it.
    """
    nodes = _nodes()
    if len(nodes) < 2:
        return
    marker = store.root / f".marker.{uuid.uuid4().hex}"
    files.write(marker, b"shared\n")
    try:
        sees = ray.remote(num_cpus=0)(_sees)
        answers = {
            node["NodeManagerAddress"]: sees.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(str(marker))
            for node in nodes
        }
        for name, answer in answers.items():
            if not ray.get(answer, timeout=120):
                raise LaunchError(
                    f"node {name} does not see the store {store.root}; put it on storage that all nodes share, "
                    "under the same path"
                )
    except RayError as error:
        raise LaunchError(f"a node of the cluster cannot be asked for the store: {error}") from error
    finally:
        marker.unlink(missing_ok=True)


def run_units(
    schedule: Schedule,
    *,
    store: Store,
    settings: TrialSettings,
    room: Capacity,
    board: Board,
    stopping: Callable[[], bool],
) -> None:
    """Run all units of a schedule on the joined cluster; returns when none can be started any more.

    Raises:
        StoreError: the store cannot be read any more.
        LaunchError: Ray broke down, or its folder for temporary files cannot be written.
    """
    searcher = PlanSearcher(schedule, store=store, settings=settings, gpus=room.gpus, board=board, stopping=stopping)
    ahead = 2 if len(_nodes()) < 2 else room.slots + 16  # trials in wait for a node that joins
    with _ray_troubles(), tempfile.TemporaryDirectory(prefix="iid-tune-", ignore_cleanup_errors=True) as folder:
        tune.Tuner(
            tune.with_resources(run_trial, _placement),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=room.slots + ahead,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=settings.run,
                storage_path=folder,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
                callbacks=[BoardCallback(board, store, settings.run)],
            ),
        ).fit()


@contextmanager
def _ray_troubles() -> Iterator[None]:
    try:
        yield
    except (TuneError, RayError, OSError) as error:
        raise LaunchError(
            f"Ray broke down: {_last_line(error)}; see that {tempfile.gettempdir()} has room (TMPDIR names another "
            "folder) and that the cluster is up, then run the same command again: what is done stays done"
        ) from error


class BoardCallback(tune.Callback):
    """Tells the board what Tune's trials do."""

    def __init__(self, board: Board, store: Store, run: str) -> None:
        self._board = board
        self._store = store
        self._run = run

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Note a unit that a worker has."""
        self._board.started(_unit(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: object
    ) -> None:
        """Note how far it is, or how it ended."""
        if result.get("status") == "running":
            self._board.progressed(_unit(trial), Report(**{name: result[name] for name in ("step", "total", "values")}))
        elif "status" in result:
            self._board.finished(_unit(trial), _result(result))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Note a worker that died."""
        self._board.died(_unit(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Note a unit whose workers died again and again."""
        error = trial.get_error()
        reason = f"its worker died {trial.num_failures} times; the last time: {_last_line(error)}"
        result = Result(status="failed", error="WorkerDied", reason=reason, traceback=str(error))
        self._board.finished(_unit(trial), result)
        note_failure(_unit(trial), self._store, run=self._run, device="", result=result)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a resume that we do not use


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _slots(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    by_cpu = math.floor(node.get("CPU", 0) / cpus)
    if not gpus:
        return by_cpu
    return min(by_cpu, math.floor(node.get("GPU", 0)) * math.floor(1 / gpus))


def _sees(marker: str) -> bool:
    return Path(marker).exists()


def _placement(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([trial_resources(config)])


def _trial_name(trial: Trial) -> str:
    return str(trial.trial_id)


def _unit(trial: Trial) -> Unit:
    return from_json(trial.config["unit"])


def _result(values: Mapping[str, Any]) -> Result:
    fields: dict[str, Any] = {field.name: values[field.name] for field in dataclasses.fields(Result)}
    return Result(**fields)


def _last_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unknown"
