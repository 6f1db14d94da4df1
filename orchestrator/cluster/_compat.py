"""Private names of Ray, the only ones that this project uses, each with a fallback.

Private names may go away with any release of Ray. What a fallback cannot do is said where it is.
"""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from distill_core.paths import check_path

_log = logging.getLogger(__name__)

TOKEN_FILE = Path(".ray") / "auth_token"
"""Where Ray keeps its token, below the home folder."""


def find_private(path: str) -> Any:
    """Return the object with a dotted name, such as `ray._private.services.find_bootstrap_address`.

    None if the installed Ray has no such module or name.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        _log.info("this Ray has no %s, so a fallback takes its place: %s", path, error)
        return None


def find_started_cluster() -> str | None:
    """Return the address of the cluster that the last `ray start` on this machine belongs to.

    The fallback reads the file that `ray start` writes. It finds nothing if Ray was started with
    another `--temp-dir`.
    """
    find = find_private("ray._private.services.find_bootstrap_address")
    if find is not None:
        return find(None) or None
    temporary = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    file = Path(temporary) / "ray" / "ray_current_cluster"
    try:
        return file.read_text().strip() or None
    except OSError as error:
        _log.info("no cluster was started on this machine, as far as %s says: %s", file, error)
        return None


def enable_token_auth() -> None:
    """Use the token of this user, if there is one and RAY_AUTH_MODE does not say otherwise.

    `ray.init("auto")` does so; `ray.init` with an address does not. The fallback has no effect in
    a process that has already asked Ray for its token.
    """
    enable = find_private(
        "ray._private.authentication.authentication_token_setup"
        ".maybe_enable_token_auth_if_token_available"
    )
    if enable is not None:
        enable(warn_if_disabled=False)
        return
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named or check_path(f"~/{TOKEN_FILE}", "HOME").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def forget_metrics(trial: Any) -> None:
    """Drop what a finished trial of Tune has reported: Tune keeps all trials to the end.

    Without these attributes a launch of very many units takes more memory.
    """
    metadata = getattr(trial, "run_metadata", None)
    for name in ("metric_analysis", "metric_n_steps"):
        values = getattr(metadata, name, None)
        if isinstance(values, dict):
            values.clear()


@contextmanager
def keep_handlers() -> Iterator[None]:
    """Put this process's handlers of signals back after the block; `import ray` replaces one."""
    handlers = {number: signal.getsignal(number) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            try:
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
            except ValueError as error:  # Python sets handlers in the main thread only
                _log.debug("the handler of signal %d stays: %s", number, error)


@contextmanager
def shield_processes() -> Iterator[None]:
    """Start the processes of Ray inside the block with SIGTERM and SIGHUP blocked.

    Service managers send SIGTERM to all processes of a job, and a terminal that closes sends
    SIGHUP. Ray would end at once, and the units could not save checkpoints. What these processes
    start inherits it. The handlers of this process, which Ray may replace, are put back.

    Without the private name Ray ends first, as it did, and units continue from their last
    checkpoints.
    """
    name = "ray._private.services.start_ray_process"
    start = find_private(name)
    services: Any = import_module("ray._private.services") if start is not None else None

    def start_blocked(*arguments: Any, **options: Any) -> Any:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            return start(*arguments, **options)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    if services is not None:
        services.start_ray_process = start_blocked
    try:
        with keep_handlers():
            yield
    finally:
        if services is not None:
            services.start_ray_process = start


@contextmanager
def start_few_processes() -> Iterator[None]:
    """Start Ray inside the block without autoscaler, log monitor and dashboard.

    A launch on one machine uses none of them, and they take half of the time to start. Without
    the private names they are started.
    """
    node = find_private("ray._private.node.Node")
    unused = {
        "start_monitor": _start_nothing,
        "start_log_monitor": _start_nothing,
        "start_api_server": _start_no_api_server,
    }
    before = {name: getattr(node, name) for name in unused if hasattr(node, name)}
    for name in before:
        setattr(node, name, unused[name])
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(node, name, method)


def _start_nothing(node: Any, *arguments: Any, **options: Any) -> None:
    """Stand for a method that starts a process."""


def _start_no_api_server(node: Any, *arguments: Any, **options: Any) -> None:
    node._webui_url = None


def end_without_grace() -> None:
    """Have `ray.shutdown` kill Ray's own processes: they do not hear SIGTERM (see above).

    Without the private name it first waits a second for each of them.
    """
    node = find_private("ray._private.worker._global_node")
    kill = getattr(node, "kill_all_processes", None)
    if kill is not None:
        node.kill_all_processes = partial(_kill_at_once, kill)


def _kill_at_once(kill: Any, **options: Any) -> None:
    kill(**{**options, "allow_graceful": False})


_STOPS = (signal.SIGTERM, signal.SIGHUP)
