"""The store: what was computed, named by what it is. It is the only memory between launches.

    <store>/units/<kind>/<key>/      spec.json, the artefacts, rows.parquet, DONE
    <store>/tables/<table>/<key>.parquet     the same rows, where readers look for them
    <store>/checkpoints/<kind>/<key>/        of units that are not done yet
    <store>/datasets/<name>@<version>.json   fingerprint of the images behind a name
    <store>/runs/<run>.json                  launches
    <store>/plans/<hash>.json                the units that launches set out to compute
    <store>/leases/<key>.json                who works on a unit now
    <store>/tensorboard/<kind>/<key>/
    <store>/damaged/<number>/…               what `iid verify` set aside

A unit is put together in a hidden folder beside its place, `DONE` last, and appears by one rename.
So a folder that is there is complete, and of two that finish the same unit the first wins. Its rows
are published after that; whatever kills a process in between, the next launch publishes them.

A store behind a URL is a `RemoteStore`, which has such a folder as its local copy; `opening` tells
which it is.
"""

import json
import os
import shutil
import urllib.parse
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill_core.settings import DatasetRef, SettingsError
from orchestrator.errors import StoreError
from orchestrator.store import atomic_files, checkpoints, tables
from orchestrator.store.launch_records import encode_plan, names_in, read_records
from orchestrator.store.lease_storage import FolderLeaseStorage, LeaseStorage
from orchestrator.store.publish import DONE, fsync_and_hash, publish_atomically
from orchestrator.store.stop_signal import FileStopSignal, StopSignal
from orchestrator.store.tables import Row
from orchestrator.units import KINDS, Unit, from_json, to_json

if TYPE_CHECKING:
    import pyarrow as pa

SPEC = "spec.json"
ROWS = "rows.parquet"

__all__ = ["DONE", "ROWS", "SPEC", "Store"]


@dataclass(frozen=True, slots=True)
class Store:
    """A store in one folder, which appears with the first thing written to it."""

    root: Path

    # What is there

    @property
    def address(self) -> str:
        """What `opening.open_store` opens it by, and `--store` on the command line."""
        return str(self.root)

    def __str__(self) -> str:
        return self.address

    def resolved(self) -> "Store":
        """Return the same store by an address that holds in any working folder."""
        return Store(self.root.expanduser().resolve())

    def exists(self) -> bool:
        """Whether anything was ever written to it."""
        return self.root.is_dir()

    @property
    def tables(self) -> Path:
        """Folder of the Parquet tables."""
        return self.root / "tables"

    @property
    def leases(self) -> Path:
        """Folder of the leases."""
        return self.root / "leases"

    @property
    def lease_storage(self) -> LeaseStorage:
        """Where the leases lie."""
        return FolderLeaseStorage(self.leases)

    def stop_signal(self, run: str) -> StopSignal:
        """Return what asks the workers of a launch to checkpoint and stop."""
        return FileStopSignal(self.root / "runs" / f"{run}.stop")

    def fresh_tables(self, *names: str, keys: Collection[str] | None = None) -> Path:
        """Return the folder of the tables as they are now, as far as the named ones (all by
        default) and keys go.
        """
        return self.tables

    def read(self, table: str, keys: Collection[str] | None = None) -> "pa.Table":
        """Read a table as it is now, of all units or of the given ones; see `tables.read`."""
        return tables.read(self.fresh_tables(table, keys=keys), table, keys)

    def artifact(self, unit: Unit, name: str) -> Path | None:
        """Return a file of a unit that is done; None if it is not there."""
        path = self.unit_folder(unit.kind, unit.key) / name
        return path if path.exists() else None

    def done_place(self, unit: Unit) -> str:
        """Name what a user deletes to have a done unit computed again."""
        return str(self.unit_folder(unit.kind, unit.key))

    def unit_folder(self, kind: str, key: str) -> Path:
        """Folder in which a unit lies once it is done."""
        return self.root / "units" / kind / key

    def checkpoint_folder(self, unit: Unit) -> Path:
        """Folder of a running unit's checkpoints."""
        return self.root / "checkpoints" / unit.kind / unit.key

    def tensorboard_folder(self, unit: Unit) -> Path:
        """Folder of a unit's TensorBoard log."""
        return self.root / "tensorboard" / unit.kind / unit.key

    def is_done(self, unit: Unit) -> bool:
        """Whether a unit's artefacts and rows are complete; StoreError if that cannot be seen."""
        return _exists(self.unit_folder(unit.kind, unit.key) / DONE)

    def done_keys(self) -> frozenset[str]:
        """Keys of all units that are done: one listing a kind, no file is read."""
        return frozenset(key for kind in KINDS for key in self._done_of_kind(kind))

    def folder_of(self, key: str) -> Path:
        """Return the folder of a unit that is done.

        Raises:
            StoreError: it is not.
        """
        for kind in KINDS:
            folder = self.unit_folder(kind, key)
            if _exists(folder / DONE):
                return folder
        raise StoreError(
            f"store: unit {key} is not done in {self}; compute it first, with iid unit {key}"
            f" --store {self}"
        )

    def spec_of(self, key: str) -> Unit:
        """Return the unit that a done key stands for; StoreError if it is not done or its file is
        damaged.
        """
        path = self.folder_of(key) / SPEC
        try:
            return from_json(json.dumps(atomic_files.read_json(path)))
        except SettingsError as error:
            raise StoreError(
                f"store: {path} is damaged ({error}); delete its folder and run again"
            ) from error

    def discard_copy(self, key: str) -> bool:
        """Forget a damaged copy of a unit, if the original lies elsewhere; return whether there is
        one.
        """
        return False

    def done_record(self, key: str) -> dict[str, Any]:
        """Return what `DONE` says: run, time, SHA-256 of each artefact and of the rows."""
        return atomic_files.read_json(self.folder_of(key) / DONE)

    # Finishing a unit

    @contextmanager
    def scratch(self, unit: Unit) -> Iterator[Path]:
        """Give a private folder for a unit's artefacts, gone at the end unless `commit` moved it
        into place.

        To be called by who holds the unit's lease: what an earlier, killed attempt left is removed.
        """
        place = self.unit_folder(unit.kind, unit.key)
        with atomic_files.translated(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            for left in place.parent.glob(f".{unit.key}.*"):
                shutil.rmtree(left, ignore_errors=True)
            folder = place.with_name(f".{unit.key}.{uuid.uuid4().hex}")
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(
        self, unit: Unit, workdir: Path, rows: Sequence[Row], *, run: str, finished: str
    ) -> bool:
        """Make a unit DONE from the artefacts in `workdir`; return False if somebody else was
        first.

        Raises:
            StoreError: the disk is full, the store cannot be written, or `workdir` was taken away.
            TableError: a row does not fit its table; nothing was written.
        """
        place = self.unit_folder(unit.kind, unit.key)
        with atomic_files.translated(workdir):
            record = self.seal(unit, workdir, rows, run=run, finished=finished)
            atomic_files.write(workdir / DONE, atomic_files.to_json_bytes(record))
            first = publish_atomically(workdir, place)
        self._publish(unit, place / ROWS)  # the winner's, whoever of two that is
        self.clear_failure(unit.key)
        self.remove_checkpoints(unit)
        return first

    def seal(
        self, unit: Unit, workdir: Path, rows: Sequence[Row], *, run: str, finished: str
    ) -> dict[str, Any]:
        """Write rows and spec beside the artefacts, and return what the mark of the finished unit
        has to say.
        """
        table = KINDS[unit.kind].table
        tables.write(workdir / ROWS, table, rows)
        atomic_files.write(workdir / SPEC, to_json(unit).encode())
        record: dict[str, Any] = {
            "key": unit.key,
            "kind": unit.kind,
            "run": run,
            "finished": finished,
        }
        return record | {"table": table, "rows": len(rows), "sha256": fsync_and_hash(workdir)}

    def publish_missing_rows(self, units: Iterable[Unit]) -> int:
        """Publish again the rows of done units whose table file is gone; return how many there
        were.
        """
        there = {table: names_in(self.tables / table) for table in tables.SCHEMAS}
        missing = [
            unit for unit in units if f"{unit.key}.parquet" not in there[KINDS[unit.kind].table]
        ]
        for unit in missing:
            self._publish(unit, self.unit_folder(unit.kind, unit.key) / ROWS)
        return len(missing)

    def record_failure(self, row: Row) -> None:
        """Note why a unit failed; a later failure replaces the note, finishing the unit removes
        it.
        """
        self.write_rows("failures", row["key"], [row])

    def write_rows(self, table: str, key: str, rows: Sequence[Row]) -> None:
        """Write a file of a table that belongs to no unit's results, replacing what is there.

        Raises:
            StoreError: the store cannot be written.
            TableError: a row does not fit the table.
        """
        tables.write(self.tables / table / f"{key}.parquet", table, rows)

    def clear_failure(self, key: str) -> None:
        """Remove the note of a unit's failure, if there is one."""
        path = self.tables / "failures" / f"{key}.parquet"
        with atomic_files.translated(path):
            path.unlink(missing_ok=True)

    # Checkpoints of units that are not done

    def save_checkpoint(self, unit: Unit, write: Callable[[Path], None]) -> None:
        """Save the state of a unit's work, replacing the last one; see `checkpoints.save`."""
        checkpoints.save(self.checkpoint_folder(unit), write)

    def load_checkpoint(self, unit: Unit) -> Path | None:
        """Return the file of a unit's last state, written on any machine; None if there is none."""
        return checkpoints.load(self.checkpoint_folder(unit))

    def remove_checkpoints(self, unit: Unit) -> None:
        """Remove a unit's checkpoints."""
        checkpoints.remove(self.checkpoint_folder(unit))

    # Data sets, runs, preflight

    def dataset_record(self, dataset: DatasetRef) -> Path:
        """File that says which images are behind a data set's name."""
        size = "" if dataset.image_size is None else f"-{dataset.image_size}"
        return (
            self.root
            / "datasets"
            / f"{urllib.parse.quote(dataset.name, safe='')}@{dataset.version}{size}.json"
        )

    def check_fingerprint(self, dataset: DatasetRef, fingerprint: str) -> None:
        """Remember which images are behind a data set's name, and refuse others.

        Raises:
            StoreError: the store already holds results on other images of this name and version.
        """
        path = self.dataset_record(dataset)
        record = {"name": dataset.name, "version": dataset.version, "fingerprint": fingerprint}
        known = self._agreed(path, record).get("fingerprint")
        if known != fingerprint:
            raise StoreError(
                f"data set {dataset.name} (version {dataset.version}) has other images than those"
                f" that the results in {self} were computed from ({fingerprint} here, {known}"
                f" there, see {self._place(path)}); restore the files, or give the changed data set"
                " a new version, or use another store"
            )

    def write_run(
        self, run: str, record: Mapping[str, object], units: Mapping[str, Unit]
    ) -> dict[str, object]:
        """Write the record of a launch, and once for all launches of a plan what it set out to do.

        Args:
            run: name of the launch.
            record: `space` and `started` (ISO 8601) at least.
            units: by key, each after those it needs.

        Returns:
            The record as it was written, for `rewrite_run`.
        """
        name, plan = encode_plan(units)
        self._write(self.root / "plans" / f"{name}.json", plan)
        written = {**record, "run": run, "plan": name}
        self.rewrite_run(written)
        return written

    def rewrite_run(self, record: Mapping[str, object]) -> None:
        """Replace the record of a launch, whose name is in it."""
        path = self.root / "runs" / f"{record['run']}.json"
        self._write(path, atomic_files.to_json_bytes(dict(record)))

    def runs(self) -> list[dict[str, Any]]:
        """Return the records of all launches, oldest first; a damaged one is left out."""
        return read_records(self.root / "runs")

    def planned(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the units that a launch set out to compute: their JSON by key, each after those it
        needs.

        Raises:
            StoreError: the file is missing or damaged.
        """
        return atomic_files.read_json(self.root / "plans" / f"{record['plan']}.json")

    def check_writable(self) -> None:
        """Write, read and delete a marker file.

        Raises:
            StoreError: one of these failed.
        """
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"store: {self.root} is a file; choose a folder with --store")
        with self.marker():
            pass

    @contextmanager
    def marker(self) -> Iterator[str]:
        """Have a marker in the store that other machines can see, and give its name."""
        name = f".marker.{uuid.uuid4().hex}"
        with atomic_files.translated(self.root):
            try:
                atomic_files.write(self.root / name, b"writable\n")
                yield name
            finally:
                (self.root / name).unlink(missing_ok=True)

    def sees(self, marker: str) -> bool:
        """Whether a marker that another machine has put is there."""
        return (self.root / marker).exists()

    # Inside

    def _write(self, path: Path, data: bytes) -> None:
        atomic_files.write(path, data)

    def _agreed(self, path: Path, record: dict[str, Any]) -> dict[str, Any]:
        """Return the record at `path`, which is this one if there was none."""
        there = path.exists() or not atomic_files.create(path, atomic_files.to_json_bytes(record))
        return atomic_files.read_json(path) if there else record

    def _place(self, path: Path) -> str:
        """Name a file of the store for a message."""
        return str(path)

    def _done_of_kind(self, kind: str) -> Iterator[str]:
        folder = self.root / "units" / kind
        with atomic_files.translated(folder):
            for name in names_in(folder):
                if not name.startswith(".") and os.path.exists(f"{folder}/{name}/{DONE}"):  # noqa: PTH110 (10,000 units)
                    yield name

    def _publish(self, unit: Unit, rows: Path) -> None:
        with atomic_files.translated(rows):
            data = rows.read_bytes()
        atomic_files.write(self.tables / KINDS[unit.kind].table / f"{unit.key}.parquet", data)


def _exists(path: Path) -> bool:
    with atomic_files.translated(path):
        return path.exists()
