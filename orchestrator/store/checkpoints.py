"""Checkpoints of a running unit: one file, named by its SHA-256 to show whether it is whole."""

import logging
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from orchestrator.store import atomic_files
from orchestrator.store.storage import Storage

_SUFFIX = ".checkpoint"

_log = logging.getLogger(__name__)


def save(storage: Storage, folder: str, write: Callable[[Path], None]) -> Path:
    """Save a checkpoint, remove its predecessors, and return its local file.

    Args:
        storage: where the store is kept.
        folder: the unit's checkpoint folder in it.
        write: writes the whole state to the file path it is given.

    Raises:
        StoreError: the disk is full or the storage cannot be written; the predecessor is kept.
    """
    path = _write_locally(storage.local / folder, write)
    storage.upload(f"{folder}/{path.name}")
    # Predecessors go last, so that a complete one exists at any time.
    others = [name for name in storage.entries(folder) if is_complete(name) and name != path.name]
    storage.remove(*(f"{folder}/{name}" for name in others))
    with atomic_files.translate_errors(path):
        for other in path.parent.glob(f"[!.]*{_SUFFIX}"):
            if other != path:
                other.unlink(missing_ok=True)
    return path


def load(storage: Storage, folder: str) -> Path | None:
    """Return the local file of the newest checkpoint that is whole; None if there is none."""
    found = {name: entry for name, entry in storage.entries(folder).items() if is_complete(name)}
    skipped: list[str] = []
    for name in sorted(found, key=lambda name: found[name].changed, reverse=True):
        path = storage.download(f"{folder}/{name}")
        with atomic_files.translate_errors(path):
            whole = atomic_files.sha256(path) == path.stem
        if whole:
            _log_skipped(storage, folder, skipped, f"{name} is used instead")
            return path
        skipped.append(name)
    _log_skipped(storage, folder, skipped, "there is no other, so the unit starts again")
    return None


def find_damaged(storage: Storage) -> list[str]:
    """Return the names of all checkpoints in a store that are not what was written."""
    names = sorted(f"checkpoints/{name}" for name in storage.entries("checkpoints"))
    damaged = []
    for path in filter(is_complete, map(PurePosixPath, names)):
        if storage.sha256(str(path)) not in (None, path.stem):  # None: replaced by its unit
            damaged.append(str(path))
    return damaged


def is_complete(path: str | PurePosixPath) -> bool:
    """Whether a name is that of a complete checkpoint; hidden files are still being written."""
    name = PurePosixPath(path).name
    return name.endswith(_SUFFIX) and not name.startswith(".")


def _write_locally(folder: Path, write: Callable[[Path], None]) -> Path:
    with atomic_files.translate_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{uuid.uuid4().hex}"
        try:
            write(temporary)
            atomic_files.sync(temporary)
            path = folder / f"{atomic_files.sha256(temporary)}{_SUFFIX}"
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        atomic_files.sync_folder(folder)
    return path


def _log_skipped(storage: Storage, folder: str, skipped: list[str], instead: str) -> None:
    for name in skipped:
        where = storage.where(f"{folder}/{name}")
        _log.warning("checkpoint %s is damaged and skipped; %s", where, instead)
