"""Start Ray on this machine or join a cluster, and turn its errors into messages."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.tune.error import TuneError
from rich.console import Console

from orchestrator.cluster._compat import (
    enable_token_auth,
    end_without_grace,
    shield_processes,
    start_few_processes,
)
from orchestrator.cluster.auth_token import keep_token_private
from orchestrator.cluster.head_node import check_reachable, find_running_cluster, watch_head_node
from orchestrator.cluster.ray_noise import divert_noise
from orchestrator.errors import LaunchError
from orchestrator.launch.private_folder import (
    choose_socket_place,
    end_processes,
    private_folder,
    sweep,
)
from orchestrator.text import find_last_line

_log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 100 * 2**20
"""Size of Ray's object store on this machine: trials and their results are small."""
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints even when it should be silent
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the launch has its own, which lets units checkpoint
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune's resume is not used
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
_OPTIONS: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
_RAY_ERRORS = (ConnectionError, ValueError, RuntimeError, OSError, RayError)
"""What `ray.init` raises."""


@contextmanager
def join_cluster(address: str | None, console: Console) -> Iterator[None]:
    """Have Ray during the block: the given cluster, one on this machine, or the one joined already.

    Args:
        address: "auto" or host:port of a cluster; None for one on this machine.
        console: where the user reads that the head node of a cluster is gone.

    Raises:
        LaunchError: Ray cannot be started, or there is no cluster at `address`.
    """
    _prepare_environment()
    if ray.is_initialized():
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(divert_noise())
        if address is None:
            stack.enter_context(_start_ray(console))
        else:
            found = _connect(address)
            stack.callback(ray.shutdown)
            stack.enter_context(watch_head_node(found, console))
        yield


@contextmanager
def translate_ray_errors() -> Iterator[None]:
    """Turn what Ray and Tune raise inside the block into a `LaunchError` that says what to do."""
    try:
        yield
    except (TuneError, RayError, OSError) as error:
        raise LaunchError(
            f"Ray broke down: {find_last_line(error)}; check that {tempfile.gettempdir()} has free"
            " space (TMPDIR names another folder) and that the cluster is up, then run the same"
            " command again: what is done stays done"
        ) from error


def _prepare_environment() -> None:
    os.environ.update(_ENVIRONMENT)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    # As ray.init does below, but some of Ray warns before that.
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Tune reports every worker that died; the launch shows that itself, and tries again.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


@contextmanager
def _start_ray(console: Console) -> Iterator[None]:
    """Have a Ray of its own on this machine, with its files in a private folder."""
    place = choose_socket_place(lambda line: _tell(console, line))
    _sweep(place, console)
    keep_token_private()
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(private_folder("ray", place))
            stack.callback(_stop_ray, folder)
            with shield_processes(), start_few_processes():
                # Ray lets everybody write to the folder that it is given: it gets one inside.
                ray.init(
                    "local",
                    _temp_dir=str(folder / "r"),
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE_BYTES,
                    **_OPTIONS,
                )
        except _RAY_ERRORS as error:
            raise LaunchError(
                f"Ray cannot be started on this machine: {find_last_line(error)}; check that"
                f" {place} has free space (RAY_TMPDIR names another folder)"
            ) from error
        _log.info("started Ray %s on this machine, files in %s", ray.__version__, folder)
        yield


def _stop_ray(folder: Path) -> None:
    """End the Ray of this launch, with everything that still writes to its folder."""
    end_without_grace()
    ray.shutdown()
    end_processes(folder)


def _sweep(place: Path, console: Console) -> None:
    """Remove what killed launches of this user have left on this machine."""
    for temporary in dict.fromkeys((place, Path(tempfile.gettempdir()))):
        for folder in sweep(temporary):
            _tell(console, f"Removed {folder}, which a killed launch had left.")


def _tell(console: Console, line: str) -> None:
    _log.info("%s", line)
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def _explain(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or find_last_line(error)


def _connect(address: str) -> str:
    """Connect to a cluster; return its host:port."""
    found = address
    try:
        found = find_running_cluster() if address == "auto" else address
        # Ray itself would try for minutes.
        check_reachable(found)
        if address == "auto" and not os.environ.get("RAY_ADDRESS"):
            enable_token_auth()  # as ray.init("auto") does
        ray.init(found, **_OPTIONS)
    except _RAY_ERRORS as error:
        raise LaunchError(
            f"no Ray cluster can be reached at {found}: {_explain(error)}; check that it is up"
            " (ray status), start one (ray start --head), or give the host:port of another; if it"
            " asks for a token, have it in ~/.ray/auth_token and set RAY_AUTH_MODE=token"
        ) from error
    _log.info("connected to Ray %s at %s", ray.__version__, found)
    return found
