"""Verifying a store: whether what lies there is what was computed, and which units have to be
computed again.

`verify` changes nothing. `repair` moves what is damaged to `<store>/damaged/<number>/`, where files
keep their relative places, so that the next launch computes it again; nothing is ever deleted.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from distill_core.settings import SettingsError
from orchestrator.errors import StoreError
from orchestrator.store import atomic_files, checkpoints, leases, tables
from orchestrator.store.integrity import differing, hashes_in
from orchestrator.store.store import DONE, ROWS, SPEC, Store
from orchestrator.units import KINDS, Unit, from_json

Action = Literal["recompute", "publish", "set aside", "none"]
"""recompute: a unit is not what was computed; publish: its rows have to be put into the tables
again; set aside: a file belongs to nothing or cannot be read; none: good to know, but the next
launch sees to it or nobody has to."""

DAMAGED = "damaged"
PARTS = ("units", "tables", "runs", "plans")
"""Folders of a store, of which one at least is there once it was written to."""
THREADS = 4
"""Units that are looked at at a time."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What was looked at, and what was found."""

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
        return tuple(
            dict.fromkeys(
                (str(f.kind), str(f.key)) for f in self.findings if f.action == "recompute"
            )
        )


def verify(store: Store) -> Verification:
    """Look at everything in a store; nothing is changed.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    if not store.root.is_dir():
        raise StoreError(f"store: there is none in {store.root}; name it with --store")
    with atomic_files.translated(store.root):
        if any(store.root.iterdir()) and not any((store.root / name).exists() for name in PARTS):
            raise StoreError(
                f"store: {store.root} is something else, it has none of {', '.join(PARTS)}; name it"
                " with --store"
            )
        folders = [path for path in sorted(store.root.glob("units/*/[!.]*")) if path.is_dir()]
        done = {path.name for path in folders if (path / DONE).exists()}
        with ThreadPoolExecutor(THREADS) as pool:
            looks = list(pool.map(lambda folder: check_unit(store, folder), folders))
        findings = [finding for seen in looks for finding in seen.findings]
        findings += [*check_rest(store, looks, done), *_leftovers(store, done)]
    return Verification(
        units=len(done),
        files=sum(seen.files for seen in looks),
        bytes=sum(seen.bytes for seen in looks),
        findings=tuple(findings),
    )


def repair(store: Store, findings: Iterable[Finding]) -> tuple[Path, list[Finding]]:
    """Move what is damaged out of the way, and publish rows again, so that the next launch mends
    the rest.

    Args:
        store: where the findings were made.
        findings: of `verify`.

    Returns:
        The folder that things were moved to, and the findings that were left alone because somebody
        works on their unit right now.

    Raises:
        StoreError: the store cannot be written.
    """
    numbers = [int(path.name) for path in (store.root / DAMAGED).glob("*") if path.name.isdecimal()]
    folder = store.root / DAMAGED / str(max(numbers, default=0) + 1)
    left = []
    for finding in findings:
        if finding.action == "none":
            continue
        if finding.key is None:
            _move(store, folder, store.root / finding.place)
            continue
        with leases.hold(store.leases, finding.key, "verify") as lease:
            if lease is None:
                left.append(finding)
            else:
                _repair_unit(store, folder, finding)
    return folder, left


def _repair_unit(store: Store, folder: Path, finding: Finding) -> None:
    kind, key = str(finding.kind), str(finding.key)
    if finding.action == "recompute":
        _move(store, folder, store.unit_folder(kind, key))
        _move(store, folder, published(store, kind, key))
        return
    _move(store, folder, store.root / finding.place)
    if finding.action == "publish":
        store.publish_missing_rows([store.spec_of(key)])


def _move(store: Store, folder: Path, path: Path) -> None:
    with atomic_files.translated(path):
        if path.exists():
            place = folder / path.relative_to(store.root)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)


# Units


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitCheck:
    """What one unit's folder showed."""

    findings: tuple[Finding, ...] = ()
    files: int = 0
    bytes: int = 0
    unit: Unit | None = None
    fingerprint: str | None = None
    """Of the images that it was computed from."""


def check_unit(store: Store, folder: Path) -> UnitCheck:
    """Look at one unit's folder, which lies in its place in a store."""
    kind, key = folder.parent.name, folder.name

    def found(name: str, problem: str, action: Action = "recompute") -> Finding:
        place = (folder / name).relative_to(store.root).as_posix()
        return Finding(place=place, problem=problem, action=action, kind=kind, key=key)

    if not (folder / DONE).exists():
        return UnitCheck(
            findings=(found("", "is not complete; the next launch makes room or goes on", "none"),)
        )
    try:
        record = atomic_files.read_json(folder / DONE)
        hashes = hashes_in(record)
    except StoreError as error:
        return UnitCheck(findings=(found(DONE, f"is damaged: {error.__cause__ or error}"),))
    there = [path for path in folder.rglob("*") if path.is_file()]
    seen = UnitCheck(files=len(there), bytes=sum(path.stat().st_size for path in there))
    named = (record.get("kind"), record.get("key"))
    wrong = [found(DONE, f"names another unit: {named}")] if named != (kind, key) else []
    wrong += [
        found(path.relative_to(folder).as_posix(), problem)
        for path, problem in differing(folder, hashes)
    ]
    if wrong:
        return replace(seen, findings=tuple(wrong))

    findings = (
        []
        if hashes
        else [found("", "has no hashes: an earlier version made it, so it was not checked", "none")]
    )
    unit, problem = _spec(folder, kind, key)
    if problem is not None:  # as it was written, if its hash is right: by another version
        findings.append(found(SPEC, problem, "none" if SPEC in hashes else "recompute"))
    fingerprint, problem = _rows(folder, kind, key, record.get("rows"))
    if problem is not None:
        findings.append(found(ROWS, problem))
    copy = published(store, kind, key)
    if unit is not None and problem is None and not _equal(copy, folder / ROWS):
        place = copy.relative_to(store.root).as_posix()
        state = (
            "differs from the unit's rows"
            if copy.exists()
            else "is missing: the unit's rows are in no table"
        )
        findings.append(Finding(place=place, problem=state, action="publish", kind=kind, key=key))
    return replace(seen, findings=tuple(findings), unit=unit, fingerprint=fingerprint)


def _spec(folder: Path, kind: str, key: str) -> tuple[Unit | None, str | None]:
    """Return the unit, and what is wrong with its record."""
    try:
        unit = from_json(json.dumps(atomic_files.read_json(folder / SPEC)))
    except StoreError as error:
        return None, f"is damaged: {error.__cause__ or error}"
    except SettingsError as error:
        return None, f"is of another version: {error}"
    if (unit.kind, unit.key) != (kind, key):
        return None, f"is of {unit.kind} {unit.key} by this version's reckoning"
    return unit, None


def _rows(folder: Path, kind: str, key: str, count: object) -> tuple[str | None, str | None]:
    """Return the fingerprint of the images, and what is wrong with a unit's rows."""
    if kind not in KINDS:
        return None, None
    try:
        table = _read(folder / ROWS, KINDS[kind].table).select(["key", "fingerprint"]).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        return None, f"cannot be read: {error}"
    strangers = sorted({str(row["key"]) for row in table} - {key})
    if strangers:
        return None, f"has rows of unit {strangers[0]}"
    if isinstance(count, int) and len(table) != count:
        return None, f"has {len(table)} rows instead of {count}"
    return table[0]["fingerprint"] if table else None, None


def _read(path: Path, table: str) -> pa.Table:
    return pq.read_table(path, schema=tables.SCHEMAS[table], page_checksum_verification=True)


def published(store: Store, kind: str, key: str) -> Path:
    """Return where the rows of a unit lie in the tables."""
    return store.tables / (KINDS[kind].table if kind in KINDS else kind) / f"{key}.parquet"


def _equal(path: Path, other: Path) -> bool:
    return path.is_file() and path.read_bytes() == other.read_bytes()


def _fingerprints(store: Store, looks: Iterable[UnitCheck]) -> Iterator[Finding]:
    """Yield records of images that no unit agrees with, or else units that do not agree with the
    record.
    """
    units: dict[Path, list[tuple[Unit, str]]] = defaultdict(list)
    for seen in looks:
        if seen.unit is not None and seen.fingerprint is not None:
            units[store.dataset_record(seen.unit.dataset)].append((seen.unit, seen.fingerprint))
    for path, computed in units.items():
        known = None
        with suppress(StoreError):
            known = atomic_files.read_json(path).get("fingerprint")
        others = [(unit, fingerprint) for unit, fingerprint in computed if fingerprint != known]
        place = path.relative_to(store.root).as_posix()
        if known is not None and len(others) == len(computed):
            yield Finding(
                place=place, problem="is of other images than all results", action="set aside"
            )
        elif known is not None:
            for unit, fingerprint in others:
                yield Finding(
                    place=f"units/{unit.kind}/{unit.key}",
                    problem=(
                        f"was computed from other images ({fingerprint}) than {place} says"
                        f" ({known})"
                    ),
                    action="recompute",
                    kind=unit.kind,
                    key=unit.key,
                )


# The rest of the store


def check_rest(store: Store, looks: Iterable[UnitCheck], done: set[str]) -> list[Finding]:
    """Look at fingerprints, tables, records and checkpoints beside the units that were looked
    at.
    """
    return [
        *_fingerprints(store, looks),
        *_tables(store, done),
        *_records(store),
        *_checkpoints(store),
    ]


def _tables(store: Store, done: set[str]) -> Iterator[Finding]:
    for path in sorted(store.tables.glob("*/[!.]*.parquet")):
        place = path.relative_to(store.root).as_posix()
        if path.parent.name != "failures":
            if path.stem not in done:
                yield Finding(
                    place=place, problem="has rows of a unit that is not done", action="set aside"
                )
        elif path.stem in done:
            yield Finding(
                place=place,
                problem="is of a unit that is done; the next launch removes it",
                action="none",
            )
        else:
            try:
                _read(path, "failures").to_pylist()
            except (pa.ArrowException, OSError, ValueError) as error:
                yield Finding(place=place, problem=f"cannot be read: {error}", action="set aside")


def _records(store: Store) -> Iterator[Finding]:
    for path in sorted(store.root.glob("*/[!.]*.json")):
        if path.parent.name in ("datasets", "runs", "plans"):
            place = path.relative_to(store.root).as_posix()
            try:
                record = atomic_files.read_json(path)
            except StoreError as error:
                yield Finding(
                    place=place,
                    problem=f"is damaged: {error.__cause__ or error}",
                    action="set aside",
                )
            else:
                if path.parent.name == "datasets" and not isinstance(
                    record.get("fingerprint"), str
                ):
                    yield Finding(place=place, problem="has no fingerprint", action="set aside")


def _checkpoints(store: Store) -> Iterator[Finding]:
    for folder in sorted(store.root.glob("checkpoints/*/[!.]*")):
        for path in checkpoints.damaged(folder):
            place, problem = (
                path.relative_to(store.root).as_posix(),
                "is damaged; its unit goes on without it",
            )
            yield Finding(place=place, problem=problem, action="set aside")


def _leftovers(store: Store, done: set[str]) -> Iterator[Finding]:
    for folder in sorted(store.root.glob("units/*/.*")):
        if not leases.is_held(store.leases, folder.name.split(".")[1]):
            place, problem = (
                folder.relative_to(store.root).as_posix(),
                "was left by a killed attempt",
            )
            yield Finding(
                place=place, problem=f"{problem}; the next launch removes it", action="none"
            )
    for path in sorted(store.leases.glob("[!.]*.json")):
        if path.stem in done and not leases.is_held(store.leases, path.stem):
            place, problem = (
                path.relative_to(store.root).as_posix(),
                "is the lease of a unit that is done",
            )
            yield Finding(
                place=place, problem=f"{problem}; the next launch removes it", action="none"
            )
