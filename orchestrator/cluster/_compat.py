"""Private names of Ray, the only ones that this project uses, each with a fallback.

Private names may go away with any release of Ray. What a fallback cannot do is said where it is.
"""

import logging
import os
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
    file = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"
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
