"""Files that appear complete or not at all, and file system errors that say what to do."""

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.errors import StoreError, StoreUnwritable

FREE_SPACE = "free some space and run the same command again, finished work is kept"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_FOLDER = {errno.EEXIST, errno.ENOTDIR}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` inside the block into a `StoreError` about `path` that says what to do."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        if error.errno in _FULL:
            remedy = f"the disk is full; {FREE_SPACE}"
        elif error.errno in _FORBIDDEN:
            remedy = (
                "it cannot be used; check its permissions, or choose another folder with --store"
            )
        elif error.errno in _NO_FOLDER:
            remedy = "there is a file where a folder has to be; choose another folder with --store"
        elif error.errno == errno.ENOENT:
            remedy = (
                "it is not there; check that the store is mounted and that nobody deletes files"
                " in it"
            )
        else:
            remedy = f"{error.strerror or error}; check the disk, then run the same command again"
        kind = StoreUnwritable if error.errno in _FULL | _FORBIDDEN else StoreError
        raise kind(f"store: {where}: {remedy}") from error


def write(path: Path, data: bytes) -> None:
    """Write `data` to `path`, replacing what is there; readers see the old content or the new."""
    with translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_inside(path, data)


def write_inside(path: Path, data: bytes) -> None:
    """Write as `write` does, into a folder that has to be there.

    A folder that another process took away is not made again, without what was in it.
    """
    with translate_errors(path):
        temporary = _write_temporary(path, data)
        try:
            # Atomic, and the content is on the disk already: a crash leaves the old or the new.
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def create(path: Path, data: bytes) -> bool:
    """Write `data` to `path` unless it exists; return whether this call did it.

    Of several callers exactly one succeeds.
    """
    with translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _write_temporary(path, data)
        try:
            # Unlike a rename, a link fails where something is, also on NFS.
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_without_links(path, data)
        finally:
            temporary.unlink(missing_ok=True)
        return True


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        StoreError: the file is missing, unreadable, or not a JSON object.
    """
    with translate_errors(path):
        data = path.read_bytes()
    return parse_json(str(path), data)


def parse_json(where: str, data: bytes) -> dict[str, Any]:
    """Return the JSON object that was read from `where`; StoreError if it is not one."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"store: {where} is damaged ({error}); delete it and run again") from error
    if not isinstance(value, dict):
        raise StoreError(f"store: {where} is damaged (not a JSON object); delete it and run again")
    return value


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full, or that the store may not be written.

    Libraries that write files, such as safetensors, raise other classes of errors, with the
    system's message in them.
    """
    if isinstance(error, StoreUnwritable):
        return True
    return (isinstance(error, OSError) and error.errno in _FULL) or os.strerror(
        errno.ENOSPC
    ) in str(error)


def to_json_bytes(value: object) -> bytes:
    """Encode as readable JSON, keys sorted."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content as hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync_and_hash(folder: Path) -> dict[str, str]:
    """Force all files of a folder to the disk and return their SHA-256 by relative path."""
    hashes = {}
    for name in sorted(list_files(folder)):
        sync(folder / name)
        hashes[name] = sha256(folder / name)
    return hashes


def list_files(folder: Path) -> set[str]:
    """Return the relative paths of all files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def sync(path: Path) -> None:
    """Force a file's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Force a folder's list of names to the disk, where the file system supports that."""
    try:
        sync(folder)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EACCES, errno.EBADF, errno.ENOTSUP}:
            raise


def _write_temporary(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _create_without_links(path: Path, data: bytes) -> bool:
    """Create a file where the file system has no links; a crash may leave a part of it."""
    try:
        with path.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        return False
    return True
