"""The store: what was computed, named by what it is. It is the only memory between launches.

    <store>/units/<kind>/<key>/      spec.json, the artefacts, rows.parquet, DONE
    <store>/tables/<table>/<key>.parquet     the same rows, where readers look for them
    <store>/checkpoints/<kind>/<key>/        of units that are not done yet
    <store>/datasets/<name>@<version>.json   fingerprint of the images behind a name
    <store>/runs/<run>.json  ·  plans/<hash>.json        launches, and the units that they set out to compute
    <store>/leases/<key>.json  ·  tensorboard/<kind>/<key>/  ·  damaged/<number>/… (what `iid verify` set aside)

A unit is put together in a hidden folder beside its place, `DONE` last, and appears by one rename. So a folder that is
there is complete, and of two that finish the same unit the first wins. Its rows are published after that; whatever
kills a process in between, the next launch publishes them.
"""

import hashlib
import json
import os
import shutil
import urllib.parse
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill_core.settings import DatasetRef, SettingsError
from orchestrator import checkpoints, files, tables
from orchestrator.files import StoreError
from orchestrator.tables import TABLE_OF_KIND, Row
from orchestrator.units import KINDS, Unit, from_json, to_json

DONE = "DONE"
SPEC = "spec.json"
ROWS = "rows.parquet"
_RECORD = ("run", "space", "started", "plan")

__all__ = ["DONE", "ROWS", "SPEC", "Store", "StoreError"]


@dataclass(frozen=True, slots=True)
class Store:
    """A store in one folder, which appears with the first thing written to it."""

    root: Path

    # What is there

    @property
    def tables(self) -> Path:
        """Folder of the Parquet tables."""
        return self.root / "tables"

    @property
    def leases(self) -> Path:
        """Folder of the leases."""
        return self.root / "leases"

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
            f"store: unit {key} is not done in {self.root}; compute it first, with iid unit {key} --store {self.root}"
        )

    def spec_of(self, key: str) -> Unit:
        """Return the unit that a done key stands for; StoreError if it is not done or its file is damaged."""
        path = self.folder_of(key) / SPEC
        try:
            return from_json(json.dumps(files.read_json(path)))
        except SettingsError as error:
            raise StoreError(f"store: {path} is damaged ({error}); delete its folder and run again") from error

    def done_record(self, key: str) -> dict[str, Any]:
        """Return what `DONE` says: run, time, SHA-256 of each artefact and of the rows."""
        return files.read_json(self.folder_of(key) / DONE)

    # Finishing a unit

    @contextmanager
    def scratch(self, unit: Unit) -> Iterator[Path]:
        """Give a private folder for a unit's artefacts, gone at the end unless `commit` moved it into place.

        To be called by who holds the unit's lease: what an earlier, killed attempt left is removed.
        """
        place = self.unit_folder(unit.kind, unit.key)
        with files.translated(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            for left in place.parent.glob(f".{unit.key}.*"):
                shutil.rmtree(left, ignore_errors=True)
            folder = place.with_name(f".{unit.key}.{uuid.uuid4().hex}")
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, unit: Unit, workdir: Path, rows: Sequence[Row], *, run: str, finished: str) -> bool:
        """Make a unit DONE from the artefacts in `workdir`; return False if somebody else was first.

        Raises:
            StoreError: the disk is full, the store cannot be written, or `workdir` was taken away.
            TableError: a row does not fit its table; nothing was written.
        """
        place, table = self.unit_folder(unit.kind, unit.key), TABLE_OF_KIND[unit.kind]
        with files.translated(workdir):
            tables.write(workdir / ROWS, table, rows)
            files.write(workdir / SPEC, to_json(unit).encode())
            record = {
                "key": unit.key,
                "kind": unit.kind,
                "run": run,
                "finished": finished,
                "table": table,
                "rows": len(rows),
                "sha256": _sealed(workdir),
            }
            files.write(workdir / DONE, files.to_json_bytes(record))
            first = _move(workdir, place)
        self._publish(unit, place / ROWS)  # the winner's, whoever of two that is
        self.clear_failure(unit.key)
        checkpoints.remove(self.checkpoint_folder(unit))
        return first

    def publish_missing_rows(self, units: Iterable[Unit]) -> int:
        """Publish again the rows of done units whose table file is gone; return how many there were."""
        with files.translated(self.tables):
            there = {table: _names(self.tables / table) for table in tables.SCHEMAS}
        missing = [unit for unit in units if f"{unit.key}.parquet" not in there[TABLE_OF_KIND[unit.kind]]]
        for unit in missing:
            self._publish(unit, self.unit_folder(unit.kind, unit.key) / ROWS)
        return len(missing)

    def record_failure(self, row: Row) -> None:
        """Note why a unit failed; a later failure replaces the note, finishing the unit removes it."""
        path = self.tables / "failures" / f"{row['key']}.parquet"
        with files.translated(path):
            tables.write(path, "failures", [row])

    def clear_failure(self, key: str) -> None:
        """Remove the note of a unit's failure, if there is one."""
        path = self.tables / "failures" / f"{key}.parquet"
        with files.translated(path):
            path.unlink(missing_ok=True)

    # Data sets, runs, preflight

    def dataset_record(self, dataset: DatasetRef) -> Path:
        """File that says which images are behind a data set's name."""
        size = "" if dataset.image_size is None else f"-{dataset.image_size}"
        return self.root / "datasets" / f"{urllib.parse.quote(dataset.name, safe='')}@{dataset.version}{size}.json"

    def check_fingerprint(self, dataset: DatasetRef, fingerprint: str) -> None:
        """Remember which images are behind a data set's name, and refuse others.

        Raises:
            StoreError: the store already holds results on other images of this name and version.
        """
        path = self.dataset_record(dataset)
        record = {"name": dataset.name, "version": dataset.version, "fingerprint": fingerprint}
        if path.exists() or not files.create(path, files.to_json_bytes(record)):
            known = files.read_json(path).get("fingerprint")
            if known != fingerprint:
                raise StoreError(
                    f"data set {dataset.name} (version {dataset.version}) has other images than those that the results "
                    f"in {self.root} were computed from ({fingerprint} here, {known} there, see {path}); "
                    "restore the files, or give the changed data set a new version, or use another store"
                )

    def write_run(self, run: str, record: Mapping[str, object], units: Mapping[str, Unit]) -> None:
        """Write the record of a launch, and once for all launches of the same plan what it set out to do.

        Args:
            run: name of the launch.
            record: `space` and `started` (ISO 8601) at least.
            units: by key, each after those it needs.
        """
        lines = ",\n".join(f'"{key}": {to_json(unit)}' for key, unit in units.items())
        plan = f"{{\n{lines}\n}}\n".encode()
        name = hashlib.sha256(plan).hexdigest()[:16]
        files.write(self.root / "plans" / f"{name}.json", plan)
        files.write(self.root / "runs" / f"{run}.json", files.to_json_bytes({**record, "run": run, "plan": name}))

    def runs(self) -> list[dict[str, Any]]:
        """Return the records of all launches, oldest first; a damaged one is left out."""
        records = []
        with files.translated(self.root / "runs"):
            names = _names(self.root / "runs")
        for name in names:
            if name.endswith(".json") and not name.startswith("."):
                try:
                    records.append(files.read_json(self.root / "runs" / name))
                except StoreError:
                    continue
        whole = [record for record in records if all(isinstance(record.get(name), str) for name in _RECORD)]
        return sorted(whole, key=lambda record: str(record["started"]))

    def planned(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the units that a launch set out to compute: their JSON by key, each after those it needs.

        Raises:
            StoreError: the file is missing or damaged.
        """
        return files.read_json(self.root / "plans" / f"{record['plan']}.json")

    def check_writable(self) -> None:
        """Write, read and delete a marker file.

        Raises:
            StoreError: one of these failed.
        """
        marker = self.root / f".marker.{uuid.uuid4().hex}"
        with files.translated(self.root):
            if self.root.exists() and not self.root.is_dir():
                raise StoreError(f"store: {self.root} is a file; choose a folder with --store")
            try:
                files.write(marker, b"writable\n")
            finally:
                marker.unlink(missing_ok=True)

    # Inside

    def _done_of_kind(self, kind: str) -> Iterator[str]:
        folder = self.root / "units" / kind
        with files.translated(folder):
            for name in _names(folder):
                if not name.startswith(".") and os.path.exists(f"{folder}/{name}/{DONE}"):  # noqa: PTH110 (10,000 units)
                    yield name

    def _publish(self, unit: Unit, rows: Path) -> None:
        with files.translated(rows):
            data = rows.read_bytes()
        files.write(self.tables / TABLE_OF_KIND[unit.kind] / f"{unit.key}.parquet", data)


def _exists(path: Path) -> bool:
    with files.translated(path):
        return path.exists()


def _sealed(workdir: Path) -> dict[str, str]:
    """Force all files of a folder to the disk and return their SHA-256 by relative path."""
    sums = {}
    for path in sorted(path for path in workdir.rglob("*") if path.is_file()):
        files.sync(path)
        sums[path.relative_to(workdir).as_posix()] = files.sha256(path)
    return sums


def _move(workdir: Path, place: Path) -> bool:
    """Rename `workdir` to `place` unless a complete unit is there; one without `DONE` makes room."""
    while True:
        try:
            workdir.rename(place)
        except OSError:
            if not place.exists():
                raise
        else:
            files.sync_folder(place.parent)
            return True
        if (place / DONE).exists():
            return False
        _discard(place)


def _discard(place: Path) -> None:
    aside = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        place.rename(aside)
    except FileNotFoundError:
        return
    if (aside / DONE).exists():  # completed by another process in the meantime: put it back
        aside.rename(place)
    else:
        shutil.rmtree(aside, ignore_errors=True)


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208 (names only, for speed)
    except FileNotFoundError:
        return set()
