"""Folders for temporary files of a launch: private, short enough for sockets, gone afterwards.

A folder names its owner, a process on this machine. So what a killed launch has left, its folder
and processes of Ray that still write to it, can be told from what another launch is using.
"""

import json
import logging
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import LaunchError
from orchestrator.store.processes import find_process_start, identify_host

_log = logging.getLogger(__name__)

PREFIX = "iid-"
OWNER = "owner.json"
SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""Longest path of a Unix socket."""
_SOCKET = "/iid-ray-12345678/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""Longest path of a socket of Ray below the folder for temporary files."""
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
_REMOVALS = 3
"""Attempts to remove a folder to which a process may just be writing."""


@contextmanager
def private_folder(name: str, place: Path | None = None) -> Iterator[Path]:
    """Give a new folder that only this user can enter, and remove it at the end.

    Args:
        name: part of its name, such as "tune".
        place: where to make it; the folder for temporary files by default.

    Raises:
        OSError: it cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=place))
    try:
        owner = {"host": identify_host(), "pid": os.getpid(), "started": _find_own_start()}
        (folder / OWNER).write_text(json.dumps(owner))
        yield folder
    finally:
        remove(folder)


def choose_socket_place(report: Callable[[str], None]) -> Path:
    """Return a folder for temporary files whose name leaves room for the sockets of Ray.

    That is the one that RAY_TMPDIR or TMPDIR names. Jobs of a cluster often have one whose name is
    too long; then it is a short one, which the user is told.

    Raises:
        LaunchError: there is none.
    """
    wished = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()).absolute()
    reason = _find_obstacle(wished)
    if reason is None:
        return wished
    for other in map(Path, _SHORT_FOLDERS):
        if other != wished and _find_obstacle(other) is None:
            report(f"Ray keeps its temporary files in {other}, since {wished} {reason}.")
            return other
    raise LaunchError(
        f"Ray cannot be started on this machine: {wished} {reason}, and none of"
        f" {', '.join(_SHORT_FOLDERS)} can be used; name a short folder of yours with RAY_TMPDIR"
    )


def sweep(place: Path) -> list[Path]:
    """Remove the folders that killed launches of this user on this machine have left in a folder.

    Processes of this user that still have files open there are ended first.
    """
    swept = []
    for folder in sorted(place.glob(f"{PREFIX}*-*")):
        try:
            owner = json.loads((folder / OWNER).read_text())
            if folder.stat().st_uid == os.getuid() and _is_gone(owner):
                end_processes(folder)
                remove(folder)
                swept.append(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.debug("%s is left alone: %s", folder, error)
    return swept


def end_processes(folder: Path) -> int:
    """Kill the processes of this user, other than this one, that have files of a folder open.

    Return how many there were; none are found where the system has no /proc.
    """
    ended = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            pid = int(entry.name)
            if pid == os.getpid() or entry.stat().st_uid != os.getuid():
                continue
            if _has_open_files(entry, folder):
                os.kill(pid, signal.SIGKILL)
                ended += 1
                _log.info("ended process %d, which wrote to %s", pid, folder)
        except OSError as error:  # it has ended, or shows nothing of itself
            _log.debug("process %s is left alone: %s", entry.name, error)
    return ended


def remove(folder: Path) -> None:
    """Remove a folder; what cannot be removed is left to the next launch."""
    for _ in range(_REMOVALS):
        # Others may write to it. Its owner goes last, so that what stays can be told later.
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name != OWNER:
                shutil.rmtree(path, ignore_errors=True)
                path.unlink(missing_ok=True) if path.is_file() else None
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
    _log.warning("temporary files stay in %s", folder)


def _find_obstacle(place: Path) -> str | None:
    """Return why Ray's folder cannot be in a folder; None if it can."""
    if len(os.fsencode(place)) + len(_SOCKET) > SOCKET_PATH_BYTES:
        most = SOCKET_PATH_BYTES - len(_SOCKET)
        return f"is too long a name for its sockets (more than {most} bytes)"
    try:
        mode = place.stat().st_mode
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    if not stat.S_ISDIR(mode) or not os.access(place, os.W_OK | os.X_OK):
        return "is no folder that can be written"
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        return "lets other users rename what is in it"
    return None


def _find_own_start() -> str | None:
    try:
        return find_process_start(os.getpid())
    except OSError as error:
        _log.info("others cannot tell whether this process lives: %s", error)
        return None


def _is_gone(owner: dict[str, object]) -> bool:
    pid, started = owner["pid"], owner["started"]
    if owner["host"] != identify_host() or not isinstance(pid, int) or started is None:
        return False
    return find_process_start(pid) != started


def _has_open_files(process: Path, folder: Path) -> bool:
    for link in (process / "fd").iterdir():
        try:
            if link.readlink().is_relative_to(folder):
                return True
        except OSError as error:
            _log.debug("a file of process %s is closed again: %s", process.name, error)
    return False
