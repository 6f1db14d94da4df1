"""A store behind an fsspec URL such as s3://bucket/folder, for machines that share no disk.

    <url>/units/<kind>/<key>/<attempt>/      spec.json, the artifacts, rows.parquet of each attempt
    <url>/units/<kind>/<key>/DONE            which attempt won, with the SHA-256 of its files
    <url>/tables/ · checkpoints/ · datasets/ · runs/ · plans/ · leases/ · damaged/   as in a folder

There are no renames here. What makes a unit done is `DONE`, which is created only where there is
none: of two that finish the same unit the first wins, and an attempt that `DONE` does not name does
not count. Each machine has a folder as its working copy of what is read or computed there.
"""

import logging
import re
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from orchestrator.errors import StoreError
from orchestrator.store import atomic_files
from orchestrator.store.storage import DAY
from orchestrator.store.storage.folder import rename_unless_complete
from orchestrator.store.storage.integrity import (
    describe_repair,
    find_differences,
    read_hashes,
    read_record,
)
from orchestrator.store.storage.names import DONE, unit_name
from orchestrator.store.storage.object_client import Objects, open_file_system
from orchestrator.store.storage.working_copy import default_folder, is_plain, pull

_ATTEMPT = re.compile(r"units/[a-z_]+/(?P<key>[0-9a-f]+)/[0-9a-f]+")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ObjectStorage(Objects):
    """A folder of objects, and a folder on this machine with copies of some of them."""

    local: Path
    is_local: ClassVar[bool] = False

    @classmethod
    def connect(cls, url: str, local: Path | None = None) -> "ObjectStorage":
        """Return the storage at a URL; nothing is read yet.

        Args:
            url: a protocol, a bucket and a folder.
            local: the working copy; by default a folder per URL in the user's cache.

        Raises:
            StoreError: there cannot be a store at this URL, or a package for it is missing.
        """
        fs, base = open_file_system(url)
        url = url.rstrip("/")
        return cls(url, fs, base, local or default_folder(url))

    def resolved(self) -> "ObjectStorage":
        return self

    def touch(self, name: str, data: bytes) -> None:
        """Write an object: nothing else changes its time."""
        self.put(name, data)

    def remove_all(self, name: str) -> None:
        """Remove an object or all below a folder, and their local copy."""
        self.remove(*(f"{name}/{below}" for below in self.entries(name)), name)
        shutil.rmtree(self.local / name, ignore_errors=True)

    def sha256(self, name: str) -> str | None:
        """Return the SHA-256 of an object, downloaded to a temporary file for it."""
        with atomic_files.translate_errors(self.local):
            self.local.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.local, prefix=".sha256-") as file:
                with self._translated(name):
                    try:
                        self.fs.get_file(self._path(name), file.name)
                    except FileNotFoundError:
                        return None
                return atomic_files.sha256(Path(file.name))

    # Files on this machine

    def upload(self, name: str) -> None:
        self.upload_file(name, self.local / name)

    def download(self, name: str) -> Path:
        """Return the local file of an object, fetched if this machine does not have it yet."""
        path = self.local / name
        if not path.exists():
            # Under a hidden name first: what a killed process leaves is not taken for the file.
            part = path.with_name(f".{uuid.uuid4().hex}")
            self.download_file(name, part)
            with atomic_files.translate_errors(path):
                part.replace(path)
        return path

    def refresh(self, folder: str, names: Collection[str] | None = None) -> Path:
        """Fetch what is new or changed in a folder, and remove what is gone."""
        return pull(self, folder, self.local, names)

    # Units

    def publish(self, unit: str, workdir: Path, record: Mapping[str, Any]) -> bool:
        """Upload an attempt, then create `DONE` with its name unless another attempt has won."""
        attempt = f"{unit}/{uuid.uuid4().hex}"
        for name in record["sha256"]:
            self.upload_file(f"{attempt}/{name}", workdir / name)
        mark = atomic_files.to_json_bytes({**record, "attempt": attempt})
        first = self.create(f"{unit}/{DONE}", mark)
        try:
            if first:
                self._keep(unit, workdir, mark)
            for attempt in self._find_losers(unit):  # their writers find `DONE` and give up
                self.remove_all(attempt)
        except (OSError, StoreError) as error:
            _log.warning("%s is done, but leftovers stay: %s", self.where(unit), error)
        return first

    def list_published(self) -> dict[str, str]:
        paths = (PurePosixPath(name).parts for name in self.entries("units"))
        return {path[1]: path[0] for path in paths if len(path) == 3 and path[2] == DONE}

    def locate_contents(self, unit: str, record: Mapping[str, Any]) -> str:
        attempt, key = record.get("attempt"), PurePosixPath(unit).name
        found = _ATTEMPT.fullmatch(attempt) if isinstance(attempt, str) else None
        if found is not None and found["key"] == key:
            return str(attempt)
        raise StoreError(
            f"store: {DONE} of unit {key} is damaged: {attempt!r} is no attempt at it; delete it"
        )

    def fetch(self, unit: str, *, again: bool = False) -> Path:
        """Return the local copy of the winning attempt, fetched if it is another or missing.

        Raises:
            StoreError: `DONE` is missing or damaged, or a file is not what was written.
        """
        data = self.get(f"{unit}/{DONE}") or b""
        record = atomic_files.parse_json(self.where(f"{unit}/{DONE}"), data)
        attempt, place = self.locate_contents(unit, record), self.local / unit
        with atomic_files.translate_errors(place):
            mark = place / DONE
            if not again and mark.exists() and mark.read_bytes() == data:
                return place
            shutil.rmtree(place, ignore_errors=True)
        folder = place.with_name(f".fetched.{place.name}.{uuid.uuid4().hex}")
        try:
            self._fetch_attempt(attempt, record, folder)
            with atomic_files.translate_errors(folder):
                atomic_files.write(folder / DONE, data)
                rename_unless_complete(folder, place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return place

    def find_abandoned(
        self, done: Collection[str], is_held: Callable[[str], bool]
    ) -> Iterator[str]:
        """Yield attempts that cannot win: others than the winner, or a day old and nobody's.

        An attempt that is still young may be about to win, whoever holds the lease by now.
        """
        changed: dict[tuple[str, ...], float] = {}
        for name, entry in self.entries("units").items():
            place = PurePosixPath(name).parts[:3]
            if place[2:] not in ((), (DONE,)):
                changed[place] = max(changed.get(place, 0.0), entry.changed)
        attempts = Counter(place[:2] for place in changed)
        for kind, key in attempts:
            if key in done and attempts[kind, key] > 1:
                yield from self._find_losers(unit_name(kind, key))
        then = time.time() - DAY
        for (kind, key, attempt), last in changed.items():
            if key not in done and last < then and not is_held(key):
                yield f"{unit_name(kind, key)}/{attempt}"

    # Inside

    def _find_losers(self, unit: str) -> list[str]:
        """Return the attempts at a done unit that did not win; none if `DONE` is damaged."""
        names = (PurePosixPath(name).parts for name in self.entries(unit))
        attempts = {f"{unit}/{parts[0]}" for parts in names if len(parts) > 1}
        try:
            return sorted(attempts - {self.locate_contents(unit, read_record(self, unit))})
        except StoreError as error:
            _log.warning("attempts at a unit stay: %s", error)
            return []

    def _keep(self, unit: str, workdir: Path, mark: bytes) -> None:
        """Make the files of a unit that was finished here its local copy, not to fetch them."""
        shutil.rmtree(self.local / unit, ignore_errors=True)
        atomic_files.write_inside(workdir / DONE, mark)
        rename_unless_complete(workdir, self.local / unit)

    def _fetch_attempt(self, attempt: str, record: Mapping[str, Any], folder: Path) -> None:
        """Download the files of an attempt; StoreError if one is not what was written."""
        where = self.where(attempt)
        hashes = read_hashes(record, where)
        if not hashes or not all(map(is_plain, hashes)):
            reason = f"{DONE} of {where} is damaged (sha256)"
            raise StoreError(f"store: {reason}; {describe_repair(self.address)}")
        for name in hashes:
            self.download_file(f"{attempt}/{name}", folder / name)
        for name, problem in find_differences(folder, hashes):
            raise StoreError(f"store: {where}/{name} {problem}; {describe_repair(self.address)}")
