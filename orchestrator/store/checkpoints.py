"""Checkpoints of a running unit: one file named by its own SHA-256, so that a truncated one is
known for what it is.
"""

import shutil
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

from orchestrator.store import atomic_files

_SUFFIX = ".checkpoint"
HALF_WRITTEN = ".*"
"""Pattern of the files in a checkpoint folder whose writer was killed, or is at it."""


def save(folder: Path, write: Callable[[Path], None]) -> Path:
    """Save a checkpoint and remove its predecessors.

    Args:
        folder: the unit's checkpoint folder.
        write: writes the whole state to the file path it is given.

    Raises:
        StoreError: the disk is full or cannot be written; the predecessor is kept.
    """
    with atomic_files.translated(folder):
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
        for other in _found(folder):
            if other != path:
                other.unlink(missing_ok=True)
    return path


def load(folder: Path) -> Path | None:
    """Return the newest checkpoint that is what it was when written; warn of others and leave them
    out.
    """
    with atomic_files.translated(folder):
        for path in sorted(_found(folder), key=lambda path: path.stat().st_mtime, reverse=True):
            if is_intact(path):
                return path
            warnings.warn(
                f"{path} is damaged and left out; the unit continues without it", stacklevel=2
            )
    return None


def damaged(folder: Path) -> list[Path]:
    """Return the checkpoints that are not what they were when written."""
    with atomic_files.translated(folder):
        return [path for path in sorted(_found(folder)) if not is_intact(path)]


def is_named(name: str) -> bool:
    """Whether a file's name is that of a complete checkpoint."""
    return name.endswith(_SUFFIX) and "/" not in name and not name.startswith(".")


def is_intact(path: Path) -> bool:
    """Whether a checkpoint is what it was when written."""
    return atomic_files.sha256(path) == path.stem


def remove(folder: Path) -> None:
    """Remove a unit's checkpoints."""
    shutil.rmtree(folder, ignore_errors=True)


def _found(folder: Path) -> list[Path]:
    """List complete checkpoints; a hidden file may be one that another worker is writing."""
    return [path for path in folder.glob(f"*{_SUFFIX}") if is_named(path.name)]
