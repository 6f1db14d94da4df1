"""Whether files of a done unit are what they were when it finished: `DONE` has their SHA-256."""

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.store import atomic_files
from orchestrator.store.storage import Storage
from orchestrator.store.storage.names import DONE
from orchestrator.units import Unit, from_json

DIFFERS = "is not what was written (its SHA-256 differs)"


def describe_repair(store: object) -> str:
    """Say how to have a damaged unit of a store computed again."""
    return f"iid verify --repair --store {store} sets it aside, and the next run computes it again"


def read_record(storage: Storage, unit: str) -> dict[str, Any]:
    """Return what `DONE` of a unit's folder says; StoreError if it is missing or damaged."""
    name = f"{unit}/{DONE}"
    return atomic_files.parse_json(storage.where(name), storage.get(name) or b"")


def read_intact(storage: Storage, unit: str, name: str) -> tuple[str, bytes]:
    """Return the path or URL of one file of a done unit, and its content.

    Raises:
        StoreError: it is missing, or is not what was written.
    """
    record = read_record(storage, unit)
    path = f"{storage.locate_contents(unit, record)}/{name}"
    where, data = storage.where(path), storage.get(path)
    if data is None:
        raise StoreError(f"store: {where} is missing; {describe_repair(storage.address)}")
    expected = read_hashes(record, storage.where(f"{unit}/{DONE}")).get(name)
    if expected not in (None, hashlib.sha256(data).hexdigest()):
        raise StoreError(
            f"store: {where} is damaged: it {DIFFERS}; {describe_repair(storage.address)}"
        )
    return where, data


def parse_unit(where: str, data: bytes) -> Unit:
    """Return the unit that was read from `where`.

    Raises:
        StoreError: it is not a JSON object.
        SettingsError: it is not a unit of this version.
    """
    return from_json(json.dumps(atomic_files.parse_json(where, data)))


def read_hashes(record: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return SHA-256 by relative path from what `DONE` at `where` says.

    Nothing, if an early version wrote it: units without hashes are taken as they are.

    Raises:
        StoreError: there is something else in its place.
    """
    hashes = record.get("sha256", {})
    if not isinstance(hashes, dict) or not all(isinstance(value, str) for value in hashes.values()):
        raise StoreError(
            f"store: {where} is damaged (sha256 does not map file names to hashes); delete it and"
            " run again"
        )
    return hashes


def find_first_difference(folder: Path) -> tuple[str, str] | None:
    """Return the first file of a local unit that is not what its `DONE` says, with the problem."""
    mark = folder / DONE
    return next(
        find_differences(folder, read_hashes(atomic_files.read_json(mark), str(mark))), None
    )


def find_differences(folder: Path, hashes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the names of files that do not have their hashes, with the problem.

    Files that did not change since the last call are not read again.

    Raises:
        StoreError: a file cannot be read.
    """
    for name, expected in hashes.items():
        path = folder / name
        with atomic_files.translate_errors(path):
            if not path.is_file():
                yield name, "is missing"
                continue
            state = path.stat()
        if _sha256(path, state.st_size, state.st_mtime_ns) != expected:
            yield name, DIFFERS


@functools.lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, changed: int) -> str:
    with atomic_files.translate_errors(path):
        return atomic_files.sha256(path)
