"""Verifying one unit of a store: its files, its specification, and its rows in the tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

import pyarrow as pa

from distill_core.settings import SettingsError
from orchestrator.errors import StoreError
from orchestrator.store import tables
from orchestrator.store.storage import Entry, Storage
from orchestrator.store.storage.integrity import DIFFERS, parse_unit, read_hashes, read_record
from orchestrator.store.storage.names import DONE, ROWS, SPEC, rows_name, unit_name
from orchestrator.units import KINDS, Unit

Action = Literal["recompute", "publish", "set aside", "none"]
"""recompute: a unit is not what was computed; publish: its rows have to be put into the tables
again; set aside: a file belongs to nothing or cannot be read; none: good to know, but the next
launch takes care of it or nobody has to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something in a store that is not as it should be."""

    place: str
    """Path relative to the store."""
    problem: str
    action: Action
    kind: str | None = None
    """Of the unit concerned."""
    key: str | None = None


@dataclass(kw_only=True, slots=True)
class UnitCheck:
    """What the check of one unit has shown so far."""

    kind: str
    key: str
    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    unit: Unit | None = None
    fingerprint: str | None = None
    """Of the images that it was computed from."""

    def add(self, name: str, problem: str, action: Action = "recompute") -> None:
        """Add what is wrong with a file of the unit, or with its folder if `name` is empty."""
        self.add_at(str(PurePosixPath(unit_name(self.kind, self.key), name)), problem, action)

    def add_at(self, place: str, problem: str, action: Action) -> None:
        """Add what is wrong with a file outside the unit's folder."""
        self.findings.append(
            Finding(place=place, problem=problem, action=action, kind=self.kind, key=self.key)
        )


def check_unit(storage: Storage, unit: str, files: Mapping[str, Entry]) -> UnitCheck:
    """Check one unit.

    Args:
        storage: where the store is kept.
        unit: name of the unit's folder.
        files: everything below that folder.
    """
    check = UnitCheck(kind=PurePosixPath(unit).parts[1], key=PurePosixPath(unit).name)
    if DONE not in files:
        check.add("", "is not complete; the next launch computes it", "none")
        return check
    try:
        record = read_record(storage, unit)
        hashes = read_hashes(record, storage.where(f"{unit}/{DONE}"))
        folder = storage.locate_contents(unit, record)
    except StoreError as error:
        check.add(DONE, f"is damaged: {describe(error)}")
        return check
    _count_files(check, files, folder.removeprefix(unit).removeprefix("/"))
    _compare_hashes(storage, folder, check, record, hashes)
    if not check.findings:
        _check_contents(storage, folder, check, record, hashes)
    return check


def locate_rows(kind: str, key: str) -> str:
    """Return the name of the file with a unit's rows in the tables."""
    return rows_name(KINDS[kind].table if kind in KINDS else kind, key)


def describe(error: StoreError) -> str:
    """Return the reason for an error without the advice that follows it."""
    return str(error.__cause__ or error)


def _count_files(check: UnitCheck, files: Mapping[str, Entry], attempt: str) -> None:
    """Count the unit's files: `DONE`, and those of the attempt that won, if it has a folder."""
    for name, entry in files.items():
        if name == DONE or name.startswith(attempt):
            check.files += 1
            check.bytes += entry.size


def _compare_hashes(
    storage: Storage,
    folder: str,
    check: UnitCheck,
    record: Mapping[str, Any],
    hashes: Mapping[str, str],
) -> None:
    """Compare files with what `DONE` says of them."""
    named = (record.get("kind"), record.get("key"))
    if named != (check.kind, check.key):
        check.add(DONE, f"names another unit: {named}")
    for name, expected in hashes.items():
        found = storage.sha256(f"{folder}/{name}")
        if found != expected:
            check.add(name, "is missing" if found is None else DIFFERS)


def _check_contents(
    storage: Storage,
    folder: str,
    check: UnitCheck,
    record: Mapping[str, Any],
    hashes: Mapping[str, str],
) -> None:
    """Check what the files say: the unit's specification, its rows, their copy in the tables."""
    if not hashes:
        check.add("", "has no hashes: an earlier version made it, so it was not checked", "none")
    problem = _check_spec(storage, f"{folder}/{SPEC}", check)
    if problem is not None:  # as it was written, if its hash is right: by another version
        check.add(SPEC, problem, "none" if SPEC in hashes else "recompute")
    rows = storage.get(f"{folder}/{ROWS}") or b""
    problem = _check_rows(rows, check, record.get("rows"))
    if problem is not None:
        check.add(ROWS, problem)
    elif check.unit is not None:
        _compare_published(storage, check, rows)


def _check_spec(storage: Storage, name: str, check: UnitCheck) -> str | None:
    """Read the unit; return what is wrong with its specification."""
    try:
        unit = parse_unit(storage.where(name), storage.get(name) or b"")
    except StoreError as error:
        return f"is damaged: {describe(error)}"
    except SettingsError as error:
        return f"is of another version: {error}"
    if (unit.kind, unit.key) != (check.kind, check.key):
        return f"is of {unit.kind} {unit.key} as this version computes keys"
    check.unit = unit
    return None


def _check_rows(data: bytes, check: UnitCheck, count: object) -> str | None:
    """Read the fingerprint of a unit's images; return what is wrong with its rows."""
    if check.kind not in KINDS:
        return None
    try:
        table = tables.decode(KINDS[check.kind].table, data)
        rows = table.select(["key", "fingerprint"]).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"cannot be read: {error}"
    others = sorted({str(row["key"]) for row in rows} - {check.key})
    if others:
        return f"has rows of unit {others[0]}"
    if isinstance(count, int) and len(rows) != count:
        return f"has {len(rows)} rows instead of {count}"
    check.fingerprint = rows[0]["fingerprint"] if rows else None
    return None


def _compare_published(storage: Storage, check: UnitCheck, rows: bytes) -> None:
    """Compare a unit's rows with their copy in the tables."""
    name = locate_rows(check.kind, check.key)
    published = storage.get(name)
    if published is None:
        check.add_at(name, "is missing: the unit's rows are in no table", "publish")
    elif published != rows:
        check.add_at(name, "differs from the unit's rows", "publish")
