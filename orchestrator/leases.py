"""Leases: who is working on a unit right now, so that two launches on one store do not do the same work.

A lease is a file that its holder touches every few seconds. It may be taken over when its holder's process is gone from
this machine, or when a holder on another machine has not touched it for `STALE_SECONDS`. Times are compared by the file
system's own clock. A lease only saves work: what makes results appear once is the store's commit.
"""

import functools
import hashlib
import json
import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import files
from orchestrator.files import StoreError

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A unit that this process works on; `lost` is set when somebody else took it over."""

    path: Path
    token: str
    lost: threading.Event = field(default_factory=threading.Event)

    def touch(self) -> None:
        """Show that the holder lives; notice a lost lease, and put back one that was deleted."""
        try:
            token = _token(self.path)
            if token == self.token:
                os.utime(self.path)
            elif token is not None or not files.create(self.path, _record(self.token)):
                self.lost.set()
        except (OSError, StoreError):
            return  # a full or unreachable disk: the next heartbeat tries again

    def release(self) -> None:
        """Give the lease back; one that was lost is left to its new holder."""
        with suppress(OSError, StoreError):
            if _token(self.path) == self.token:
                self.path.unlink(missing_ok=True)


@contextmanager
def hold(
    folder: Path, key: str, run: str, *, heartbeat: float = HEARTBEAT_SECONDS, stale: float = STALE_SECONDS
) -> Iterator[Lease | None]:
    """Hold the lease of a unit for the duration of a `with` block; None if another process holds it.

    Args:
        folder: the store's folder of leases.
        key: the unit.
        run: the launch, for people who read the file.
        heartbeat: seconds between touches.
        stale: seconds without a touch after which a lease of another machine may be taken over.

    Raises:
        StoreError: the folder cannot be written.
    """
    lease = acquire(folder, key, run, stale=stale)
    if lease is None:
        yield None
        return
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(lease, over, heartbeat), name=f"lease {key}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        over.set()
        thread.join()
        lease.release()


def acquire(folder: Path, key: str, run: str, *, stale: float = STALE_SECONDS) -> Lease | None:
    """Take the lease of a unit, if it is free or its holder is gone; the caller has to `touch` and `release` it."""
    lease = Lease(folder / f"{key}.json", uuid.uuid4().hex)
    record = _record(lease.token, run)
    if files.create(lease.path, record):
        return lease
    content = _content(lease.path)
    if content is None:  # released just now
        return lease if files.create(lease.path, record) else None
    if _holds(lease.path, content, stale) or not _take_over(lease.path, content, record, stale):
        return None
    return lease


def held_keys(folder: Path, *, stale: float = STALE_SECONDS) -> frozenset[str]:
    """Return the units that somebody is working on."""
    names = [path for path in folder.glob("*.json") if not path.name.startswith(".")]
    return frozenset(path.stem for path in names if is_held(path, stale=stale))


def is_held(path: Path, *, stale: float = STALE_SECONDS) -> bool:
    """Whether a lease file belongs to a holder that lives, as far as can be seen from here."""
    content = _content(path)
    return content is not None and _holds(path, content, stale)


@functools.cache
def host_identity() -> str:
    """Name this machine, boot and process namespace: where a process id means the same process."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def process_start(pid: int) -> str | None:
    """Return when a process started, as its system writes it; None if it does not run (any more)."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _process_start_by_ps(pid)
    except ProcessLookupError:
        return None
    return None if state in "ZX" else fields[18]


def _process_start_by_ps(pid: int) -> str | None:
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def _age(path: Path) -> float:
    """Seconds since a file was touched, by its file system's clock; a time in the future counts as long ago."""
    probe = path.with_name(f".clock.{uuid.uuid4().hex}")
    try:
        probe.touch()
        os.utime(probe)
        return abs(probe.stat().st_mtime - path.stat().st_mtime)
    except FileNotFoundError:
        return 0.0  # released just now: whoever asks tries again
    finally:
        probe.unlink(missing_ok=True)


def _holds(path: Path, content: bytes, stale: float) -> bool:
    try:
        holder = json.loads(content)
        if holder["host"] == host_identity():
            return process_start(int(holder["pid"])) == str(holder["started"])
    except (ValueError, KeyError, TypeError):
        pass  # damaged: only its age tells
    return _age(path) < stale


def _take_over(path: Path, content: bytes, record: bytes, stale: float) -> bool:
    """Replace a stale lease, unless another process does: one right for each stale content, had by one process."""
    right = path.with_name(f".{path.name}.{hashlib.sha256(content).hexdigest()[:16]}")
    if not files.create(right, record):
        if _age(right) >= stale:
            right.unlink(missing_ok=True)  # its maker died with it: the next attempt can have it
        return False
    try:
        if _content(path) != content:
            return False
        files.write(path, record)
        return True
    finally:
        right.unlink(missing_ok=True)


def _record(token: str, run: str | None = None) -> bytes:
    pid = os.getpid()
    holder: dict[str, Any] = {"token": token, "host": host_identity(), "pid": pid, "started": process_start(pid)}
    return files.to_json_bytes({**holder, "run": run})


def _content(path: Path) -> bytes | None:
    with files.translated(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def _token(path: Path) -> str | None:
    """Return the token in a lease file; None if there is no file, "" if it is damaged."""
    content = _content(path)
    if content is None:
        return None
    try:
        return str(json.loads(content)["token"])
    except (ValueError, KeyError, TypeError):
        return ""


def _beat(lease: Lease, over: threading.Event, heartbeat: float) -> None:
    while not over.wait(heartbeat):
        lease.touch()
