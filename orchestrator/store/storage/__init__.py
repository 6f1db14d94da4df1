"""What a store needs of the place that keeps it: a folder, or objects behind a URL.

Common to both is everything in `orchestrator.store` outside this package. An entry is a file or an
object, named relative to the store with slashes. The one real difference is how a finished unit
appears at once and only once (`publish`), and so where its files are (`locate_contents`, `fetch`)
and what a killed attempt leaves (`find_abandoned`).
"""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestrator.errors import StoreError
from orchestrator.store import atomic_files

MAX_SINGLE_LOOKUPS = 16
"""Entries up to which each is asked for by itself, instead of listing their folder."""
DAY = 86400.0
"""Age in seconds at which what is written within minutes has lost its writer, whatever the clocks
say."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing says of an entry."""

    size: int
    mark: str
    """Differs after each write, and after each `touch`."""
    changed: float
    """When it was last written or touched, in seconds by the storage's clock."""


class Storage(Protocol):
    """Where a store is kept; every method raises StoreError where it cannot do its work."""

    @property
    def address(self) -> str:
        """What `open_store` opens the store by, and `--store` on the command line."""

    @property
    def local(self) -> Path:
        """The store's folder on this machine: the store itself, or a working copy of it."""

    @property
    def is_local(self) -> bool:
        """Whether `local` is the store: checks cost nothing, and files can be appended to."""

    def resolved(self) -> "Storage":
        """Return the same storage by an address that holds in any working folder."""

    def where(self, name: str) -> str:
        """Return the path or URL of an entry, for messages."""

    def list_top_level(self) -> set[str] | None:
        """Return the names at the top of the store; None if nothing was ever written to it."""

    # Entries

    def entries(self, folder: str) -> dict[str, Entry]:
        """List the entries below a folder at any depth, by names relative to the folder."""

    def entry(self, name: str) -> Entry | None:
        """Return what is known of one entry; None if it does not exist."""

    def get(self, name: str) -> bytes | None:
        """Return the content of an entry; None if it does not exist."""

    def put(self, name: str, data: bytes) -> None:
        """Write an entry, replacing what is there; readers see the old content or the new."""

    def create(self, name: str, data: bytes) -> bool:
        """Write an entry unless it exists; return whether that was done.

        Of several callers with different data exactly one succeeds.
        """

    def touch(self, name: str, data: bytes) -> None:
        """Renew the time of an entry, by writing `data` where only a write changes the time."""

    def remove(self, *names: str) -> None:
        """Remove entries; those that do not exist are ignored."""

    def remove_all(self, name: str) -> None:
        """Remove an entry, or everything below a folder."""

    def move(self, name: str, target: str) -> None:
        """Move an entry or everything below a folder; nothing happens if it does not exist."""

    def sha256(self, name: str) -> str | None:
        """Return the SHA-256 of an entry's content; None if it does not exist."""

    def now(self, folder: str) -> float:
        """Return the time by the storage's clock, found by writing a probe to a folder."""

    # Files on this machine

    def upload(self, name: str) -> None:
        """Make the local file of this name the entry of this name."""

    def download(self, name: str) -> Path:
        """Return the local file of an entry whose content never changes."""

    def refresh(self, folder: str, names: Collection[str] | None = None) -> Path:
        """Bring the local files directly in a folder up to date, all or those named."""

    # Units; `unit` is the name of a unit's folder, units/<kind>/<key>

    def publish(self, unit: str, workdir: Path, record: Mapping[str, Any]) -> bool:
        """Make a unit done with the files in `workdir`; return False if somebody else was first.

        `workdir` is below `local`, is on the disk already, and may be moved away. `record` is what
        `DONE` is to say; its `sha256` names all files.
        """

    def list_published(self) -> dict[str, str]:
        """Return the kinds of all units that are done, by key; no file is read."""

    def locate_contents(self, unit: str, record: Mapping[str, Any]) -> str:
        """Return the folder of a done unit's files; StoreError if `record` is damaged."""

    def fetch(self, unit: str, *, again: bool = False) -> Path:
        """Return the local folder of a done unit; `again` does not trust a copy from before."""

    def find_abandoned(
        self, done: Collection[str], is_held: Callable[[str], bool]
    ) -> Iterator[str]:
        """Yield what killed processes left while they wrote, and nobody can need.

        `done` has the keys of done units; `is_held` says whether somebody may hold a key's lease.
        """


def check_writable(storage: Storage) -> None:
    """Write, read and delete a marker, and check that a second writer does not replace it.

    Raises:
        StoreError: one of these failed.
    """
    with atomic_files.translate_errors(storage.local):
        storage.local.mkdir(parents=True, exist_ok=True)
    with place_marker(storage) as name:
        if storage.create(name, b"a second writer\n"):
            raise StoreError(
                f"store: {storage.address}: the storage lets a second writer replace what the first"
                " has created (it ignores If-None-Match), so no unit could be promised to be done"
                " once; update it, or use another"
            )


@contextmanager
def place_marker(storage: Storage) -> Iterator[str]:
    """Have a marker in the store that other machines can see, and give its name."""
    name = f".marker.{uuid.uuid4().hex}"
    try:
        storage.put(name, b"writable\n")
        yield name
    finally:
        storage.remove(name)
