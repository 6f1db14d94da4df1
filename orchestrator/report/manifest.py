"""What a report wrote, kept beside it, so that the next report can remove what is no longer part of
it.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

MANIFEST = ".files.json"
FOLDERS = ("pictures", "figures", "tables", "latex")
"""Folders of a report; nothing outside them is ever removed."""


def update_manifest(out: Path, written: Iterable[Path]) -> None:
    """Remove the files of an earlier report that this one did not write, and note what this one
    wrote.

    A file is removed only if the earlier report noted it, it lies in one of the report's own
    folders, and its content is still what that report wrote.

    Args:
        out: the report's folder.
        written: paths of this report's files, inside `out`.

    Raises:
        OSError: a file cannot be read, removed or written.
    """
    names = {path.relative_to(out).as_posix(): path for path in written}
    for name, digest in _read_manifest(out / MANIFEST).items():
        if (
            name not in names
            and _is_report_file(name)
            and (out / name).is_file()
            and _hash_file(out / name) == digest
        ):
            (out / name).unlink()
    noted = {
        name: _hash_file(path) for name, path in sorted(names.items()) if _is_report_file(name)
    }
    (out / MANIFEST).write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")


def _read_manifest(path: Path) -> dict[str, str]:
    """Return the files of the earlier report; a missing or damaged note says nothing, so nothing is
    removed.
    """
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _is_report_file(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return len(parts) > 1 and parts[0] in FOLDERS and ".." not in parts


def _hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
