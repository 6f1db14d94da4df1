"""Leases: who is working on a unit right now, so that two launches on one store do not do the same
work.

A lease is a file, or an object of a remote store, that its holder touches every few seconds. It may
be taken over when its holder's process is gone from this machine, when a holder that cannot be seen
from here has not touched it for `STALE_SECONDS`, and by the launch that holds it: a launch gives a
unit to one worker at a time, so an earlier one is lost to it. Times are compared by the storage's
own clock, and clocks are moved: who would take over on their word alone first watches the lease for
a few heartbeats. A lease only saves work: what makes results appear once is the store's commit.
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.store import atomic_files
from orchestrator.store.lease_storage import FolderLeaseStorage, LeaseStorage

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
WATCH_SECONDS = 2.2 * HEARTBEAT_SECONDS
"""How long a lease that its time calls abandoned is watched for a touch before it is taken over."""
_POLLS = 20
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Lease:
    """A unit that this process works on; `lost` is set when somebody else took it over."""

    lease_storage: LeaseStorage
    name: str
    token: str
    run: str
    lost: threading.Event = field(default_factory=threading.Event)

    def touch(self) -> None:
        """Show that the holder lives; notice a lost lease, and put back one that was deleted."""
        try:
            token = _token(self.lease_storage, self.name)
            if token == self.token:
                self.lease_storage.touch(self.name, lambda: _record(self.token, self.run))
            elif token is not None or not self.lease_storage.create(
                self.name, _record(self.token, self.run)
            ):
                self.lost.set()
        except (OSError, StoreError):
            return  # a full or unreachable disk: the next heartbeat tries again

    def release(self) -> None:
        """Give the lease back; one that was lost is left to its new holder."""
        with suppress(OSError, StoreError):
            if _token(self.lease_storage, self.name) == self.token:
                self.lease_storage.remove(self.name)


@contextmanager
def hold(
    place: Path | LeaseStorage,
    key: str,
    run: str,
    *,
    heartbeat: float = HEARTBEAT_SECONDS,
    stale: float = STALE_SECONDS,
    watch: float = WATCH_SECONDS,
) -> Iterator[Lease | None]:
    """Hold the lease of a unit for the duration of a `with` block; None if another process holds
    it.

    Args:
        place: where the store has its leases.
        key: the unit.
        run: the launch; a lease that it has already is taken over.
        heartbeat: seconds between touches.
        stale: seconds without a touch after which a lease of another machine may be taken over.
        watch: seconds for which such a lease is watched first.

    Raises:
        StoreError: it cannot be written.
    """
    lease = acquire(place, key, run, stale=stale, watch=watch)
    if lease is None:
        yield None
        return
    over = threading.Event()
    thread = threading.Thread(
        target=_beat, args=(lease, over, heartbeat), name=f"lease {key}", daemon=True
    )
    thread.start()
    try:
        yield lease
    finally:
        over.set()
        thread.join()
        lease.release()


def acquire(
    place: Path | LeaseStorage,
    key: str,
    run: str,
    *,
    stale: float = STALE_SECONDS,
    watch: float = WATCH_SECONDS,
) -> Lease | None:
    """Take the lease of a unit, if it is free or its holder is gone; the caller has to `touch` and
    `release` it.
    """
    lease_storage, name = _shelf(place), _name(key)
    lease = Lease(lease_storage, name, uuid.uuid4().hex, run)
    record = _record(lease.token, run)
    if lease_storage.create(name, record):
        return lease
    content = lease_storage.read(name)
    if content is None:  # released just now
        return lease if lease_storage.create(name, record) else None
    lives = _lives(content, but=run)
    if lives is None:
        lives = lease_storage.age(name) < stale or _is_touched(lease_storage, name, watch)
    return lease if not lives and _take_over(lease_storage, name, content, record, stale) else None


def held_keys(place: Path | LeaseStorage, *, stale: float = STALE_SECONDS) -> frozenset[str]:
    """Return the units that somebody is working on, by this machine's clock: nothing is written."""
    lease_storage = _shelf(place)
    contents = {name: lease_storage.read(name) for name in lease_storage.names() if _is_lease(name)}
    return frozenset(
        name.removesuffix(_SUFFIX)
        for name, content in contents.items()
        if content is not None and _holds(lease_storage, name, content, stale, looking=True)
    )


def is_held(
    place: Path | LeaseStorage, key: str, *, but: str | None = None, stale: float = STALE_SECONDS
) -> bool:
    """Whether a holder that lives, as far as can be seen from here, works on a unit.

    Args:
        place: where the store has its leases.
        key: the unit.
        but: a launch that does not count as a holder.
        stale: seconds without a touch after which a holder that cannot be seen counts as gone.

    Raises:
        StoreError: the leases cannot be read.
    """
    lease_storage, name = _shelf(place), _name(key)
    content = lease_storage.read(name)
    return content is not None and _holds(lease_storage, name, content, stale, but=but)


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
    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None


def _holds(
    lease_storage: LeaseStorage,
    name: str,
    content: bytes,
    stale: float,
    *,
    but: str | None = None,
    looking: bool = False,
) -> bool:
    lives = _lives(content, but=but)
    return lease_storage.age(name, looking=looking) < stale if lives is None else lives


def _lives(content: bytes, *, but: str | None) -> bool | None:
    """Whether the holder of a lease lives; None if that cannot be seen: another machine's, hidden,
    or damaged.
    """
    holder = _holder(content)
    if but is not None and holder.get("run") == but:
        return False
    pid, started = holder.get("pid"), holder.get("started")
    if holder.get("host") == host_identity() and isinstance(pid, int) and isinstance(started, str):
        with suppress(OSError):
            return process_start(pid) == started
    return None


def _is_touched(lease_storage: LeaseStorage, name: str, seconds: float) -> bool:
    """Watch a lease, and tell whether its holder touches or releases it, whatever the clocks
    say.
    """
    before = lease_storage.mark(name)
    for _ in range(_POLLS if before is not None else 0):
        time.sleep(seconds / _POLLS)
        if lease_storage.mark(name) != before:
            return True
    return before is None


def _take_over(
    lease_storage: LeaseStorage, name: str, content: bytes, record: bytes, stale: float
) -> bool:
    """Replace a stale lease, unless another process does: one right for each stale content, had by
    one process.
    """
    right = f".{name}.{hashlib.sha256(content).hexdigest()[:16]}"
    if not lease_storage.create(right, record):
        if lease_storage.age(right) >= stale:
            lease_storage.remove(right)  # its maker died with it: the next attempt can have it
        return False
    try:
        if lease_storage.read(name) != content:
            return False
        lease_storage.write(name, record)
        return True
    finally:
        lease_storage.remove(right)


def _shelf(place: Path | LeaseStorage) -> LeaseStorage:
    return FolderLeaseStorage(place) if isinstance(place, Path) else place


def _name(key: str) -> str:
    return f"{key}{_SUFFIX}"


def _is_lease(name: str) -> bool:
    return name.endswith(_SUFFIX) and not name.startswith(".")


def _record(token: str, run: str) -> bytes:
    pid = os.getpid()
    started = None
    with suppress(OSError):
        started = process_start(pid)
    holder = {"token": token, "host": host_identity(), "pid": pid, "started": started, "run": run}
    holder["touched"] = time.time()  # which tells one touch of an object from the next
    return atomic_files.to_json_bytes(holder)


def _holder(content: bytes) -> dict[str, Any]:
    """Return what a lease file says; nothing if it is damaged."""
    try:
        holder = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _token(lease_storage: LeaseStorage, name: str) -> str | None:
    """Return the token in a lease; None if there is none, "" if it is damaged."""
    content = lease_storage.read(name)
    return None if content is None else str(_holder(content).get("token", ""))


def _beat(lease: Lease, over: threading.Event, heartbeat: float) -> None:
    while not over.wait(heartbeat):
        lease.touch()
