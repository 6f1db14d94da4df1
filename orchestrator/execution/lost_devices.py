"""GPUs that break the processes that use them: noted in the store, and taken out of use.

A worker whose GPU does not compute any more leaves a note and ends, and its unit is tried again in
a new process. After `MAX_LOSSES` notes in a row the GPU is taken out of use: a worker that gets it
hands its units back and keeps the GPU until the launch ends, so that nobody else gets it. A unit
after which several GPUs were lost is to blame itself.
"""

import json
import logging
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from orchestrator.errors import StoreError
from orchestrator.store.store import Store

_log = logging.getLogger(__name__)

MAX_LOSSES = 3
"""Processes in a row that a GPU may break."""
POLL_SECONDS = 1.0
EXIT_CODE = 86
"""Of a process whose GPU is lost."""
_SUFFIX = ".device"

Verdict = Literal["use", "keep", "blame"]
"""use: compute; keep: the GPU is out of use; blame: the unit breaks every GPU that it gets."""


@dataclass(frozen=True, slots=True)
class DeviceNotes:
    """The notes of a launch about its GPUs, `runs/<run>.<uuid>.device` each."""

    store: Store
    run: str

    def add(self, device: str, name: str, units: Iterable[str], reason: str) -> None:
        """Note that a process lost its GPU."""
        note = {"device": device, "name": name, "units": list(units), "reason": reason}
        place = f"runs/{self.run}.{uuid.uuid4().hex}{_SUFFIX}"
        try:
            self.store.storage.put(place, json.dumps(note).encode())
        except StoreError as error:
            _log.warning("the loss of %s is not noted: %s", device, error)

    def read(self) -> dict[str, dict[str, object]]:
        """Return all notes by their name in the store."""
        found = {}
        for name in sorted(self.store.storage.entries("runs")):
            if name.startswith(f"{self.run}.") and name.endswith(_SUFFIX):
                content = self.store.storage.get(f"runs/{name}")
                if content is not None:
                    found[f"runs/{name}"] = dict(json.loads(content))
        return found

    def forget(self, device: str | None = None) -> None:
        """Remove the notes about a GPU, which has computed a unit since, or about all."""
        try:
            notes = self.read()
            chosen = [n for n, note in notes.items() if device in (None, note["device"])]
            if chosen:
                self.store.storage.remove(*chosen)
        except (StoreError, ValueError) as error:
            _log.warning("notes about GPUs stay: %s", error)

    def forget_unit(self, keys: Iterable[str]) -> None:
        """Remove the notes about units that are to blame, so that the GPUs are used again."""
        wanted = list(keys)
        try:
            notes = self.read()
            mine = [name for name, note in notes.items() if note["units"] == wanted]
            self.store.storage.remove(*mine)
        except (StoreError, ValueError) as error:
            _log.warning("notes about GPUs stay: %s", error)

    def judge(self, device: str, units: Iterable[str], *, gpus: int) -> Verdict:
        """Decide what a worker does that gets some units and a GPU.

        Args:
            device: the GPU.
            units: keys of the units.
            gpus: number of GPUs in all; with a single one a unit that breaks it again and again is
                to blame, since it cannot be tried elsewhere.
        """
        notes, keys = self.read().values(), list(units)
        here = [note for note in notes if note["device"] == device]
        mine = [note for note in notes if note["units"] == keys]
        elsewhere = {str(note["device"]) for note in mine}
        if len(elsewhere) > 1 and len(mine) > MAX_LOSSES:
            return "blame"
        if len(here) < MAX_LOSSES:
            return "use"
        return "blame" if gpus <= 1 and len(mine) == len(here) else "keep"


def identify_device() -> str:
    """Name the GPU that Ray gave this process: the same in each process that gets it."""
    return f"{socket.gethostname()} GPU {os.environ.get('CUDA_VISIBLE_DEVICES', '?')}"


def name_model() -> str:
    """Return the model of the GPU as far as it is known; a lost one may not say."""
    torch = sys.modules.get("torch")
    try:
        if torch is not None and torch.cuda.is_initialized():
            return str(torch.cuda.get_device_name())
    except Exception as error:
        _log.debug("the GPU does not say its name: %s", error)
    return ""


def keep_until_over(store: Store, run: str, is_over: Callable[[], bool]) -> None:
    """Keep a GPU that is out of use, until the launch releases it or stops."""
    stop = store.stop_signal(run)
    while not is_over():
        try:
            if stop.is_set() or store.storage.entry(release_name(run)) is not None:
                return
        except StoreError as error:
            _log.info("whether the launch is over cannot be seen now: %s", error)
        time.sleep(POLL_SECONDS)


def release_name(run: str) -> str:
    """Return the entry that tells workers to let go of GPUs that are out of use."""
    return f"runs/{run}.release"
