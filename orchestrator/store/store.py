"""The store: what was computed, named by what it is. It is the only memory between launches.

    <store>/units/<kind>/<key>/      spec.json, the artifacts, rows.parquet, DONE
    <store>/tables/<table>/<key>.parquet     the same rows, where readers look for them
    <store>/checkpoints/<kind>/<key>/        of units that are not done yet
    <store>/datasets/<name>@<version>.json   fingerprint of the images behind a name
    <store>/runs/<run>.json                  launches
    <store>/plans/<hash>.json                the units that launches set out to compute
    <store>/leases/<key>.json                who works on a unit now
    <store>/tensorboard/<kind>/…<key>/       on the machine that computes the unit
    <store>/damaged/<number>/…               what `iid verify --repair` set aside

A unit is put together in a hidden folder and published at once, `DONE` last. So a unit that is done
is complete, and of two that finish the same unit the first wins. Its rows are copied to the tables
after that; whatever kills a process in between, the next launch copies them. Where all this is kept
is a `Storage`: a folder, or objects behind a URL.
"""

import logging
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill_core.settings import DatasetRef, SettingsError
from orchestrator.errors import StoreError
from orchestrator.store import atomic_files, checkpoints, records, tables
from orchestrator.store.stop_signal import StopSignal
from orchestrator.store.storage import MAX_SINGLE_LOOKUPS, Storage, check_writable, place_marker
from orchestrator.store.storage.integrity import (
    describe_repair,
    find_first_difference,
    parse_unit,
    read_intact,
    read_record,
)
from orchestrator.store.storage.names import (
    DONE,
    ROWS,
    SPEC,
    checkpoints_name,
    rows_name,
    unit_name,
)
from orchestrator.store.tables import SCHEMAS, Row
from orchestrator.units import KINDS, Unit, to_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DONE", "ROWS", "SPEC", "Store"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Store:
    """A store, wherever it is kept; `open_store` opens one."""

    storage: Storage

    @property
    def address(self) -> str:
        """What `open_store` opens it by, and `--store` on the command line."""
        return self.storage.address

    def __str__(self) -> str:
        return self.address

    def resolved(self) -> "Store":
        """Return the same store by an address that holds in any working folder."""
        return Store(self.storage.resolved())

    def exists(self) -> bool:
        """Whether anything was ever written to it."""
        return self.storage.list_top_level() is not None

    def stop_signal(self, run: str) -> StopSignal:
        """Return what asks the workers of a launch to checkpoint and stop."""
        return StopSignal(self.storage, f"runs/{run}.stop")

    # Folders on this machine

    @property
    def root(self) -> Path:
        """The store's folder on this machine; of a URL it is a working copy."""
        return self.storage.local

    @property
    def tables(self) -> Path:
        """Folder of the Parquet tables, which `refresh_tables` brings up to date."""
        return self.root / "tables"

    def locate_unit(self, kind: str, key: str) -> Path:
        """Folder for the files of a unit that is done."""
        return self.root / "units" / kind / key

    def locate_checkpoints(self, unit: Unit) -> Path:
        """Folder for the checkpoints of a running unit."""
        return self.root / checkpoints_name(unit)

    def locate_tensorboard(self, unit: Unit, name: str | None = None) -> Path:
        """Folder for the TensorBoard log of a unit.

        TensorBoard shows the names of folders, so a new one has a name that people can read. A log
        that an earlier version began by the key alone is continued.
        """
        folder = self.root / "tensorboard" / unit.kind
        by_key = folder / unit.key
        return by_key if name is None or by_key.exists() else folder / name

    # Reading

    def refresh_tables(self, *names: str, keys: Collection[str] | None = None) -> Path:
        """Return the folder of the tables as they are now.

        Args:
            names: tables that are needed; all by default.
            keys: units whose rows are needed; all by default.
        """
        wanted = None if keys is None else {f"{key}.parquet" for key in keys}
        for name in names or SCHEMAS:
            self.storage.refresh(f"tables/{name}", wanted)
        return self.tables

    def read(self, table: str, keys: Collection[str] | None = None) -> "pa.Table":
        """Read a table as it is now, of all units or of the given ones; see `tables.read`."""
        return tables.read(self.refresh_tables(table, keys=keys), table, keys)

    def is_done(self, unit: Unit) -> bool:
        """Whether a unit's files and rows are complete; StoreError if that cannot be seen."""
        return self.storage.entry(f"{unit_name(unit.kind, unit.key)}/{DONE}") is not None

    def find_done_keys(self) -> frozenset[str]:
        """Keys of all units that are done; no file is read."""
        return frozenset(self.storage.list_published())

    def read_done_record(self, key: str) -> dict[str, Any]:
        """Return what `DONE` says: run, time, SHA-256 of each artifact and of the rows.

        Raises:
            StoreError: the unit is not done, or `DONE` is damaged.
        """
        return read_record(self.storage, self._locate(key))

    def fetch_folder(self, key: str) -> Path:
        """Return the local folder of a done unit, fetched if need be; StoreError if not done."""
        return self.storage.fetch(self._locate(key))

    def fetch_intact_folder(self, key: str) -> Path:
        """Return the folder of a done unit whose files are what they were when it finished.

        Raises:
            StoreError: it is not done, or a file is missing or was changed.
        """
        return self._fetch_intact(self._locate(key))

    def find_artifact(self, unit: Unit, name: str) -> Path | None:
        """Return a local file of a done unit, or None; StoreError if the unit is damaged."""
        if not self.is_done(unit):
            return None
        path = self._fetch_intact(unit_name(unit.kind, unit.key)) / name
        return path if path.exists() else None

    def read_unit(self, key: str) -> Unit:
        """Return the unit that a done key stands for.

        Raises:
            StoreError: it is not done, or its file is damaged.
        """
        where, data = read_intact(self.storage, self._locate(key), SPEC)
        try:
            return parse_unit(where, data)
        except SettingsError as error:
            reason = f"{where} is damaged ({error})"
            raise StoreError(f"store: {reason}; {describe_repair(self)}") from error

    def locate_done(self, unit: Unit) -> str:
        """Name what a user deletes to have a done unit computed again."""
        return self.storage.where(f"{unit_name(unit.kind, unit.key)}/{DONE}")

    # Finishing a unit

    @contextmanager
    def scratch(self, unit: Unit) -> Iterator[Path]:
        """Give a private folder for a unit's artifacts, gone at the end unless `commit` moved it.

        To be called by who holds the unit's lease: what an earlier, killed attempt left is removed.
        """
        place = self.locate_unit(unit.kind, unit.key)
        with atomic_files.translate_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            for left in place.parent.glob(f".{unit.key}.*"):
                _remove_at_once(left)
            folder = place.with_name(f".{unit.key}.{uuid.uuid4().hex}")
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(
        self, unit: Unit, workdir: Path, rows: Sequence[Row], *, run: str, finished: str
    ) -> bool:
        """Make a unit done with the artifacts in `workdir`; return False if another was first.

        Raises:
            StoreError: the store cannot be written, or `workdir` was taken away.
            TableError: a row does not fit its table; nothing was written.
        """
        table = KINDS[unit.kind].table
        with atomic_files.translate_errors(workdir):
            artifacts = atomic_files.list_files(workdir)
            atomic_files.write_inside(workdir / ROWS, tables.encode(table, rows))
            atomic_files.write_inside(workdir / SPEC, to_json(unit).encode())
            hashes = atomic_files.sync_and_hash(workdir)
            if hashes.keys() != artifacts | {ROWS, SPEC}:
                raise StoreError(f"store: {workdir} was changed by another process meanwhile")
            record: dict[str, Any] = {
                "key": unit.key,
                "kind": unit.kind,
                "run": run,
                "finished": finished,
                "table": table,
                "rows": len(rows),
                "sha256": hashes,
            }
        first = self.storage.publish(unit_name(unit.kind, unit.key), workdir, record)
        # Only now: rows that are in a table belong to a unit that is done. They are the winner's.
        self._publish_rows(unit)
        self.clear_failure(unit.key)
        self.remove_checkpoints(unit)
        return first

    def publish_missing_rows(self, units: Iterable[Unit]) -> int:
        """Publish again the rows of done units that are in no table; return how many there were."""
        units = list(units)
        if len(units) <= MAX_SINGLE_LOOKUPS:
            missing = [unit for unit in units if self.storage.entry(_table_file(unit)) is None]
        else:
            present = {f"tables/{name}" for name in self.storage.entries("tables")}
            missing = [unit for unit in units if _table_file(unit) not in present]
        for unit in missing:
            self._publish_rows(unit)
            _log.warning("rows of %s %s were in no table: published again", unit.kind, unit.key)
        return len(missing)

    def record_failure(self, row: Row) -> None:
        """Record why a unit failed, in place of an earlier failure; `commit` removes it."""
        self.write_rows("failures", row["key"], [row])

    def clear_failure(self, key: str) -> None:
        """Remove the record of a unit's failure, if there is one."""
        self.storage.remove(rows_name("failures", key))

    def write_rows(self, table: str, key: str, rows: Sequence[Row]) -> None:
        """Write a file of a table that belongs to no unit's results, replacing what is there.

        Raises:
            StoreError: the store cannot be written.
            TableError: a row does not fit the table.
        """
        self.storage.put(rows_name(table, key), tables.encode(table, rows))

    # Checkpoints of units that are not done

    def save_checkpoint(self, unit: Unit, write: Callable[[Path], None]) -> Path:
        """Save the state of a unit's work, replacing the last one; see `checkpoints.save`."""
        return checkpoints.save(self.storage, checkpoints_name(unit), write)

    def load_checkpoint(self, unit: Unit) -> Path | None:
        """Return the file of a unit's last state, written on any machine; None if there is none."""
        return checkpoints.load(self.storage, checkpoints_name(unit))

    def remove_checkpoints(self, unit: Unit) -> None:
        """Remove a unit's checkpoints; what cannot be removed is left to the next clean-up."""
        try:
            self.storage.remove_all(checkpoints_name(unit))
        except StoreError as error:
            # The unit is done. A worker that lost its lease may be saving one at this moment.
            _log.warning("checkpoints of %s %s stay: %s", unit.kind, unit.key, error)

    # Data sets and launches

    def check_fingerprint(
        self, dataset: DatasetRef, fingerprint: str, classes: Sequence[str] = ()
    ) -> None:
        """Remember which images are behind a data set's name; StoreError if they were others."""
        records.check_fingerprint(self.storage, dataset, fingerprint, classes)

    def read_class_names(self, dataset: DatasetRef, fingerprint: str) -> list[str] | None:
        """Return a data set's class names when its first result was made; None if unknown.

        Raises:
            StoreError: results were computed from other images than those of the fingerprint.
        """
        known = records.read_dataset(self.storage, dataset)
        if known is None:
            return None
        records.refuse_other_images(self.storage, dataset, fingerprint, known)
        return known.get("classes")

    def claim_extractor(self, place: tuple[str, ...], index: int, file: str, digest: str) -> None:
        """Remember a network of a user's pool; see `records.claim_extractor`."""
        records.claim_extractor(self.storage, place, index, file, digest)

    def write_run(
        self, run: str, record: Mapping[str, object], units: Mapping[str, Unit]
    ) -> dict[str, object]:
        """Write the record of a launch, and once per plan what launches of it set out to do.

        Args:
            run: name of the launch.
            record: `space` and `started` (ISO 8601) at least.
            units: by key, each after those it needs.

        Returns:
            The record as it was written, for `rewrite_run`.
        """
        return records.write_run(self.storage, run, record, units)

    def rewrite_run(self, record: Mapping[str, object]) -> None:
        """Replace the record of a launch, whose name is in it."""
        records.rewrite_run(self.storage, record)

    def read_runs(self) -> list[dict[str, Any]]:
        """Return the records of all launches, oldest first; a damaged one is left out."""
        return records.read_runs(self.storage)

    def read_plan(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a launch set out to compute: JSON of units by key; StoreError if damaged."""
        return records.read_plan(self.storage, record)

    def check_writable(self) -> None:
        """Write, read and delete a marker; StoreError if that fails or writers can collide."""
        check_writable(self.storage)

    def place_marker(self) -> AbstractContextManager[str]:
        """Have a marker in the store that other machines can see, and give its name."""
        return place_marker(self.storage)

    def sees(self, marker: str) -> bool:
        """Whether a marker that another machine has put is there."""
        return self.storage.entry(marker) is not None

    def _locate(self, key: str) -> str:
        """Return the name of a done unit's folder; StoreError if the unit is not done."""
        for kind in KINDS:
            if self.storage.entry(f"{unit_name(kind, key)}/{DONE}") is not None:
                return unit_name(kind, key)
        raise StoreError(
            f"store: unit {key} is not done in {self}; compute it first, with iid unit {key}"
            f" --store {self}"
        )

    def _fetch_intact(self, unit: str) -> Path:
        """Fetch a done unit by the name of its folder; see `fetch_intact_folder`."""
        folder = self.storage.fetch(unit)
        if find_first_difference(folder) is not None:
            # Of a URL this is a copy: the original may be intact.
            _log.warning("a file of %s is damaged in %s", unit, folder)
            folder = self.storage.fetch(unit, again=True)
        if (difference := find_first_difference(folder)) is not None:
            name, problem = difference
            raise StoreError(f"store: {folder / name} {problem}; {describe_repair(self)}")
        return folder

    def _publish_rows(self, unit: Unit) -> None:
        _, data = read_intact(self.storage, unit_name(unit.kind, unit.key), ROWS)
        self.storage.put(_table_file(unit), data)


def _remove_at_once(folder: Path) -> None:
    """Remove a folder by way of a rename: whoever may still use it finds all of it or nothing."""
    aside = folder.with_name(f"{folder.name[:80]}.{uuid.uuid4().hex}")
    try:
        folder.rename(aside)
    except OSError as error:
        _log.info("a leftover stays or is gone already: %s", error)
        return
    shutil.rmtree(aside, ignore_errors=True)


def _table_file(unit: Unit) -> str:
    return rows_name(KINDS[unit.kind].table, unit.key)
