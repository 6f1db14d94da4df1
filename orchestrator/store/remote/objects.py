"""Objects behind an fsspec URL, such as a bucket of S3: bytes by name, listed, replaced, or created
where nothing is.

Every error of a remote, whatever library raises it, becomes a `StoreError` that says what to do.
"""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from orchestrator.errors import StoreError, StoreUnwritable
from orchestrator.store import atomic_files

PROTOCOLS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"connect_timeout": 10}},
    "memory": {},
}
"""Those known to leave it to the storage to create an object only where there is none, with options
for fsspec.

`memory` is that of one process, for tests.
"""
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"}
_CHANGED = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
_TRIES = 5
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing says of an object."""

    size: int
    mark: str
    """Another one after each change of the content."""
    changed: float
    """When it was written, in seconds by the storage's clock."""


def check_protocol(url: str) -> str:
    """Return the protocol of a store's URL.

    Raises:
        StoreError: it cannot promise that the first of two writers wins, as far as is known.
    """
    protocol = url.partition("://")[0]
    if protocol not in PROTOCOLS:
        raise StoreError(
            f"store: {url}: nobody has looked whether {protocol}:// lets the first of two writers"
            " win, which a store needs; use a folder, or s3://BUCKET/FOLDER"
        )
    return protocol


@dataclass(frozen=True, slots=True)
class Remote:
    """A folder of objects; names are relative to it, with slashes."""

    url: str
    fs: Any
    """An `fsspec.AbstractFileSystem`."""
    base: str
    """The folder, as the file system spells it."""

    @classmethod
    def connect(cls, url: str) -> "Remote":
        """Return the folder at a URL; nothing is read yet.

        Raises:
            StoreError: the protocol is unknown or cannot promise that the first of two writers
                wins, or its package is missing.
        """
        protocol = check_protocol(url)
        try:
            import fsspec

            fs, base = fsspec.url_to_fs(url, use_listings_cache=False, **PROTOCOLS[protocol])
        except ImportError as error:
            raise StoreError(
                f"store: {url}: {_line(error)}; pip install 'iid-orchestrator[s3]'"
            ) from error
        except (
            Exception
        ) as error:  # each implementation has errors of its own for a URL that it does not like
            raise StoreError(f"store: {url} is no address of a store: {_line(error)}") from error
        if not base.strip("/"):
            raise StoreError(f"store: {url} names no bucket; give {protocol}://BUCKET/FOLDER")
        return cls(url.rstrip("/"), fs, base.rstrip("/"))

    def where(self, name: str) -> str:
        """Return the URL of an object, for messages."""
        return f"{self.url}/{name}" if name else self.url

    def entries(self, folder: str = "") -> dict[str, Entry]:
        """List what is below a folder, at any depth: names relative to the folder."""
        base = f"{self._path(folder)}/"
        with self._translated(folder):
            try:
                found = self.fs.find(base, detail=True)
            except FileNotFoundError as error:
                if _code(error) == "NoSuchBucket":
                    raise
                return {}
        return {
            path.removeprefix(base): _entry(info)
            for path, info in found.items()
            if path.startswith(base)
        }

    def entry(self, name: str) -> Entry | None:
        """Return what is known of one object; None if it is not there."""
        with self._translated(name):
            try:
                return _entry(self.fs.info(self._path(name)))
            except FileNotFoundError:
                return None

    def is_empty(self) -> bool:
        """Whether nothing lies in the whole folder; StoreError if that cannot be seen."""
        with self._translated(""):
            try:
                return not self.fs.ls(self.base, detail=False)
            except FileNotFoundError as error:
                if _code(error) == "NoSuchBucket":
                    raise
                return True

    def get(self, name: str) -> bytes | None:
        """Return the content of an object; None if it is not there."""
        with self._translated(name):
            try:
                return bytes(self.fs.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def get_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents of small objects, many at a time; those that are not there are
        left out.
        """
        rest = iter(names)
        while group := list(islice(rest, _BATCH)):
            paths = {self._path(name): name for name in group}
            with self._translated(group[0]):
                contents = self.fs.cat(list(paths), on_error="return")
                for content in contents.values():
                    if isinstance(content, Exception) and not isinstance(
                        content, FileNotFoundError
                    ):
                        raise content
            yield from (
                (paths[path], data)
                for path, data in contents.items()
                if not isinstance(data, Exception)
            )

    def put(self, name: str, data: bytes) -> None:
        """Put an object, replacing what is there."""
        with self._translated(name):
            self.fs.pipe_file(self._path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Put an object unless something is there; return whether this data is what lies there now.

        A library that did not hear the storage's answer sends the same request again, and then
        finds its own object: so callers whose data is theirs alone learn the truth all the same.
        """
        for attempt in range(_TRIES):
            with self._translated(name):
                try:
                    self.fs.pipe_file(self._path(name), data, mode="create")
                except FileExistsError:
                    break
                except OSError as error:
                    if _code(error) == "PreconditionFailed":
                        break
                    if _code(error) != "ConditionalRequestConflict" or attempt == _TRIES - 1:
                        raise
                    time.sleep(0.1 * 2**attempt)  # somebody deletes or puts it at this moment
                else:
                    return True
        return self.get(name) == data

    def remove(self, *names: str) -> None:
        """Remove objects; those that are not there already are none the less gone."""
        for name in names:
            with self._translated(name):
                try:
                    self.fs.rm_file(self._path(name))
                except FileNotFoundError:
                    continue

    def move(self, name: str, target: str) -> None:
        """Copy an object within the storage, then remove the original."""
        with self._translated(name):
            self.fs.cp_file(self._path(name), self._path(target))
            self.fs.rm_file(self._path(name))

    def upload(self, sources: Mapping[str, Path]) -> None:
        """Put the content of files by the names of their objects."""
        with self._translated(next(iter(sources), "")):
            for name, path in sources.items():
                self.fs.put_file(str(path), self._path(name))

    def download(self, targets: Mapping[str, Path]) -> None:
        """Write objects to files, whose folders are made; StoreError if one is not there."""
        for name, path in targets.items():
            with atomic_files.translated(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            with self._translated(name):
                self.fs.get_file(self._path(name), str(path))

    def now(self, folder: str) -> float:
        """Return the time by the storage's clock."""
        probe = f"{folder}/.clock.{uuid.uuid4().hex}"
        self.put(probe, b"")
        try:
            entry = self.entry(probe)
            return time.time() if entry is None else entry.changed
        finally:
            self.remove(probe)

    def _path(self, name: str) -> str:
        return f"{self.base}/{name}" if name else self.base

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except (
            Exception
        ) as error:  # of fsspec, botocore, aiohttp, …: no base class is common to all
            raise _told(self.where(name), error) from error


def _told(where: str, error: Exception) -> StoreError:
    """Say what to do about a remote's error."""
    if atomic_files.is_full(error):
        return StoreUnwritable(
            f"store: {where}: the disk of its local copy is full; {atomic_files.FREE_SPACE}"
        )
    if _code(error) == "NoSuchBucket":
        return StoreUnwritable(
            f"store: {where}: there is no such bucket; make it, or correct --store"
        )
    if isinstance(error, PermissionError) or type(error).__name__ in _NO_CREDENTIALS:
        return StoreUnwritable(
            f"store: {where}: access is refused ({_line(error)}); check the credentials on this"
            " machine and what they allow: list, read, write and delete"
        )
    if isinstance(error, FileNotFoundError):
        return StoreError(
            f"store: {where}: it is not there; check that nobody deletes objects of the store"
        )
    return StoreError(
        f"store: {where}: the storage does not answer as it should ({_line(error)}); check its"
        " address (for S3 AWS_ENDPOINT_URL) and the network, then run the same command again"
    )


def _code(error: BaseException) -> str | None:
    """Return the error code of S3 that an error was made from."""
    response = getattr(error.__cause__, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, dict) else None


def _entry(info: Mapping[str, Any]) -> Entry:
    changed, size = (
        _seconds(next((info[name] for name in _CHANGED if info.get(name)), 0.0)),
        int(info.get("size") or 0),
    )
    return Entry(size, str(info.get("ETag") or info.get("etag") or f"{changed} {size}"), changed)


def _seconds(time: datetime | str | float) -> float:
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    return time.timestamp() if isinstance(time, datetime) else float(time)


def _line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())
