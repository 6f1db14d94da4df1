"""Leases: who works on a unit now, so that two launches on one store do not do the same work.

A lease is an entry of the store that its holder touches every few seconds. It may be taken over
when its holder's process is gone from this machine, when a holder that cannot be seen from here has
not touched it for `STALE_SECONDS`, and by the launch that holds it: a launch gives a unit to one
worker at a time, so an earlier one is lost to it. Times are compared by the storage's own clock,
and clocks are moved: who would take over on their word alone first watches the lease for a few
heartbeats. A lease only saves work: what makes results appear once is `Storage.publish`.
"""

import hashlib
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.store import atomic_files
from orchestrator.store.processes import find_process_start, identify_host
from orchestrator.store.storage import Storage

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
WATCH_SECONDS = 2.2 * HEARTBEAT_SECONDS
"""How long a lease that its time calls abandoned is watched for a touch before it is taken over."""
FOLDER = "leases"
_POLLS = 20
"""Checks of a lease while it is watched."""
_SUFFIX = ".json"

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Lease:
    """A unit that this process works on; `lost` is set when somebody else took it over."""

    storage: Storage
    key: str
    token: str
    run: str
    lost: threading.Event = field(default_factory=threading.Event)
    taker: str | None = None
    """The launch that it was lost to."""
    interrupted: bool = False
    """Whether somebody may have had it in between: it was gone for a while and was put back."""
    paused: bool = False
    """Whether this process stood still for so long that others had to take it for dead."""
    touched: float = field(default_factory=time.time)
    """By the clock on the wall, which goes on while the machine sleeps."""

    @property
    def name(self) -> str:
        """Its entry in the store."""
        return _name(self.key)

    def touch(self) -> None:
        """Show that the holder lives; notice a lost lease, and put back one that was deleted."""
        now = time.time()
        if now - self.touched > STALE_SECONDS and not self.paused:
            self.paused = True
            _log.warning("lease of %s was not touched for %.0f s", self.key, now - self.touched)
        self.touched = now
        try:
            content = self.storage.get(self.name)
            record = _record(self.token, self.run)
            if content is None:
                if self.storage.create(self.name, record):
                    self.interrupted = True
                    _log.warning("lease of %s was deleted and is put back", self.key)
                    return
                content = self.storage.get(self.name) or b""
            holder = _holder(content)
            if holder.get("token") == self.token:
                self.storage.touch(self.name, record)
            elif not self.lost.is_set():
                _log.warning("lease of %s is lost to %s", self.key, _describe(holder))
                self.taker = str(holder.get("run") or "") or None
                self.lost.set()
        except (OSError, StoreError) as error:
            # A full or unreachable disk. The lease is not lost by that: the next heartbeat tries
            # again, and until it is stale nobody takes it.
            _log.warning("lease of %s cannot be touched now: %s", self.key, error)

    def release(self) -> None:
        """Give the lease back; one that was lost is left to its new holder."""
        try:
            content = self.storage.get(self.name)
            if content is not None and _holder(content).get("token") == self.token:
                self.storage.remove(self.name)
        except (OSError, StoreError) as error:  # it goes stale by itself
            _log.warning("lease of %s cannot be released: %s", self.key, error)


@contextmanager
def hold(
    storage: Storage,
    key: str,
    run: str,
    *,
    heartbeat: float = HEARTBEAT_SECONDS,
    stale: float = STALE_SECONDS,
    watch: float = WATCH_SECONDS,
) -> Iterator[Lease | None]:
    """Hold the lease of a unit for the duration of a `with` block; None if somebody else holds it.

    Args:
        storage: where the store is kept.
        key: the unit.
        run: the launch; a lease that it has already is taken over.
        heartbeat: seconds between touches.
        stale: seconds without a touch after which a lease of another machine may be taken over.
        watch: seconds for which such a lease is watched first.

    Raises:
        StoreError: it cannot be written.
    """
    lease = acquire(storage, key, run, stale=stale, watch=watch)
    if lease is None:
        yield None
        return
    ended = threading.Event()
    thread = threading.Thread(
        target=_beat, args=(lease, ended, heartbeat), name=f"lease {key}", daemon=True
    )
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        lease.release()


def acquire(
    storage: Storage,
    key: str,
    run: str,
    *,
    stale: float = STALE_SECONDS,
    watch: float = WATCH_SECONDS,
) -> Lease | None:
    """Take the lease of a unit, if it is free or its holder is gone; None otherwise.

    The caller has to `touch` and `release` it; `hold` does.
    """
    lease = Lease(storage, key, uuid.uuid4().hex, run)
    record = _record(lease.token, run)
    if storage.create(lease.name, record):
        return lease
    content = storage.get(lease.name)
    if content is None:  # released just now
        return lease if storage.create(lease.name, record) else None
    reason = _reason_to_take_over(storage, lease.name, content, run, stale, watch)
    if reason is None or not _take_over(storage, lease.name, content, record, stale):
        return None
    _log.warning("lease of %s is taken over from %s: %s", key, _describe(_holder(content)), reason)
    return lease


def find_held_keys(storage: Storage, *, stale: float = STALE_SECONDS) -> frozenset[str]:
    """Return the units that somebody works on, by this machine's clock: nothing is written."""
    keys = set()
    for name in storage.entries(FOLDER):
        key = parse_key(name)
        content = storage.get(_name(key)) if key else None
        if content is not None:
            lives = _lives(content, but=None)
            if lives or (lives is None and _age(storage, _name(key), time.time()) < stale):
                keys.add(key)
    return frozenset(keys)


def is_held(
    storage: Storage, key: str, *, but: str | None = None, stale: float = STALE_SECONDS
) -> bool:
    """Whether a holder that lives, as far as can be seen from here, works on a unit.

    Args:
        storage: where the store is kept.
        key: the unit.
        but: a launch that does not count as a holder.
        stale: seconds without a touch after which a holder that cannot be seen counts as gone.

    Raises:
        StoreError: the leases cannot be read.
    """
    content = storage.get(_name(key))
    if content is None:
        return False
    lives = _lives(content, but=but)
    return _age(storage, _name(key)) < stale if lives is None else lives


def parse_key(name: str) -> str:
    """Return the unit of a lease, given its name in `FOLDER`; "" for an entry of a takeover."""
    if name.startswith(".") or not name.endswith(_SUFFIX):
        return ""
    return PurePosixPath(name).stem


def _reason_to_take_over(
    storage: Storage, name: str, content: bytes, run: str, stale: float, watch: float
) -> str | None:
    """Return why a lease may be taken over; None if its holder lives, as far as can be seen."""
    lives = _lives(content, but=run)
    if lives is not None:
        return None if lives else "its process has ended, or this launch had it before"
    age = _age(storage, name)
    # A clock that was moved makes a fresh lease look old: only watching it shows that it is.
    if age < stale or _is_touched(storage, name, watch):
        return None
    return f"not touched for {age:.0f} s"


def _lives(content: bytes, *, but: str | None) -> bool | None:
    """Whether the holder of a lease lives.

    None if that cannot be seen: the lease is another machine's, hidden, or damaged.
    """
    holder = _holder(content)
    if but is not None and holder.get("run") == but:
        return False
    pid, started = holder.get("pid"), holder.get("started")
    if holder.get("host") == identify_host() and isinstance(pid, int) and isinstance(started, str):
        try:
            return find_process_start(pid) == started
        except OSError as error:
            _log.info("the holder of a lease cannot be seen: %s", error)
    return None


def _age(storage: Storage, name: str, now: float | None = None) -> float:
    """Return the seconds since a lease was touched, 0 if it is gone: whoever asks tries again.

    A time in the future counts as long ago. By the storage's clock, for which something is written,
    or by `now`.
    """
    entry = storage.entry(name)
    if entry is None:
        return 0.0
    return abs((storage.now(FOLDER) if now is None else now) - entry.changed)


def _is_touched(storage: Storage, name: str, seconds: float) -> bool:
    """Watch a lease; return whether its holder touches or releases it, whatever the clocks say."""
    before = storage.entry(name)
    if before is None:
        return True
    for _ in range(_POLLS):
        time.sleep(seconds / _POLLS)
        after = storage.entry(name)
        if after is None or after.mark != before.mark:
            return True
    return False


def _take_over(storage: Storage, name: str, content: bytes, record: bytes, stale: float) -> bool:
    """Replace a stale lease, unless another process does.

    Two processes may both find the lease stale, and replacing has no winner. So each stale content
    comes with one right to replace it, which is created, and a creation has one winner.
    """
    right = f"{FOLDER}/.{PurePosixPath(name).name}.{hashlib.sha256(content).hexdigest()[:16]}"
    if not storage.create(right, record):
        if _age(storage, right) >= stale:
            storage.remove(right)  # its maker died with it: the next attempt can have it
        return False
    try:
        if storage.get(name) != content:
            return False
        storage.put(name, record)
        return True
    finally:
        storage.remove(right)


def _name(key: str) -> str:
    return f"{FOLDER}/{key}{_SUFFIX}"


def _record(token: str, run: str) -> bytes:
    pid = os.getpid()
    try:
        started = find_process_start(pid)
    except OSError as error:
        _log.info("others cannot tell whether this process lives: %s", error)
        started = None
    holder = {"token": token, "host": identify_host(), "pid": pid, "started": started, "run": run}
    holder["touched"] = time.time()  # differs in each touch that is a write, so the object does too
    return atomic_files.to_json_bytes(holder)


def _holder(content: bytes) -> dict[str, Any]:
    """Return what a lease says; nothing if it is damaged."""
    try:
        holder = json.loads(content)
    except (ValueError, RecursionError) as error:
        _log.info("a lease is damaged, its holder is unknown: %s", error)
        return {}
    return holder if isinstance(holder, dict) else {}


def _describe(holder: dict[str, Any]) -> str:
    """Name the holder of a lease for the log."""
    if not holder:
        return "an unknown holder (the lease is damaged)"
    host = str(holder.get("host")).split(" ")[0]
    return f"process {holder.get('pid')} on {host} (run {holder.get('run')})"


def _beat(lease: Lease, ended: threading.Event, heartbeat: float) -> None:
    while not ended.wait(heartbeat):
        lease.touch()
