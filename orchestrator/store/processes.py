"""Whether a process that runs on this machine is the one that another process knew."""

import functools
import logging
import os
import socket
import subprocess
from pathlib import Path

_log = logging.getLogger(__name__)


@functools.cache
def identify_host() -> str:
    """Name this machine, boot and process namespace: where a process id means the same process."""
    parts = [socket.gethostname()]
    for read in (_boot_id, _process_namespace):
        try:
            parts.append(read())
        except OSError as error:  # not Linux, or hidden in a container
            _log.info("the identity of this machine is less exact: %s", error)
    return " ".join(parts)


def find_process_start(pid: int) -> str | None:
    """Return when a process started, as its system writes it; None if it does not run (any more).

    Raises:
        OSError: it runs, or may run, but does not show itself to this user.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        if not Path("/proc/self/stat").exists():
            return _process_start_by_ps(pid)
        if _is_hidden(pid):
            raise PermissionError(f"process {pid} is hidden") from None
        return None
    except ProcessLookupError:
        return None
    # A zombie or dead process (Z, X) does nothing any more; field 22 of proc(5) is the start time.
    return None if state in "ZX" else fields[18]


def _is_hidden(pid: int) -> bool:
    """Whether a process without a readable entry in /proc runs (mount option hidepid)."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    # A process that this user may signal is never hidden: it ended between the two checks.
    return Path(f"/proc/{pid}").exists()


def _process_start_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _process_namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())
