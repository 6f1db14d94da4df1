"""Leases: who is working on a unit right now, so that two launches on one store do not do the same work.

A lease is a file that its holder touches every few seconds. It may be taken over when its holder's process is gone from
this machine, when a holder that cannot be seen from here has not touched it for `STALE_SECONDS`, and by the launch
that holds it: a launch gives a unit to one worker at a time, so an earlier one is lost to it. Times are compared by the
file system's own clock, and clocks are moved: who would take over on their word alone first watches the file for a few
heartbeats. A lease only saves work: what makes results appear once is the store's commit.
"""

import functools
import hashlib
import json
import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import files
from orchestrator.files import StoreError

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
WATCH_SECONDS = 2.2 * HEARTBEAT_SECONDS
"""How long a lease that its time calls abandoned is watched for a touch before it is taken over."""
_POLLS = 20


@dataclass(frozen=True, slots=True)
class Lease:
    """A unit that this process works on; `lost` is set when somebody else took it over."""

    path: Path
    token: str
    run: str
    lost: threading.Event = field(default_factory=threading.Event)

    def touch(self) -> None:
        """Show that the holder lives; notice a lost lease, and put back one that was deleted."""
        try:
            token = _token(self.path)
            if token == self.token:
                os.utime(self.path)
            elif token is not None or not files.create(self.path, _record(self.token, self.run)):
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
    folder: Path,
    key: str,
    run: str,
    *,
    heartbeat: float = HEARTBEAT_SECONDS,
    stale: float = STALE_SECONDS,
    watch: float = WATCH_SECONDS,
) -> Iterator[Lease | None]:
    """Hold the lease of a unit for the duration of a `with` block; None if another process holds it.

    Args:
        folder: the store's folder of leases.
        key: the unit.
        run: the launch; a lease that it has already is taken over.
        heartbeat: seconds between touches.
        stale: seconds without a touch after which a lease of another machine may be taken over.
        watch: seconds for which such a lease is watched first.

    Raises:
        StoreError: the folder cannot be written.
    """
    lease = acquire(folder, key, run, stale=stale, watch=watch)
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


def acquire(
    folder: Path, key: str, run: str, *, stale: float = STALE_SECONDS, watch: float = WATCH_SECONDS
) -> Lease | None:
    """Take the lease of a unit, if it is free or its holder is gone; the caller has to `touch` and `release` it."""
    lease = Lease(folder / f"{key}.json", uuid.uuid4().hex, run)
    record = _record(lease.token, run)
    if files.create(lease.path, record):
        return lease
    content = _content(lease.path)
    if content is None:  # released just now
        return lease if files.create(lease.path, record) else None
    lives = _lives(content, but=run)
    if lives is None:
        lives = _age(lease.path, _probed_time) < stale or _is_touched(lease.path, watch)
    return lease if not lives and _take_over(lease.path, content, record, stale) else None


def held_keys(folder: Path, *, stale: float = STALE_SECONDS) -> frozenset[str]:
    """Return the units that somebody is working on, by this machine's clock: nothing is written."""
    with files.translated(folder):
        names = [path for path in folder.glob("*.json") if not path.name.startswith(".")]
    contents = {path: _content(path) for path in names}
    return frozenset(
        path.stem
        for path, content in contents.items()
        if content is not None and _holds(path, content, stale, lambda path: time.time())
    )


def is_held(folder: Path, key: str, *, but: str | None = None, stale: float = STALE_SECONDS) -> bool:
    """Whether a holder that lives, as far as can be seen from here, works on a unit.

    Args:
        folder: the store's folder of leases.
        key: the unit.
        but: a launch that does not count as a holder.
        stale: seconds without a touch after which a holder that cannot be seen counts as gone.

    Raises:
        StoreError: the folder cannot be used.
    """
    path = folder / f"{key}.json"
    content = _content(path)
    return content is not None and _holds(path, content, stale, _probed_time, but=but)


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
    """Return when a process started, as its system writes it; None if it does not run (any more).

    Raises:
        OSError: it runs, or may run, but does not show itself to this user.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        if not Path("/proc/self/stat").exists():
            return _process_start_by_ps(pid)
        if _answers(pid):
            raise PermissionError(f"process {pid} is hidden") from None
        return None
    except ProcessLookupError:
        return None
    return None if state in "ZX" else fields[18]


def _answers(pid: int) -> bool:
    """Whether a process runs, even one that /proc hides (mount option hidepid)."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return Path(f"/proc/{pid}").exists()  # ours is never hidden: it ended between the two looks


def _process_start_by_ps(pid: int) -> str | None:
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def _probed_time(path: Path) -> float:
    """Return the time by the clock of a file's file system."""
    probe = path.with_name(f".clock.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _age(path: Path, now: Callable[[Path], float]) -> float:
    """Seconds since a file was touched; a time in the future counts as long ago."""
    with files.translated(path):
        try:
            return abs(now(path) - path.stat().st_mtime)
        except FileNotFoundError:
            return 0.0  # released just now: whoever asks tries again


def _holds(path: Path, content: bytes, stale: float, now: Callable[[Path], float], *, but: str | None = None) -> bool:
    lives = _lives(content, but=but)
    return _age(path, now) < stale if lives is None else lives


def _lives(content: bytes, *, but: str | None) -> bool | None:
    """Whether the holder of a lease lives; None if that cannot be seen: another machine's, hidden, or damaged."""
    holder = _holder(content)
    if but is not None and holder.get("run") == but:
        return False
    pid, started = holder.get("pid"), holder.get("started")
    if holder.get("host") == host_identity() and isinstance(pid, int) and isinstance(started, str):
        with suppress(OSError):
            return process_start(pid) == started
    return None


def _is_touched(path: Path, seconds: float) -> bool:
    """Watch a lease, and tell whether its holder touches or releases it, whatever the clocks say."""
    with files.translated(path), suppress(FileNotFoundError):
        before = path.stat().st_mtime_ns
        for _ in range(_POLLS):
            time.sleep(seconds / _POLLS)
            if path.stat().st_mtime_ns != before:
                return True
        return False
    return True


def _take_over(path: Path, content: bytes, record: bytes, stale: float) -> bool:
    """Replace a stale lease, unless another process does: one right for each stale content, had by one process."""
    right = path.with_name(f".{path.name}.{hashlib.sha256(content).hexdigest()[:16]}")
    if not files.create(right, record):
        if _age(right, _probed_time) >= stale:
            right.unlink(missing_ok=True)  # its maker died with it: the next attempt can have it
        return False
    try:
        if _content(path) != content:
            return False
        files.write(path, record)
        return True
    finally:
        right.unlink(missing_ok=True)


def _record(token: str, run: str) -> bytes:
    pid = os.getpid()
    started = None
    with suppress(OSError):
        started = process_start(pid)
    holder = {"token": token, "host": host_identity(), "pid": pid, "started": started, "run": run}
    return files.to_json_bytes(holder)


def _holder(content: bytes) -> dict[str, Any]:
    """Return what a lease file says; nothing if it is damaged."""
    try:
        holder = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _content(path: Path) -> bytes | None:
    with files.translated(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def _token(path: Path) -> str | None:
    """Return the token in a lease file; None if there is no file, "" if it is damaged."""
    content = _content(path)
    return None if content is None else str(_holder(content).get("token", ""))


def _beat(lease: Lease, over: threading.Event, heartbeat: float) -> None:
    while not over.wait(heartbeat):
        lease.touch()
