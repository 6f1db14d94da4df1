"""A store behind a URL, for machines that share no disk: objects are the store, a folder on each
machine its copy.

    <url>/units/<kind>/<key>/<attempt>/      spec.json, the artefacts, rows.parquet of each attempt
    <url>/units/<kind>/<key>/DONE            which attempt won, with the SHA-256 of its files
    <url>/tables/ · checkpoints/ · datasets/ · runs/ · plans/ · leases/ · damaged/   as in a folder

There are no renames here. What makes a unit done is `DONE`, which is created only where there is
none: of two that finish the same unit the first wins, and an attempt that it does not name was
never there.
"""

import hashlib
import shutil
import uuid
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from distill_core.settings import SettingsError
from orchestrator.errors import StoreError
from orchestrator.store import atomic_files, checkpoints, tables
from orchestrator.store.lease_storage import LeaseStorage, RemoteLeaseStorage
from orchestrator.store.publish import DONE, publish_atomically
from orchestrator.store.remote.names import attempt_of, checkpoints_name, done_name, table_name
from orchestrator.store.remote.objects import Remote
from orchestrator.store.remote.working_copy import FEW, is_plain, place_for, pull
from orchestrator.store.stop_signal import RemoteStopSignal, StopSignal
from orchestrator.store.store import ROWS, SPEC, Store
from orchestrator.store.tables import SCHEMAS, Row
from orchestrator.units import KINDS, Unit, from_json


@dataclass(frozen=True)
class RemoteStore(Store):
    """A store whose truth is remote; `root` is the local copy on this machine."""

    remote: Remote

    @classmethod
    def open(cls, url: str) -> "RemoteStore":
        """Return the store behind a URL; nothing is read yet.

        Raises:
            StoreError: there cannot be a store at such a place.
        """
        remote = Remote.connect(url)
        return cls(place_for(remote.url), remote)

    # What is there

    @property
    def address(self) -> str:
        """The URL."""
        return self.remote.url

    @property
    def lease_storage(self) -> LeaseStorage:
        """Where the leases lie."""
        return RemoteLeaseStorage(self.remote, "leases")

    def resolved(self) -> Store:
        """Return the same store: a URL holds anywhere."""
        return self

    def exists(self) -> bool:
        """Whether anything was ever written to it."""
        return not self.remote.is_empty()

    def stop_signal(self, run: str) -> StopSignal:
        """Return what asks the workers of a launch to checkpoint and stop."""
        return RemoteStopSignal(self.remote, f"runs/{run}.stop")

    def is_done(self, unit: Unit) -> bool:
        """Whether a unit's artefacts and rows are complete."""
        return self.remote.entry(done_name(unit.kind, unit.key)) is not None

    def done_keys(self) -> frozenset[str]:
        """Keys of all units that are done: one listing."""
        return frozenset(self.done_kinds())

    def done_kinds(self) -> dict[str, str]:
        """Kinds of all units that are done, by key."""
        paths = (PurePosixPath(name).parts for name in self.remote.entries("units"))
        return {path[1]: path[0] for path in paths if len(path) == 3 and path[2] == DONE}

    def done_place(self, unit: Unit) -> str:
        """Name what a user deletes to have a done unit computed again."""
        return self.remote.where(done_name(unit.kind, unit.key))

    def done_record(self, key: str) -> dict[str, Any]:
        """Return what the mark of a done unit says; StoreError if it is not done, or the mark is
        damaged.
        """
        for kind in KINDS:
            data = self.remote.get(done_name(kind, key))
            if data is not None:
                return self._parsed(done_name(kind, key), data)
        raise StoreError(
            f"store: unit {key} is not done in {self}; compute it first, with iid unit {key}"
            f" --store {self}"
        )

    def folder_of(self, key: str) -> Path:
        """Return the local folder of a unit that is done, which is fetched if this machine has not
        got it yet.
        """
        record = self.done_record(key)
        place = self.unit_folder(attempt_of(record, key).split("/")[1], key)
        mark = atomic_files.to_json_bytes(record)
        with atomic_files.translated(place):
            if (place / DONE).exists() and (place / DONE).read_bytes() == mark:
                return place
        self.discard_copy(key)
        folder = place.with_name(f".fetched.{key}.{uuid.uuid4().hex}")
        try:
            self.fetch(record, key, folder)
            with atomic_files.translated(folder):
                atomic_files.write(folder / DONE, mark)
                publish_atomically(folder, place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return place

    def spec_of(self, key: str) -> Unit:
        """Return the unit that a done key stands for; StoreError if it is not done or its object is
        damaged.
        """
        try:
            return from_json(self._file(key, SPEC).decode())
        except (SettingsError, UnicodeDecodeError) as error:
            raise StoreError(
                f"store: {SPEC} of unit {key} in {self} is damaged ({error}); {_mend(self)}"
            ) from error

    def fetch(self, record: Mapping[str, Any], key: str, folder: Path) -> None:
        """Download the files of a done unit into a folder; StoreError if one is not what was
        written.
        """
        source = attempt_of(record, key)
        hashes = record.get("sha256")
        if not isinstance(hashes, dict) or not all(map(is_plain, hashes)):
            raise StoreError(
                f"store: {DONE} of unit {key} in {self} is damaged (sha256); {_mend(self)}"
            )
        self.remote.download({f"{source}/{name}": folder / name for name in hashes})
        for name, expected in hashes.items():
            if atomic_files.sha256(folder / name) != expected:
                where = self.remote.where(f"{source}/{name}")
                raise StoreError(
                    f"store: {where} is not what was written (its SHA-256 differs); {_mend(self)}"
                )

    def discard_copy(self, key: str) -> bool:
        """Forget the local copy of a unit."""
        for kind in KINDS:
            shutil.rmtree(self.unit_folder(kind, key), ignore_errors=True)
        return True

    def artifact(self, unit: Unit, name: str) -> Path | None:
        """Return a file of a unit, which is fetched with the unit if need be; None if it is not
        done.
        """
        if not self.is_done(unit):
            return None
        path = self.folder_of(unit.key) / name
        return path if path.exists() else None

    def fresh_tables(self, *names: str, keys: Collection[str] | None = None) -> Path:
        """Return the local folder of the tables, after getting what is new, changed or gone."""
        wanted = None if keys is None else {f"{key}.parquet" for key in keys}
        for name in names or SCHEMAS:
            pull(self.remote, f"tables/{name}", self.root, wanted)
        return self.tables

    # Finishing a unit

    def commit(
        self, unit: Unit, workdir: Path, rows: Sequence[Row], *, run: str, finished: str
    ) -> bool:
        """Make a unit DONE from the artefacts in `workdir`; return False if somebody else was
        first.

        Raises:
            StoreError: the remote cannot be written, or the disk of the local copy is full.
            TableError: a row does not fit its table; nothing was written.
        """
        attempt = f"units/{unit.kind}/{unit.key}/{uuid.uuid4().hex}"
        with atomic_files.translated(workdir):
            record = self.seal(unit, workdir, rows, run=run, finished=finished) | {
                "attempt": attempt
            }
            data = (workdir / ROWS).read_bytes()
        self.remote.upload({f"{attempt}/{name}": workdir / name for name in record["sha256"]})
        mark = atomic_files.to_json_bytes(record)
        first = self.remote.create(done_name(unit.kind, unit.key), mark)
        if first:
            self._keep(unit, workdir, mark)
            self.remote.put(table_name(unit), data)
        else:
            self._publish_winner(unit)
        self.remove_attempts(unit.key, unit.kind, attempt if first else None)
        self.clear_failure(unit.key)
        self.remove_checkpoints(unit)
        return first

    def remove_attempts(self, key: str, kind: str, winner: str | None = None) -> None:
        """Remove attempts to finish a done unit that did not win: their writers find the mark and
        give up.
        """
        winner = winner or attempt_of(self.done_record(key), key)
        folder = f"units/{kind}/{key}"
        names = [f"{folder}/{name}" for name in self.remote.entries(folder)]
        kept = (f"{winner}/", done_name(kind, key))
        self.remote.remove(*(name for name in names if not name.startswith(kept)))

    def publish_missing_rows(self, units: Iterable[Unit]) -> int:
        """Publish again the rows of done units whose table object is gone; return how many there
        were.
        """
        units = list(units)
        if len(units) <= FEW:
            missing = [unit for unit in units if self.remote.entry(table_name(unit)) is None]
        else:
            there = self.remote.entries("tables")
            missing = [
                unit for unit in units if table_name(unit).removeprefix("tables/") not in there
            ]
        for unit in missing:
            self._publish_winner(unit)
        return len(missing)

    def write_rows(self, table: str, key: str, rows: Sequence[Row]) -> None:
        """Write an object of a table that belongs to no unit's results, replacing what is there."""
        self.remote.put(f"tables/{table}/{key}.parquet", tables.encode(table, rows))

    def clear_failure(self, key: str) -> None:
        """Remove the note of a unit's failure, if there is one."""
        self.remote.remove(f"tables/failures/{key}.parquet")

    # Checkpoints of units that are not done

    def save_checkpoint(self, unit: Unit, write: Callable[[Path], None]) -> None:
        """Save the state of a unit's work here, then remotely, replacing the last one."""
        path = checkpoints.save(self.checkpoint_folder(unit), write)
        folder = checkpoints_name(unit)
        self.remote.upload({f"{folder}/{path.name}": path})
        others = [name for name in self.remote.entries(folder) if name != path.name]
        self.remote.remove(*(f"{folder}/{name}" for name in others))

    def load_checkpoint(self, unit: Unit) -> Path | None:
        """Return the file of a unit's last state, fetched if another machine wrote it; None if
        there is none.
        """
        folder, place = checkpoints_name(unit), self.checkpoint_folder(unit)
        there = {
            name: entry
            for name, entry in self.remote.entries(folder).items()
            if checkpoints.is_named(name)
        }
        for name in sorted(there, key=lambda name: there[name].changed, reverse=True):
            if not (place / name).exists():
                part = place / f".{uuid.uuid4().hex}"
                self.remote.download({f"{folder}/{name}": part})
                with atomic_files.translated(part):
                    part.replace(place / name)
            if checkpoints.is_intact(place / name):
                return place / name
            warnings.warn(
                f"{self.remote.where(folder)}/{name} is damaged and left out", stacklevel=2
            )
        return None

    def remove_checkpoints(self, unit: Unit) -> None:
        """Remove a unit's checkpoints."""
        folder = checkpoints_name(unit)
        self.remote.remove(*(f"{folder}/{name}" for name in self.remote.entries(folder)))
        checkpoints.remove(self.checkpoint_folder(unit))

    # Runs, preflight

    def runs(self) -> list[dict[str, Any]]:
        """Return the records of all launches, oldest first; a damaged one is left out."""
        pull(self.remote, "runs", self.root)
        return super().runs()

    def planned(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the units that a launch set out to compute; StoreError if the object is missing or
        damaged.
        """
        pull(self.remote, "plans", self.root, {f"{record['plan']}.json"})
        return super().planned(record)

    def check_writable(self) -> None:
        """Write, read and delete a marker, and see that a second writer does not replace it.

        Raises:
            StoreError: one of these failed, or the local copy cannot be written.
        """
        with atomic_files.translated(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        with self.marker() as name:
            if self.remote.create(name, b"a second writer\n"):
                raise StoreError(
                    f"store: {self}: the storage lets a second writer replace what the first has"
                    " created (it does not keep to If-None-Match), so no unit could be promised to"
                    " be done once; update it, or use another"
                )

    @contextmanager
    def marker(self) -> Iterator[str]:
        """Have a marker in the store that other machines can see, and give its name."""
        name = f".marker.{uuid.uuid4().hex}"
        self.remote.put(name, b"writable\n")
        try:
            yield name
        finally:
            self.remote.remove(name)

    def sees(self, marker: str) -> bool:
        """Whether a marker that another machine has put is there."""
        return self.remote.entry(marker) is not None

    # Inside

    def _keep(self, unit: Unit, workdir: Path, mark: bytes) -> None:
        """Have the files of a unit that was finished here as its local copy: then nobody here has
        to fetch them.
        """
        self.discard_copy(unit.key)
        with suppress(OSError, StoreError):  # it is done all the same
            atomic_files.write(workdir / DONE, mark)
            publish_atomically(workdir, self.unit_folder(unit.kind, unit.key))

    def _publish_winner(self, unit: Unit) -> None:
        self.remote.put(table_name(unit), self._file(unit.key, ROWS))

    def _file(self, key: str, name: str) -> bytes:
        """Return one file of a done unit; StoreError if it is not what was written."""
        record = self.done_record(key)
        path = f"{attempt_of(record, key)}/{name}"
        data = self.remote.get(path)
        hashes = record.get("sha256")
        expected = hashes.get(name) if isinstance(hashes, dict) else None
        if data is None or hashlib.sha256(data).hexdigest() != expected:
            problem = (
                "is missing" if data is None else "is not what was written (its SHA-256 differs)"
            )
            raise StoreError(f"store: {self.remote.where(path)} {problem}; {_mend(self)}")
        return data

    def _write(self, path: Path, data: bytes) -> None:
        self.remote.put(self._name(path), data)

    def _agreed(self, path: Path, record: dict[str, Any]) -> dict[str, Any]:
        name = self._name(path)
        there = self.remote.get(name)
        if there is None and self.remote.create(name, atomic_files.to_json_bytes(record)):
            return record
        return self._parsed(name, there or self.remote.get(name) or b"")

    def _parsed(self, name: str, data: bytes) -> dict[str, Any]:
        return atomic_files.parse_json(self.remote.where(name), data)

    def _place(self, path: Path) -> str:
        return self.remote.where(self._name(path))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _mend(store: Store) -> str:
    return f"iid verify --repair --store {store} sets it aside, and the next run computes it again"
