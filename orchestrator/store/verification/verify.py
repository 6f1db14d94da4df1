"""Verifying a store: whether everything in it is what was computed, and what to compute again.

`verify` changes nothing. `repair` moves what is damaged to `<store>/damaged/<number>/`, where files
keep their relative places, so that the next launch computes it again; nothing is deleted.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from orchestrator.errors import StoreError, missing_store_error
from orchestrator.store import atomic_files, checkpoints, leases, tables
from orchestrator.store.cleanup import may_be_held
from orchestrator.store.storage import Entry, Storage
from orchestrator.store.storage.names import (
    DONE,
    dataset_name,
    hash_trial_key,
    rows_name,
    unit_name,
)
from orchestrator.store.store import Store
from orchestrator.store.verification.verify_unit import (
    Finding,
    UnitCheck,
    check_unit,
    describe,
    locate_rows,
)
from orchestrator.units import Unit, list_tables

__all__ = ["Finding", "Verification", "repair", "verify"]

DAMAGED = "damaged"
PARTS = ("units", "tables", "runs", "plans")
"""Folders of a store, of which at least one exists once it was written to."""
THREADS = 4
"""Units that are checked at a time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What was checked, and what was found."""

    units: int
    """Done units."""
    files: int
    """Their files."""
    bytes: int
    findings: tuple[Finding, ...]

    @property
    def intact(self) -> bool:
        """Whether there is nothing to do."""
        return all(finding.action == "none" for finding in self.findings)

    @property
    def recompute(self) -> tuple[tuple[str, str], ...]:
        """Kinds and keys of the units that have to be computed again."""
        units: dict[tuple[str, str], None] = {}
        for finding in self.findings:
            if finding.action == "recompute":
                units[str(finding.kind), str(finding.key)] = None
        return tuple(units)


def verify(store: Store) -> Verification:
    """Check everything in a store; nothing is changed.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    storage = store.storage
    _check_is_store(storage)
    # Tables first: rows are published after their unit is done, so a unit that finishes while this
    # looks cannot seem to have rows without being done.
    row_files = _files_in(storage, "tables", ".parquet")
    units = _list_units(storage)
    with ThreadPoolExecutor(THREADS) as pool:
        checks = list(pool.map(lambda unit: check_unit(storage, unit, units[unit]), sorted(units)))
    done = {PurePosixPath(unit).name for unit, files in units.items() if DONE in files}
    findings = [finding for check in checks for finding in check.findings]
    findings += [
        *_check_fingerprints(storage, checks),
        *_check_tables(storage, row_files, done),
        *_check_records(storage),
        *_check_checkpoints(storage),
        *_find_leftovers(storage, done),
    ]
    return Verification(
        units=len(done),
        files=sum(check.files for check in checks),
        bytes=sum(check.bytes for check in checks),
        findings=tuple(findings),
    )


def repair(store: Store, findings: Iterable[Finding]) -> tuple[str, list[Finding]]:
    """Move what is damaged out of the way, and publish rows again.

    Args:
        store: where the findings were made.
        findings: of `verify`.

    Returns:
        The path or URL that things were moved to, and the findings that were left alone because
        somebody works on their unit right now.

    Raises:
        StoreError: the store cannot be written.
    """
    folder = f"{DAMAGED}/{_next_number(store.storage)}"
    left = []
    # A name of its own: whoever holds a lease may take it over, as a launch does.
    name = f"verify {uuid.uuid4().hex}"
    for finding in findings:
        if finding.action == "none":
            continue
        if finding.key is None:
            _set_aside(store.storage, folder, finding.place)
            continue
        with leases.hold(store.storage, finding.key, name) as lease:
            if lease is None:
                left.append(finding)
            else:
                _repair_unit(store, folder, finding)
    return store.storage.where(folder), left


def _next_number(storage: Storage) -> int:
    tops = {name.split("/")[0] for name in storage.entries(DAMAGED)}
    return max((int(top) for top in tops if top.isdecimal()), default=0) + 1


def _repair_unit(store: Store, folder: str, finding: Finding) -> None:
    kind, key = str(finding.kind), str(finding.key)
    if finding.action == "recompute":
        _set_aside(store.storage, folder, unit_name(kind, key))
        _set_aside(store.storage, folder, locate_rows(kind, key))
        return
    _set_aside(store.storage, folder, finding.place)
    if finding.action == "publish":
        store.publish_missing_rows([store.read_unit(key)])


def _set_aside(storage: Storage, folder: str, name: str) -> None:
    storage.move(name, f"{folder}/{name}")
    _log.info("%s is set aside in %s", name, storage.where(folder))


def _check_is_store(storage: Storage) -> None:
    names = storage.list_top_level()
    if names is None:
        raise missing_store_error(storage.address)
    if names and names.isdisjoint(PARTS):
        raise StoreError(
            f"store: {storage.address} is something else, it has none of {', '.join(PARTS)}; name"
            " it with --store"
        )


def _list_units(storage: Storage) -> dict[str, dict[str, Entry]]:
    """Return the files of all units by the name of the unit's folder; hidden ones are scratch."""
    units: dict[str, dict[str, Entry]] = defaultdict(dict)
    for name, entry in storage.entries("units").items():
        kind, _, rest = name.partition("/")
        key, separator, file = rest.partition("/")
        if separator and not key.startswith("."):
            units[unit_name(kind, key)][file] = entry
    return units


def _check_fingerprints(storage: Storage, checks: Iterable[UnitCheck]) -> Iterator[Finding]:
    """Compare the images that units were computed from with the records of data sets.

    A record that no unit agrees with is wrong itself, otherwise the units that disagree are.
    """
    units: dict[str, list[tuple[Unit, str]]] = defaultdict(list)
    for check in checks:
        if check.unit is not None and check.fingerprint is not None:
            units[dataset_name(check.unit.dataset)].append((check.unit, check.fingerprint))
    for name, computed in units.items():
        known = _known_fingerprint(storage, name)
        if known is None:
            continue
        others = [(unit, fingerprint) for unit, fingerprint in computed if fingerprint != known]
        if len(others) == len(computed):
            problem = "is of other images than all results"
            yield Finding(place=name, problem=problem, action="set aside")
            continue
        for unit, fingerprint in others:
            problem = f"was computed from other images ({fingerprint}) than {name} says ({known})"
            yield Finding(
                place=unit_name(unit.kind, unit.key),
                problem=problem,
                action="recompute",
                kind=unit.kind,
                key=unit.key,
            )


def _known_fingerprint(storage: Storage, name: str) -> str | None:
    """Return the fingerprint in the record of a data set; None if it is missing or damaged."""
    try:
        record = atomic_files.parse_json(storage.where(name), storage.get(name) or b"")
    except StoreError:
        return None  # reported by _check_records
    return record.get("fingerprint")


def _check_tables(
    storage: Storage, row_files: Iterable[str], done: Collection[str]
) -> Iterator[Finding]:
    of_units = list_tables()
    for name in row_files:
        _, table, file = PurePosixPath(name).parts
        key = file.removesuffix(".parquet")
        finding: Finding | None = None
        if table == "failures" and key in done:
            problem = "is of a unit that is done; the next launch removes it"
            finding = Finding(place=name, problem=problem, action="none")
        elif table == "failures":
            finding = _check_failure(storage, name)
        elif table == "trials":
            finding = _check_trial(storage, name)
        elif table not in of_units:
            problem = "is of a table that this version does not know; not checked"
            finding = Finding(place=name, problem=problem, action="none")
        elif key not in done:
            problem = "has rows of a unit that is not done"
            finding = Finding(place=name, problem=problem, action="set aside")
        if finding is not None:
            yield finding


def _check_failure(storage: Storage, name: str) -> Finding | None:
    """Return what is wrong with the record of a failure, if anything is."""
    try:
        _read_rows(storage, name)
    except (pa.ArrowException, OSError, ValueError) as error:
        return _build_unreadable(name, error)
    return None


def _check_trial(storage: Storage, name: str) -> Finding | None:
    """Return what is wrong with the rows of a trial, which belong to a study and not to a unit.

    What can be read is what its search remembers. So it is set aside only if the file of its own
    name remembers the same trial.
    """
    try:
        rows = _read_rows(storage, name)
        owners = {(str(row["study"]), int(row["trial"])) for row in rows}
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        return _build_unreadable(name, error)
    expected = {rows_name("trials", hash_trial_key(*owner)) for owner in owners}
    if expected == {name}:
        return None
    if name in expected or not owners:
        problem = f"holds {len(owners)} trials instead of one"
        return Finding(place=name, problem=problem, action="none" if owners else "set aside")
    if all(storage.entry(place) is not None for place in expected):
        problem = f"is a copy of {', '.join(sorted(expected))}"
        return Finding(place=name, problem=problem, action="set aside")
    problem = f"is the trial whose name is {', '.join(sorted(expected))}; rename it"
    return Finding(place=name, problem=problem, action="none")


def _read_rows(storage: Storage, name: str) -> list[dict[str, Any]]:
    """Read a file of a table; one of pyarrow's errors, OSError or ValueError if it is damaged."""
    table = PurePosixPath(name).parts[1]
    rows: list[dict[str, Any]] = tables.decode(table, storage.get(name) or b"").to_pylist()
    return rows


def _build_unreadable(name: str, error: Exception) -> Finding:
    return Finding(place=name, problem=f"cannot be read: {error}", action="set aside")


def _check_records(storage: Storage) -> Iterator[Finding]:
    for folder in ("datasets", "plans", "runs", "pools"):
        for name in _files_in(storage, folder, ".json"):
            if (problem := _check_record(storage, name)) is not None:
                yield Finding(place=name, problem=problem, action="set aside")


def _check_record(storage: Storage, name: str) -> str | None:
    """Return what is wrong with a record, if anything is."""
    try:
        record = atomic_files.parse_json(storage.where(name), storage.get(name) or b"")
    except StoreError as error:
        return f"is damaged: {describe(error)}"
    if name.startswith("datasets/") and not isinstance(record.get("fingerprint"), str):
        return "has no fingerprint"
    return None


def _check_checkpoints(storage: Storage) -> Iterator[Finding]:
    for name in checkpoints.find_damaged(storage):
        problem = "is damaged; its unit continues without it"
        yield Finding(place=name, problem=problem, action="set aside")


def _files_in(storage: Storage, folder: str, suffix: str) -> list[str]:
    """Return the names of files; of tables and pools those one folder down, without hidden ones."""
    depth = 2 if folder in ("tables", "pools") else 1
    found = []
    for name in sorted(storage.entries(folder)):
        path = PurePosixPath(name)
        if len(path.parts) == depth and path.suffix == suffix and not path.name.startswith("."):
            found.append(f"{folder}/{name}")
    return found


def _find_leftovers(storage: Storage, done: Collection[str]) -> Iterator[Finding]:
    def is_held(key: str) -> bool:
        return may_be_held(storage, key)

    for name in sorted(storage.find_abandoned(done, is_held)):
        problem = "was left by a killed process; the next launch removes it"
        yield Finding(place=name, problem=problem, action="none")
    for name in sorted(storage.entries(leases.FOLDER)):
        key = leases.parse_key(name)
        if key in done and not is_held(key):
            problem = "is the lease of a unit that is done; the next launch removes it"
            yield Finding(place=f"{leases.FOLDER}/{name}", problem=problem, action="none")
