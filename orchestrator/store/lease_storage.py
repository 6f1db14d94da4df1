"""Where leases lie: a folder of files, or objects of a remote store. Small records by name, each
with an age.
"""

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.store import atomic_files
from orchestrator.store.remote.objects import Remote


class LeaseStorage(Protocol):
    """Records that several machines create, touch and remove; every method raises StoreError where
    it cannot.
    """

    def names(self) -> list[str]:
        """Return the names of all records."""

    def create(self, name: str, data: bytes) -> bool:
        """Put a record unless there is one; return whether this call did it. Only one caller ever
        does.
        """

    def read(self, name: str) -> bytes | None:
        """Return a record; None if there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Put a record, replacing what is there."""

    def touch(self, name: str, record: Callable[[], bytes]) -> None:
        """Make a record new again; `record` writes it anew where only that changes its time."""

    def remove(self, name: str) -> None:
        """Remove a record, if it is there."""

    def age(self, name: str, *, looking: bool = False) -> float:
        """Seconds since a record was written or touched, 0 if it is gone; a time in the future
        counts as long ago.

        By the storage's own clock, for which something is written; or `looking` only, by this
        machine's.
        """

    def mark(self, name: str) -> object | None:
        """Return something that each touch changes; None if there is no record."""


@dataclass(frozen=True, slots=True)
class FolderLeaseStorage:
    """Records as files of a folder that all machines see."""

    folder: Path

    def names(self) -> list[str]:
        """Return the names of all records."""
        with atomic_files.translated(self.folder):
            return [path.name for path in self.folder.glob("*")]

    def create(self, name: str, data: bytes) -> bool:
        """Put a record unless there is one."""
        return atomic_files.create(self.folder / name, data)

    def read(self, name: str) -> bytes | None:
        """Return a record."""
        path = self.folder / name
        with atomic_files.translated(path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Put a record, replacing what is there."""
        atomic_files.write(self.folder / name, data)

    def touch(self, name: str, record: Callable[[], bytes]) -> None:
        """Make a record new again."""
        path = self.folder / name
        with atomic_files.translated(path):
            os.utime(path)

    def remove(self, name: str) -> None:
        """Remove a record, if it is there."""
        path = self.folder / name
        with atomic_files.translated(path):
            path.unlink(missing_ok=True)

    def age(self, name: str, *, looking: bool = False) -> float:
        """Seconds since a record was written or touched."""
        path = self.folder / name
        with atomic_files.translated(path):
            try:
                return abs((time.time() if looking else probed_time(path)) - path.stat().st_mtime)
            except FileNotFoundError:
                return 0.0  # released just now: whoever asks tries again

    def mark(self, name: str) -> object | None:
        """Return the time of the last touch."""
        path = self.folder / name
        with atomic_files.translated(path):
            try:
                return path.stat().st_mtime_ns
            except FileNotFoundError:
                return None


@dataclass(frozen=True, slots=True)
class RemoteLeaseStorage:
    """Records as objects of a remote store, whose time changes only when they are written: touching
    writes.
    """

    remote: Remote
    folder: str

    def names(self) -> list[str]:
        """Return the names of all records."""
        return list(self.remote.entries(self.folder))

    def create(self, name: str, data: bytes) -> bool:
        """Put a record unless there is one."""
        return self.remote.create(self._path(name), data)

    def read(self, name: str) -> bytes | None:
        """Return a record."""
        return self.remote.get(self._path(name))

    def write(self, name: str, data: bytes) -> None:
        """Put a record, replacing what is there."""
        self.remote.put(self._path(name), data)

    def touch(self, name: str, record: Callable[[], bytes]) -> None:
        """Make a record new again."""
        self.write(name, record())

    def remove(self, name: str) -> None:
        """Remove a record, if it is there."""
        self.remote.remove(self._path(name))

    def age(self, name: str, *, looking: bool = False) -> float:
        """Seconds since a record was written or touched."""
        entry = self.remote.entry(self._path(name))
        if entry is None:
            return 0.0
        return abs((time.time() if looking else self.remote.now(self.folder)) - entry.changed)

    def mark(self, name: str) -> object | None:
        """Return the record: touching changes the time in it."""
        return self.read(name)

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}"


def probed_time(path: Path) -> float:
    """Return the time by the clock of a file's file system."""
    probe = path.with_name(f".clock.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
