"""Whether the files of a done unit are what they were when it was finished: `DONE` has the SHA-256
of each.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.store import atomic_files
from orchestrator.store.store import DONE, Store


def intact_folder(store: Store, key: str) -> Path:
    """Return the folder of a done unit, having seen that its files are what they were when it was
    finished.

    Files that did not change since the last look are not read again. A unit that an earlier version
    finished without hashes passes.

    Raises:
        StoreError: it is not done, or a file is missing or another.
    """
    folder = store.folder_of(key)
    if _first_difference(folder) is not None and store.discard_copy(key):
        folder = store.folder_of(key)
    if (different := _first_difference(folder)) is not None:
        path, problem = different
        raise StoreError(
            f"store: {path} {problem}; iid verify --repair --store {store} sets unit {key} aside, "
            "and the next run computes it again"
        )
    return folder


def _first_difference(folder: Path) -> tuple[Path, str] | None:
    return next(differing(folder, hashes_in(atomic_files.read_json(folder / DONE))), None)


def hashes_in(record: Mapping[str, Any]) -> dict[str, str]:
    """Return SHA-256 by relative path from what `DONE` says; nothing where an earlier version wrote
    it.

    Raises:
        StoreError: there is something else in its place.
    """
    hashes = record.get("sha256", {})
    if not isinstance(hashes, dict) or not all(isinstance(value, str) for value in hashes.values()):
        raise StoreError("sha256 is no mapping of file names to hashes")
    return hashes


def differing(folder: Path, hashes: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Yield files of a unit that are not what `DONE` says, with what is wrong; StoreError if one
    cannot be read.
    """
    for name, expected in hashes.items():
        path = folder / name
        with atomic_files.translated(path):
            if not path.is_file():
                yield path, "is missing"
                continue
            state = path.stat()
        if _sha256(path, state.st_size, state.st_mtime_ns) != expected:
            yield path, "is not what was written (its SHA-256 differs)"


@functools.lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, changed: int) -> str:
    with atomic_files.translated(path):
        return atomic_files.sha256(path)
