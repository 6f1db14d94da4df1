"""Putting a finished unit's folder into its place by one rename, which of two that try only the
first can do.
"""

import shutil
import uuid
from pathlib import Path

from orchestrator.store import atomic_files

DONE = "DONE"


def fsync_and_hash(workdir: Path) -> dict[str, str]:
    """Force all files of a folder to the disk and return their SHA-256 by relative path."""
    sums = {}
    for path in sorted(path for path in workdir.rglob("*") if path.is_file()):
        atomic_files.sync(path)
        sums[path.relative_to(workdir).as_posix()] = atomic_files.sha256(path)
    return sums


def publish_atomically(workdir: Path, place: Path) -> bool:
    """Rename `workdir` to `place` unless a complete unit is there; one without `DONE` makes
    room.
    """
    while True:
        try:
            workdir.rename(place)
        except OSError:
            if not place.exists():
                raise
        else:
            atomic_files.sync_folder(place.parent)
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
