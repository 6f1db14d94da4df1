"""The working copy of objects in a folder of this machine: small files as of now, read in bulk.

It may be deleted whenever nothing uses it. Several processes of a machine share it.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from distill_core.paths import check_path
from orchestrator.errors import StoreError
from orchestrator.store import atomic_files
from orchestrator.store.storage import MAX_SINGLE_LOOKUPS, Entry
from orchestrator.store.storage.object_client import Objects

CACHE = "IID_STORE_CACHE"
"""Environment variable that names another folder for working copies."""
_READ_HERE = (".json", ".parquet")
"""Ends of names: records and tables, but neither stop signals nor parts of logs."""
_INDEX = ".index.json"
"""File of a folder with the mark of each object when it was fetched."""

_log = logging.getLogger(__name__)


def default_folder(url: str) -> Path:
    """Return the folder of the working copy of a store on this machine."""
    if named := os.environ.get(CACHE):
        caches = check_path(named, CACHE, kind="folder")
    else:
        cache = check_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "XDG_CACHE_HOME")
        caches = cache / "iid-orchestrator" / "stores"
    readable = re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-")[-40:].strip("-")
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return caches / f"{readable}-{digest}"


def pull(objects: Objects, folder: str, root: Path, names: Collection[str] | None = None) -> Path:
    """Bring the files of one folder up to date: fetch what is new or changed, remove what is gone.

    Args:
        objects: where they are.
        folder: its name, with files directly in it.
        root: the working copy.
        names: those that are wanted; all by default.

    Returns:
        The local folder.

    Raises:
        StoreError: the objects cannot be read, or the working copy cannot be written.
    """
    place = root / folder
    with _locked(place):
        known = _read_index(place)
        remote = _list_objects(objects, folder, names)
        # A process that was killed before it wrote the index leaves files that it does not know.
        local = known.keys() | {path.name for path in place.iterdir() if path.name[0] != "."}
        gone = {name for name in local - remote.keys() if names is None or name in names}
        for name in gone:
            (place / name).unlink(missing_ok=True)
            known.pop(name, None)
        stale = [name for name in remote if _is_stale(place / name, known, remote[name])]
        for path, data in objects.get_many(f"{folder}/{name}" for name in stale):
            name = path.removeprefix(f"{folder}/")
            atomic_files.write(place / name, data)
            known[name] = remote[name].mark
        if gone or stale:
            atomic_files.write(place / _INDEX, json.dumps(known).encode())
    return place


def is_plain(name: str) -> bool:
    """Whether the name of an object is a relative path that stays in its folder."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute():
        return False
    return ".." not in path.parts and "\\" not in name


def _list_objects(
    objects: Objects, folder: str, names: Collection[str] | None
) -> Mapping[str, Entry]:
    if names is not None and len(names) <= MAX_SINGLE_LOOKUPS:
        found = ((name, objects.entry(f"{folder}/{name}")) for name in names)
        return {name: entry for name, entry in found if entry is not None}
    wanted = {}
    for name, entry in objects.entries(folder).items():
        if "/" in name or name.startswith(".") or not name.endswith(_READ_HERE):
            continue
        if names is None or name in names:
            wanted[name] = entry
    return wanted


def _is_stale(path: Path, known: Mapping[str, str], entry: Entry) -> bool:
    return known.get(path.name) != entry.mark or not path.exists()


def _read_index(place: Path) -> dict[str, str]:
    """Return the mark of each file when it was fetched; none if the index is damaged."""
    path = place / _INDEX
    if not path.exists():
        return {}
    try:
        index = atomic_files.read_json(path)
    except StoreError as error:
        _log.warning("everything in %s is fetched again: %s", place, error)
        return {}
    return {str(name): str(mark) for name, mark in index.items() if is_plain(name)}


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Keep other processes of this machine from updating the same folder and its index."""
    with atomic_files.translate_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        with (place / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
