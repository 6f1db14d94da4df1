"""The sign that asks the workers of a launch to checkpoint and stop, on whatever machines they
run.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.errors import StoreError
from orchestrator.store.remote.objects import Remote

LOOK_SECONDS = 1.0
"""Pause between two looks at a remote store."""


class StopSignal(Protocol):
    """A sign beside a launch's record, whose presence says stop."""

    def set(self) -> None:
        """Ask to stop; OSError or StoreError if the store cannot be written."""

    def clear(self) -> None:
        """Remove the sign; likewise."""

    def is_set(self) -> bool:
        """Whether it is there."""

    @contextmanager
    def watched(self) -> Iterator[Callable[[], bool]]:
        """Give a function that tells whether the sign is up, and can be called often."""


@dataclass(frozen=True, slots=True)
class FileStopSignal:
    """An empty file."""

    file: Path

    def set(self) -> None:
        """Ask to stop."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.touch()

    def clear(self) -> None:
        """Remove the sign."""
        self.file.unlink(missing_ok=True)

    def is_set(self) -> bool:
        """Whether it is there."""
        return self.file.exists()

    @contextmanager
    def watched(self) -> Iterator[Callable[[], bool]]:
        """Give `is_set`: looking costs microseconds."""
        yield self.is_set


@dataclass(frozen=True, slots=True)
class RemoteStopSignal:
    """An empty object of a remote store."""

    remote: Remote
    name: str

    def set(self) -> None:
        """Ask to stop."""
        self.remote.put(self.name, b"")

    def clear(self) -> None:
        """Remove the sign."""
        self.remote.remove(self.name)

    def is_set(self) -> bool:
        """Whether it is there."""
        return self.remote.entry(self.name) is not None

    @contextmanager
    def watched(self) -> Iterator[Callable[[], bool]]:
        """Have a thread look once a second, so that the work itself waits for no answer."""
        up, over = threading.Event(), threading.Event()

        def look() -> None:
            while not over.wait(LOOK_SECONDS) and not up.is_set():
                with suppress(StoreError):  # unreachable: the next look tells
                    if self.is_set():
                        up.set()

        thread = threading.Thread(target=look, name=f"stop {self.name}", daemon=True)
        thread.start()
        try:
            yield up.is_set
        finally:
            over.set()
            thread.join()
