"""The signal that asks the workers of a launch to checkpoint and stop, on whatever machines."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator.errors import StoreError
from orchestrator.store.storage import Storage

POLL_SECONDS = 1.0
"""Pause between two checks of a signal behind a URL."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StopSignal:
    """An empty entry next to a launch's record, whose presence says stop."""

    storage: Storage
    name: str

    def set(self) -> None:
        """Ask to stop; StoreError if the store cannot be written."""
        self.storage.put(self.name, b"")

    def clear(self) -> None:
        """Remove the signal; likewise."""
        self.storage.remove(self.name)

    def is_set(self) -> bool:
        """Whether it is there."""
        return self.storage.entry(self.name) is not None

    @contextmanager
    def watched(self) -> Iterator[Callable[[], bool]]:
        """Give a function that says whether the signal is set, and can be called often.

        Where a check takes long a thread makes it, so that the work itself never waits for one.
        """
        if self.storage.is_local:
            yield self.is_set
            return
        seen, ended = threading.Event(), threading.Event()
        thread = threading.Thread(
            target=self._poll, args=(seen, ended), name=f"stop {self.name}", daemon=True
        )
        thread.start()
        try:
            yield seen.is_set
        finally:
            ended.set()
            thread.join()

    def _poll(self, seen: threading.Event, ended: threading.Event) -> None:
        while not ended.wait(POLL_SECONDS) and not seen.is_set():
            try:
                if self.is_set():
                    seen.set()
            except StoreError as error:  # unreachable: the next check may succeed
                _log.info("the stop signal cannot be checked now: %s", error)
