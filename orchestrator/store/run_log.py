"""The log of a launch, `<store>/runs/<run>.log`: lines of the driving process and of its workers.

    2026-03-01T14:25:01.123Z INFO node7:4711 orchestrator.execution.commit [1f0c…] message

A message with several lines, such as a traceback, is indented after the first. In a folder all
processes append to the same file. Objects behind a URL cannot be appended to: there each process
writes objects of its own, `runs/<run>.<host>-<pid>-<number>.log`, at the end of every unit, and
the driving process merges them when the launch ends.
"""

import logging
import os
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import StoreError
from orchestrator.store.storage import Storage

if TYPE_CHECKING:
    from orchestrator.store.store import Store

PACKAGES = ("orchestrator", "distill_core", "search_spaces")
"""Names of the loggers of this project; those of its modules are below them."""
PART_BYTES = 64 * 2**10
"""Size from which on a process continues in another object, so that little is written again."""

_log = logging.getLogger(__name__)
_units: ContextVar[str] = ContextVar("units", default="")
_lock = threading.Lock()
_attached: "RunLogHandler | None" = None
"""What `attach` added in this process, which computes units of one launch after another."""


def locate_log(store: "Store", run: str) -> str:
    """Return the path or URL of a launch's log."""
    return f"{store.address}/runs/{run}.log"


@contextmanager
def name_units(keys: Sequence[str]) -> Iterator[None]:
    """Name these units in every line that this thread logs during the block."""
    name = keys[0] if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more"
    token = _units.set(name)
    try:
        yield
    finally:
        _units.reset(token)


@contextmanager
def record_launch(store: "Store", run: str) -> Iterator[None]:
    """Log the driving process of a launch during the block, and merge the parts at the end."""
    handler = _make_handler(store, run)
    levels = _add(handler)
    try:
        yield
    finally:
        _remove(handler, levels)
        if not store.storage.is_local:
            _merge_parts(store.storage, run)


def attach(store: "Store", run: str) -> None:
    """Log a worker process of a launch from now on; an earlier launch is logged no more.

    Does nothing in the driving process, which `record_launch` logs already.
    """
    global _attached
    with _lock:
        name = locate_log(store, run)
        if any(handler.name == name for handler in _list_handlers()):
            return
        if _attached is not None:
            _remove(_attached, {})
        _attached = _make_handler(store, run)
        _add(_attached)


def flush() -> None:
    """Write what this process has logged to where the launch finds it; at the end of a unit."""
    for handler in _list_handlers():
        handler.flush()


class RunLogHandler(logging.Handler):
    """Keeps lines in the way of the store; what cannot be written is dropped.

    A log is never a reason to fail: the store's other writes report a full disk or a lost network.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.INFO)
        self.set_name(name)
        self._process = f"{socket.gethostname()}:{os.getpid()}"

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as a line that says when and where it was logged."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        units = _units.get()
        about_units = f" [{units}]" if units else ""
        message = super().format(record).replace("\n", "\n    ")
        return (
            f"{time.replace('+00:00', 'Z')} {record.levelname} {self._process}"
            f" {record.name}{about_units} {message}\n"
        )

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the line."""


class _FileHandler(RunLogHandler):
    """Appends to a file that other processes append to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._path = Path(name)
        self._descriptor: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line.

        One write with O_APPEND puts a whole line behind what is there, so that lines of several
        processes do not mix. Over NFS the machines' caches can still make lines overwrite each
        other; there the log is a help, not a record.
        """
        try:
            if self._descriptor is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._descriptor = os.open(self._path, flags, 0o666)
            os.write(self._descriptor, self.format(record).encode(errors="replace"))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        super().close()


class _ObjectHandler(RunLogHandler):
    """Collects lines, and writes them as objects of this process."""

    def __init__(self, name: str, storage: Storage, run: str) -> None:
        super().__init__(name)
        self._storage = storage
        self._prefix = f"runs/{run}.{self._process.replace(':', '-')}"
        self._number = 0
        self._lines = bytearray()
        self._written = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a line."""
        with suppress(Exception):
            self._lines += self.format(record).encode(errors="replace")

    def flush(self) -> None:
        """Write the object, if there is anything new."""
        self.acquire()
        try:
            if len(self._lines) == self._written:
                return
            self._storage.put(f"{self._prefix}-{self._number}.log", bytes(self._lines))
            self._written = len(self._lines)
            if self._written > PART_BYTES:
                self._number += 1
                self._lines, self._written = bytearray(), 0
        except StoreError:  # the lines are kept, and the end of the next unit tries again
            return
        finally:
            self.release()

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        super().close()


def _list_handlers() -> list[RunLogHandler]:
    """Return what logs this process, as the driver of a launch or as a worker."""
    handlers = logging.getLogger(PACKAGES[0]).handlers
    return [handler for handler in handlers if isinstance(handler, RunLogHandler)]


def _make_handler(store: "Store", run: str) -> RunLogHandler:
    name = locate_log(store, run)
    if store.storage.is_local:
        return _FileHandler(name)
    return _ObjectHandler(name, store.storage, run)


def _add(handler: logging.Handler) -> dict[str, int]:
    """Attach a handler to the project's loggers, and return their levels of before."""
    levels = {}
    for package in PACKAGES:
        logger = logging.getLogger(package)
        levels[package] = logger.level
        if not logger.isEnabledFor(logging.INFO):
            logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    return levels


def _remove(handler: logging.Handler, levels: dict[str, int]) -> None:
    for package in PACKAGES:
        logging.getLogger(package).removeHandler(handler)
    for package, level in levels.items():
        logging.getLogger(package).setLevel(level)
    handler.close()


def _merge_parts(storage: Storage, run: str) -> None:
    """Put the parts of a launch's log together, in the order of time."""
    try:
        names = [
            f"runs/{name}"
            for name in storage.entries("runs")
            if name.startswith(f"{run}.") and name.endswith(".log")
        ]
        records: list[str] = []
        for name in names:
            text = (storage.get(name) or b"").decode(errors="replace")
            records += re.split(r"(?m)^(?=\d{4}-\d\d-\d\dT)", text)
        merged = f"runs/{run}.log"
        storage.put(merged, "".join(sorted(records)).encode())
        # Only now: who is killed in between leaves lines twice rather than nowhere.
        storage.remove(*(name for name in names if name != merged))
    except StoreError as error:
        _log.warning("the log of launch %s stays in parts: %s", run, error)
