"""The local copy of a remote store on one machine: its tables and records as of now, and the units
that are read here.

It may be deleted whenever nothing uses it. Several processes of a machine share it.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from orchestrator.errors import StoreError
from orchestrator.store import atomic_files
from orchestrator.store.remote.objects import Entry, Remote

CACHE = "IID_STORE_CACHE"
"""Variable of the environment that names another folder for local copies."""
FEW = 16
"""Names up to which each is asked for alone, instead of listing the folder."""
_INDEX = ".index.json"


def place_for(url: str) -> Path:
    """Return the folder of a store's local copy on this machine."""
    caches = (
        Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        / "iid-orchestrator"
        / "stores"
    )
    if named := os.environ.get(CACHE):
        caches = Path(named).expanduser()
    readable = re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-")[-40:].strip("-")
    return caches / f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def pull(remote: Remote, folder: str, root: Path, names: Collection[str] | None = None) -> None:
    """Bring the files of one folder up to date: get what is new or changed, remove what is gone.

    Args:
        remote: where they are.
        folder: its name, with files directly in it.
        root: of the local copy.
        names: those that are wanted; all by default.

    Raises:
        StoreError: the remote cannot be read, or the local copy not written.
    """
    place = root / folder
    with _locked(place):
        known = _read_index(place)
        there = _entries(remote, folder, names)
        # Files that the index does not know are those of a process that was killed before it wrote
        # the index.
        here = known.keys() | {
            path.name for path in place.iterdir() if not path.name.startswith(".")
        }
        gone = [name for name in here if name not in there and (names is None or name in names)]
        for name in gone:
            (place / name).unlink(missing_ok=True)
            known.pop(name, None)
        stale = [
            name
            for name in there
            if known.get(name) != there[name].mark or not (place / name).exists()
        ]
        for path, data in remote.get_many(f"{folder}/{name}" for name in stale):
            name = path.removeprefix(f"{folder}/")
            atomic_files.write(place / name, data)
            known[name] = there[name].mark
        if gone or stale:
            atomic_files.write(place / _INDEX, json.dumps(known).encode())


def is_plain(name: str) -> bool:
    """Whether the name of an object is a relative path that stays in its folder."""
    path = PurePosixPath(name)
    return (
        bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name
    )


def _entries(remote: Remote, folder: str, names: Collection[str] | None) -> Mapping[str, Entry]:
    if names is not None and len(names) <= FEW:
        found = {name: remote.entry(f"{folder}/{name}") for name in names}
        return {name: entry for name, entry in found.items() if entry is not None}
    return {
        name: entry
        for name, entry in remote.entries(folder).items()
        if "/" not in name and not name.startswith(".") and (names is None or name in names)
    }


def _read_index(place: Path) -> dict[str, str]:
    with suppress(StoreError):
        if (place / _INDEX).exists():
            return {
                str(name): str(mark)
                for name, mark in atomic_files.read_json(place / _INDEX).items()
                if is_plain(name)
            }
    return {}


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Keep other processes from bringing the same folder up to date at the same time."""
    with atomic_files.translated(place):
        place.mkdir(parents=True, exist_ok=True)
        with (place / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
