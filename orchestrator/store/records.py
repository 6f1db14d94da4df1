"""Records of a store: the images behind a data set's name, and what launches set out to do."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from distill_core.settings import DatasetRef
from orchestrator.errors import StoreError
from orchestrator.store import atomic_files
from orchestrator.store.storage import Storage
from orchestrator.store.storage.names import dataset_name
from orchestrator.units import Unit, to_json

_REQUIRED = ("run", "space", "started", "plan")
"""Texts in the record of a launch."""

_log = logging.getLogger(__name__)


def check_fingerprint(
    storage: Storage, dataset: DatasetRef, fingerprint: str, classes: Sequence[str] = ()
) -> None:
    """Remember which images are behind a data set's name, and refuse others.

    Args:
        storage: of the store.
        dataset: the data set.
        fingerprint: hash of its images.
        classes: names of its classes, which are remembered but may change.

    Raises:
        StoreError: the store already holds results on other images of this name and version.
    """
    name = dataset_name(dataset)
    record: dict[str, Any] = {
        "name": dataset.name,
        "version": dataset.version,
        "fingerprint": fingerprint,
    }
    if classes:
        record["classes"] = list(classes)
    known = read_dataset(storage, dataset)
    if known is None and storage.create(name, atomic_files.to_json_bytes(record)):
        return
    known = known or read_dataset(storage, dataset) or {}  # another process may have created it
    refuse_other_images(storage, dataset, fingerprint, known)
    if classes and "classes" not in known:
        # Version 0.1.0 left them out; processes that do this at once write the same.
        storage.put(name, atomic_files.to_json_bytes(record))


def read_dataset(storage: Storage, dataset: DatasetRef) -> dict[str, Any] | None:
    """Return what a store remembers of a data set: `fingerprint`, perhaps `classes`; or None.

    Raises:
        StoreError: the record is damaged.
    """
    name = dataset_name(dataset)
    content = storage.get(name)
    return None if content is None else atomic_files.parse_json(storage.where(name), content)


def refuse_other_images(
    storage: Storage, dataset: DatasetRef, fingerprint: str, known: Mapping[str, Any]
) -> None:
    """Raise a StoreError if a store's results were computed from other images."""
    other = known.get("fingerprint")
    if other != fingerprint:
        raise StoreError(
            f"data set {dataset.name} (version {dataset.version}) has other images than those that"
            f" the results in {storage.address} were computed from ({fingerprint} here, {other}"
            f" there, see {storage.where(dataset_name(dataset))}); restore the files, or give the"
            " changed data set a new version, or use another store"
        )


def claim_extractor(
    storage: Storage, place: tuple[str, ...], index: int, file: str, digest: str
) -> None:
    """Remember which file is which network of a user's pool, and refuse another one.

    Networks of a pool are known by their place among its files. So a file that is added or removed
    later would give a place to another network, or two places to one.

    Args:
        storage: where the store is.
        place: data set, architecture, and the user's name for the pool, as units' keys have them.
        index: the network's number.
        file: name of its file.
        digest: SHA-256 of the file.

    Raises:
        StoreError: the number was another file's, or the file has another number.
    """
    *_, pool = place
    folder = f"pools/{hashlib.sha256(json.dumps(place).encode()).hexdigest()[:16]}"
    for name, key, wanted in (
        (f"{folder}/{index}.json", "sha256", digest),
        (f"{folder}/{digest}.json", "index", index),
    ):
        record = {"pool": pool, "index": index, "file": file, "sha256": digest}
        known = storage.get(name)
        if known is None and storage.create(name, atomic_files.to_json_bytes(record)):
            continue
        known = known or storage.get(name) or b""  # another process may just have created it
        other = atomic_files.parse_json(storage.where(name), known)
        if other.get(key) != wanted:
            problem = (
                f"network {index} was {other.get('file')!r} before, and is {file!r} now"
                if key == "sha256"
                else f"{file!r} is the same network as {other.get('file')!r}, number"
                f" {other.get('index')}"
            )
            raise StoreError(
                f"pool {pool}: {problem}; files were added, removed, changed or copied. Give the"
                " pool as it is now another name (extractors.pool), or restore its files"
            )


def write_run(
    storage: Storage, run: str, record: Mapping[str, object], units: Mapping[str, Unit]
) -> dict[str, object]:
    """Write and return the record of a launch, and write its plan by the hash of its content.

    Equal plans are written once. The plan is a JSON object of the units in order, one per line.
    """
    lines = ",\n".join(f'"{key}": {to_json(unit)}' for key, unit in units.items())
    plan = f"{{\n{lines}\n}}\n".encode()
    name = hashlib.sha256(plan).hexdigest()[:16]
    storage.put(f"plans/{name}.json", plan)
    written = {**record, "run": run, "plan": name}
    rewrite_run(storage, written)
    return written


def rewrite_run(storage: Storage, record: Mapping[str, object]) -> None:
    """Write the record of a launch, whose name is in it, in place of the last."""
    storage.put(f"runs/{record['run']}.json", atomic_files.to_json_bytes(dict(record)))


def read_runs(storage: Storage) -> list[dict[str, Any]]:
    """Return the records of all launches, oldest first; a damaged one is left out."""
    folder = storage.refresh("runs")
    with atomic_files.translate_errors(folder):
        paths = list(folder.glob("[!.]*.json"))
    records = []
    for path in paths:
        try:
            record = atomic_files.read_json(path)
        except StoreError as error:
            _log.warning("the record of a launch is skipped: %s", error)
            continue
        if all(isinstance(record.get(name), str) for name in _REQUIRED):
            records.append(record)
        else:
            _log.warning("the record of a launch is skipped: %s is incomplete", path)
    return sorted(records, key=lambda record: str(record["started"]))


def read_plan(storage: Storage, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the units of a launch's plan: their JSON by key, each after those it needs.

    Raises:
        StoreError: the file is missing or damaged.
    """
    name = f"{record['plan']}.json"
    return atomic_files.read_json(storage.refresh("plans", {name}) / name)
