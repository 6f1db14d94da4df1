"""The list of files that a report wrote, kept next to it.

With it the next report removes the files that are no longer part of it, and nothing else.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

MANIFEST = ".files.json"
FOLDERS = ("pictures", "figures", "tables", "latex")
"""Folders of a report; nothing outside them is ever removed."""


def update_manifest(out: Path, written: Iterable[Path]) -> None:
    """Remove stale files of an earlier report and list the files of this one.

    A file is removed only if the earlier report listed it, it is in one of the report's folders,
    and its content is still what that report wrote.

    Args:
        out: the report's folder.
        written: paths of this report's files, inside `out`.

    Raises:
        OSError: a file cannot be read, removed or written.
    """
    names = {path.relative_to(out).as_posix(): path for path in written}
    for name, digest in _read_manifest(out / MANIFEST).items():
        if name not in names and _is_unchanged(out, name, digest):
            (out / name).unlink()
    listed = {
        name: _hash_file(path) for name, path in sorted(names.items()) if _is_report_file(name)
    }
    (out / MANIFEST).write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


def _read_manifest(path: Path) -> dict[str, str]:
    """Return the digests of the earlier report's files by name."""
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        # Without a readable list nobody knows which files are the report's, so none is removed.
        return {}
    return listed if isinstance(listed, dict) else {}


def _is_unchanged(out: Path, name: str, digest: str) -> bool:
    # A user may have edited or replaced a file since; such a file is the user's and stays.
    return _is_report_file(name) and (out / name).is_file() and _hash_file(out / name) == digest


def _is_report_file(name: str) -> bool:
    # The manifest is read from disk and may be damaged: ".." must not lead out of the folder.
    parts = PurePosixPath(name).parts
    return len(parts) > 1 and parts[0] in FOLDERS and ".." not in parts


def _hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
