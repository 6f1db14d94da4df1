"""Objects behind an fsspec URL such as s3://bucket/folder: bytes by name.

Every error, whatever library raises it, becomes a `StoreError` that says what to do.
"""

import logging
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.errors import StoreError, StoreUnwritable
from orchestrator.store import atomic_files
from orchestrator.store.storage import Entry
from orchestrator.store.storage.names import DONE

PROTOCOLS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"connect_timeout": 10}},
    "memory": {},
}
"""Protocols known to create an object only where there is none, with options for fsspec.

`memory` is that of one process, for tests.
"""
_CHANGED = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
"""What the time of an object is called by the file systems of fsspec."""
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"}
_TRIES = 5
_BATCH = 256
"""Objects that are fetched at once."""

_log = logging.getLogger(__name__)


def check_protocol(url: str) -> str:
    """Return the protocol of a store's URL.

    Raises:
        StoreError: it is not known to let the first of two writers win.
    """
    protocol = url.partition("://")[0]
    if protocol not in PROTOCOLS:
        raise StoreError(
            f"store: {url}: {protocol}:// is not known to let the first of two writers win, which a"
            " store needs; use a folder, or s3://BUCKET/FOLDER"
        )
    return protocol


@dataclass(frozen=True, slots=True)
class Objects:
    """A folder of objects; names are relative to it, with slashes."""

    address: str
    """The folder's URL."""
    fs: Any
    """An `fsspec.AbstractFileSystem`."""
    base: str
    """The folder, as `fs` spells it."""

    def where(self, name: str) -> str:
        return f"{self.address}/{name}" if name else self.address

    def list_top_level(self) -> set[str] | None:
        with self._translated(""):
            try:
                found = self.fs.ls(self.base, detail=False)
            except FileNotFoundError as error:
                if _error_code(error) == "NoSuchBucket":
                    raise
                return None
        return {PurePosixPath(path).name for path in found} or None

    # Entries

    def entries(self, folder: str) -> dict[str, Entry]:
        base = f"{self._path(folder)}/"
        with self._translated(folder):
            try:
                found = self.fs.find(base, detail=True)
            except FileNotFoundError as error:
                if _error_code(error) == "NoSuchBucket":
                    raise
                return {}
        return {
            path.removeprefix(base): _entry(info)
            for path, info in found.items()
            if path.startswith(base)
        }

    def entry(self, name: str) -> Entry | None:
        with self._translated(name):
            try:
                return _entry(self.fs.info(self._path(name)))
            except FileNotFoundError:
                return None

    def get(self, name: str) -> bytes | None:
        with self._translated(name):
            try:
                return bytes(self.fs.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def get_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents of small objects; those that do not exist are left out."""
        rest = iter(names)
        while group := list(islice(rest, _BATCH)):
            paths = {self._path(name): name for name in group}
            with self._translated(group[0]):
                contents = self.fs.cat(list(paths), on_error="return")
                for path, content in contents.items():
                    if isinstance(content, FileNotFoundError):
                        continue
                    if isinstance(content, Exception):
                        raise content
                    yield paths[path], content

    def put(self, name: str, data: bytes) -> None:
        with self._translated(name):
            self.fs.pipe_file(self._path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Write an object unless it exists; return whether `data` is its content now.

        A library that did not hear the storage's answer sends the same request again, and then
        finds its own object. So the content decides: callers have data that only they write.
        """
        for attempt in range(_TRIES):
            with self._translated(name):
                try:
                    self.fs.pipe_file(self._path(name), data, mode="create")
                except FileExistsError:
                    break
                except OSError as error:
                    if _error_code(error) == "PreconditionFailed":
                        break
                    if _error_code(error) != "ConditionalRequestConflict" or attempt == _TRIES - 1:
                        raise
                    # Somebody writes or deletes the object right now: S3 asks to try again.
                    _log.info("%s: conflict with another writer, retrying", self.where(name))
                    time.sleep(0.1 * 2**attempt)
                else:
                    return True
        return self.get(name) == data

    def remove(self, *names: str) -> None:
        """Remove objects; those that do not exist are ignored."""
        for name in names:
            with self._translated(name):
                try:
                    self.fs.rm_file(self._path(name))
                except FileNotFoundError:
                    continue  # another machine removed it

    def move(self, name: str, target: str) -> None:
        """Copy objects within the storage, then remove the originals.

        `DONE` goes first: a unit without it does not exist, one without its other files is broken.
        """
        below = sorted(self.entries(name), key=lambda entry: (entry != DONE, entry))
        moves = [(f"{name}/{entry}", f"{target}/{entry}") for entry in below]
        if self.entry(name) is not None and not moves:
            moves = [(name, target)]
        for source, destination in moves:
            with self._translated(source):
                self.fs.cp_file(self._path(source), self._path(destination))
                self.fs.rm_file(self._path(source))

    def now(self, folder: str) -> float:
        probe = f"{folder}/.clock.{uuid.uuid4().hex}"
        self.put(probe, b"")
        try:
            entry = self.entry(probe)
            return time.time() if entry is None else entry.changed
        finally:
            self.remove(probe)

    def upload_file(self, name: str, path: Path) -> None:
        """Write an object with the content of a file."""
        with self._translated(name):
            self.fs.put_file(str(path), self._path(name))

    def download_file(self, name: str, path: Path) -> None:
        """Write an object to a file, whose folder is made; StoreError if it does not exist."""
        with atomic_files.translate_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._translated(name):
            self.fs.get_file(self._path(name), str(path))

    def _path(self, name: str) -> str:
        return f"{self.base}/{name}" if name else self.base

    def _translated(self, name: str) -> AbstractContextManager[None]:
        return _translate_errors(self.where(name))


def open_file_system(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL and its spelling of the folder; nothing is read yet.

    Raises:
        StoreError: there cannot be a store at this URL, or a package for it is missing.
    """
    protocol = check_protocol(url)
    try:
        import fsspec

        fs, base = fsspec.url_to_fs(url, use_listings_cache=False, **PROTOCOLS[protocol])
    except ImportError as error:
        raise StoreError(
            f"store: {url}: {_one_line(error)}; pip install 'iid-orchestrator[s3]'"
        ) from error
    except Exception as error:  # each file system raises what it likes for a URL it rejects
        raise StoreError(f"store: {url} is no address of a store: {_one_line(error)}") from error
    if not base.strip("/"):
        raise StoreError(f"store: {url} names no bucket; give {protocol}://BUCKET/FOLDER")
    return fs, base.rstrip("/")


def _entry(info: Mapping[str, Any]) -> Entry:
    changed = _seconds(next((info[name] for name in _CHANGED if info.get(name)), 0.0))
    size = int(info.get("size") or 0)
    return Entry(size, str(info.get("ETag") or info.get("etag") or f"{changed} {size}"), changed)


def _seconds(time: datetime | str | float) -> float:
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    return time.timestamp() if isinstance(time, datetime) else float(time)


@contextmanager
def _translate_errors(where: str) -> Iterator[None]:
    """Turn any error inside the block into a `StoreError` about the object at URL `where`."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # fsspec, botocore, aiohttp, …: there is no common base class
        raise _describe(where, error) from error


def _error_code(error: BaseException) -> str | None:
    """Return the S3 error code that an error was made from."""
    response = getattr(error.__cause__, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, dict) else None


def _one_line(error: Exception) -> str:
    """Return the message of an error on one line."""
    return " ".join((str(error) or type(error).__name__).split())


def _describe(where: str, error: Exception) -> StoreError:
    if atomic_files.is_full(error):
        return StoreUnwritable(
            f"store: {where}: the disk of its local copy is full; {atomic_files.FREE_SPACE}"
        )
    if _error_code(error) == "NoSuchBucket":
        return StoreUnwritable(
            f"store: {where}: there is no such bucket; make it, or correct --store"
        )
    if isinstance(error, PermissionError) or type(error).__name__ in _NO_CREDENTIALS:
        return StoreUnwritable(
            f"store: {where}: access is refused ({_one_line(error)}); check the credentials on this"
            " machine and what they allow: list, read, write and delete"
        )
    if isinstance(error, FileNotFoundError):
        return StoreError(
            f"store: {where}: it is not there; check that nobody deletes objects of the store"
        )
    return StoreError(
        f"store: {where}: the storage does not answer as it should ({_one_line(error)}); check its"
        " address (for S3 AWS_ENDPOINT_URL) and the network, then run the same command again"
    )
