"""What people see of a launch while it runs: plain values that are drawn here or anywhere else.

The driving process writes its view to `<store>/runs/<run>.progress` every few seconds, so that `iid
status` shows the same as the launch's own terminal. The file is gone when the launch ends.
"""

import json
import logging
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from orchestrator.errors import StoreError
from orchestrator.store.store import Store

_log = logging.getLogger(__name__)

PUBLISH_SECONDS = {True: 5.0, False: 20.0}
"""Time between two writes, by whether the store is a folder."""
SILENT_SECONDS = 90.0
"""Age from which on a view is of a process that was killed or stands still."""
SMOOTHING_SECONDS = 10.0
"""Time in which most of a change of the estimated time left becomes visible."""
MAX_RUNNING = 50
"""Running units that are written to the store."""
SUFFIX = ".progress"


@dataclass(frozen=True, kw_only=True, slots=True)
class KindView:
    """How far the units of a kind, or the trials of a search, are."""

    name: str
    total: int
    done: int
    failed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningView:
    """A unit or trial that is being computed."""

    name: str
    step: int | None = None
    """None before its first report, like `total`."""
    total: int | None = None
    speed: float | None = None
    """Steps per second; None before its second report."""
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressView:
    """What a launch is doing at one moment."""

    kinds: tuple[KindView, ...]
    running: tuple[RunningView, ...]
    notes: tuple[str, ...] = ()
    """What else there is to know, such as workers that died."""
    seconds: float
    """Since the launch began."""
    seconds_left: float | None
    """None if it is not known yet."""

    def view(self) -> "ProgressView":
        """Return this."""
        return self


class HasView(Protocol):
    """What can be displayed."""

    def view(self) -> ProgressView:
        """Return what it is doing now; called from other threads."""


class SteadyEstimate:
    """A time left that does not jump: it follows what is estimated with some delay."""

    def __init__(self) -> None:
        self._shown: tuple[float, float] | None = None

    def update(self, estimated: float | None, now: float) -> float | None:
        """Return what to show at a time of the monotonic clock."""
        if estimated is None:
            return None if self._shown is None else max(0.0, self._shown[1])
        if self._shown is None or estimated < 1:
            self._shown = now, estimated
            return estimated
        then, before = self._shown
        weight = 1 - math.exp(-max(0.0, now - then) / SMOOTHING_SECONDS)
        expected = max(0.0, before - (now - then))
        self._shown = now, expected + weight * (estimated - expected)
        return self._shown[1]


@dataclass(frozen=True, slots=True)
class FoundProgress:
    """A view that a launch has written to the store."""

    run: str
    space: str
    age: float
    """Seconds since then, by the clocks of both machines."""
    view: ProgressView

    @property
    def is_silent(self) -> bool:
        """Whether its process was killed or stands still."""
        return self.age > SILENT_SECONDS


@contextmanager
def published(progress: HasView, store: Store, run: str, space: str) -> Iterator[None]:
    """Write what a launch is doing to the store during the block, now and then."""
    over = threading.Event()
    thread = threading.Thread(
        target=_publish_repeatedly,
        args=(progress, store, run, space, over),
        name="published progress",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        try:
            store.storage.remove(f"runs/{run}{SUFFIX}")
        except StoreError as error:
            _log.warning("what launch %s was doing stays in the store: %s", run, error)


def read_progress(store: Store) -> list[FoundProgress]:
    """Return what launches that run, or were killed, have written last; the newest first."""
    found = []
    for name in store.storage.entries("runs"):
        if not name.endswith(SUFFIX) or name.startswith("."):
            continue
        try:
            record = json.loads(store.storage.get(f"runs/{name}") or b"")
            age = max(0.0, time.time() - float(record["written"]))
            view = _parse_view(record["view"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.info("runs/%s cannot be read: %s", name, error)
            continue
        run = name.removesuffix(SUFFIX)
        found.append(FoundProgress(run, str(record.get("space", "")), age, view))
    return sorted(found, key=lambda each: each.age)


def _publish_repeatedly(
    progress: HasView, store: Store, run: str, space: str, over: threading.Event
) -> None:
    pause = PUBLISH_SECONDS[store.storage.is_local]
    while True:
        view = asdict(progress.view())
        view["running"] = view["running"][:MAX_RUNNING]
        record = {"written": time.time(), "space": space, "view": view}
        try:
            store.storage.put(f"runs/{run}{SUFFIX}", json.dumps(record).encode())
        except StoreError as error:
            _log.info("what launch %s is doing is not written: %s", run, error)
        if over.wait(pause):
            return


def _parse_view(fields: Mapping[str, Any]) -> ProgressView:
    return ProgressView(
        kinds=tuple(KindView(**kind) for kind in fields["kinds"]),
        running=tuple(RunningView(**unit) for unit in fields["running"]),
        notes=tuple(map(str, fields["notes"])),
        seconds=float(fields["seconds"]),
        seconds_left=None if fields["seconds_left"] is None else float(fields["seconds_left"]),
    )
