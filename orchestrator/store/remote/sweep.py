"""Sweeping a remote store: what killed processes left there, as far as it is certain that nobody
needs it.
"""

import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath

from orchestrator.errors import StoreError
from orchestrator.store import leases
from orchestrator.store.publish import DONE
from orchestrator.store.remote.names import attempt_of
from orchestrator.store.remote.objects import Entry
from orchestrator.store.remote.store import RemoteStore

DAY = 86400.0
"""Age at which what is written within minutes has lost its writer, whatever the clocks say."""


def sweep_remote(store: RemoteStore, done: frozenset[str]) -> None:
    """Remove leftovers, and this machine's half-made copies; what cannot be removed stays."""
    for name in [*attempts_left(store, done), *_of_done_units(store, done), *_temporaries(store)]:
        with suppress(StoreError):
            store.remote.remove(name)
    _sweep_copy(store, done)


def _sweep_copy(store: RemoteStore, done: frozenset[str]) -> None:
    """Remove what killed processes left in this machine's copy, and checkpoints of units that
    another one finished.
    """
    then = time.time() - DAY
    for folder in store.root.glob("units/*/.*"):
        key = folder.name.removeprefix(".").removeprefix("fetched.").partition(".")[0]
        with suppress(OSError):
            if folder.stat().st_mtime < then and not _is_held(store, key):
                shutil.rmtree(folder, ignore_errors=True)
    for folder in store.root.glob("checkpoints/*/*"):
        if folder.name in done and not _is_held(store, folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def attempts_left(store: RemoteStore, done: frozenset[str]) -> Iterator[str]:
    """Yield objects of attempts that cannot win: others than the winner's, or a day old while
    nobody is at the unit.

    An attempt that is still young may be about to win, whoever holds the lease by now.
    """
    attempts: dict[str, dict[str, dict[str, Entry]]] = defaultdict(lambda: defaultdict(dict))
    for name, entry in store.remote.entries("units").items():
        kind, key, attempt = (*PurePosixPath(name).parts, "", "", "")[:3]
        if attempt != DONE:
            attempts[key][f"units/{kind}/{key}/{attempt}"][f"units/{name}"] = entry
    for key, found in attempts.items():
        if key in done and len(found) > 1:
            with suppress(StoreError):
                winner = attempt_of(store.done_record(key), key)
                yield from (
                    name for attempt, names in found.items() if attempt != winner for name in names
                )
        elif key not in done and not _is_held(store, key):
            for names in found.values():
                if max(entry.changed for entry in names.values()) < time.time() - DAY:
                    yield from names


def _of_done_units(store: RemoteStore, done: frozenset[str]) -> Iterator[str]:
    """Yield leases, failures and checkpoints of units that are done."""
    for folder in ("leases", "tables/failures", "checkpoints"):
        for name in store.remote.entries(folder):
            path = PurePosixPath(name)
            key = path.parts[1] if folder == "checkpoints" and len(path.parts) > 1 else path.stem
            if key in done and (folder == "tables/failures" or not _is_held(store, key)):
                yield f"{folder}/{name}"


def _temporaries(store: RemoteStore) -> Iterator[str]:
    then = time.time() - DAY
    for folder, pattern in (("leases", ".*"), ("runs", "*.stop")):
        for name, entry in store.remote.entries(folder).items():
            if PurePosixPath(name).match(pattern) and entry.changed < then:
                yield f"{folder}/{name}"


def _is_held(store: RemoteStore, key: str) -> bool:
    try:
        return leases.is_held(store.lease_storage, key)
    except StoreError:
        return True
