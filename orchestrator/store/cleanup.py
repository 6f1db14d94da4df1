"""Cleaning up what killed processes left in a store, as far as certainly nobody needs it."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from orchestrator.errors import StoreError
from orchestrator.store import checkpoints, leases
from orchestrator.store.storage import DAY, Storage
from orchestrator.store.store import Store

_log = logging.getLogger(__name__)


def clean_up(store: Store, done: frozenset[str]) -> None:
    """Remove leftovers; what cannot be removed stays.

    Args:
        store: a store that can be written.
        done: keys of its units that are done.
    """
    storage = store.storage

    def is_held(key: str) -> bool:
        return may_be_held(storage, key)

    # All is listed before anything is removed: a lease that goes would make its unit look free.
    leftovers: list[str] = []
    for found in (
        storage.find_abandoned(done, is_held),
        _find_outlived(storage, done, is_held),
        _find_temporaries(storage),
    ):
        try:
            leftovers += found
        except StoreError as error:  # a folder of another user must not stop every launch
            _log.warning("not all leftovers can be listed: %s", error)
    for name in leftovers:
        try:
            storage.remove_all(name)
            _log.info("removed a leftover: %s", storage.where(name))
        except StoreError as error:
            _log.warning("a leftover stays: %s", error)
    _prune_copies(storage.local, done, is_held)


def may_be_held(storage: Storage, key: str) -> bool:
    """Whether somebody holds the lease of a unit, as far as that can be seen."""
    try:
        return leases.is_held(storage, key)
    except StoreError as error:
        _log.info("the lease of %s counts as held: %s", key, error)
        return True


def _find_outlived(
    storage: Storage, done: frozenset[str], is_held: Callable[[str], bool]
) -> Iterator[str]:
    """Yield leases, failures and checkpoints of done units, half-written checkpoints of all."""
    for name in storage.entries("tables/failures"):
        if PurePosixPath(name).stem in done and not name.startswith("."):
            yield f"tables/failures/{name}"
    for name in storage.entries("leases"):
        key = leases.parse_key(name)
        if key in done and not is_held(key):
            yield f"leases/{name}"
    folders: dict[str, list[str]] = {}
    for name in storage.entries("checkpoints"):
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, []).append(file)
    for folder, files in folders.items():
        key = PurePosixPath(folder).name
        if is_held(key):
            continue
        if key in done:
            yield f"checkpoints/{folder}"
        else:
            yield from (
                f"checkpoints/{folder}/{name}"
                for name in files
                if not checkpoints.is_complete(name)
            )


def _prune_copies(local: Path, done: frozenset[str], is_held: Callable[[str], bool]) -> None:
    """Remove half-made copies that are a day old, and checkpoints of units done elsewhere.

    In a folder that is the store itself nothing of this is left by now.
    """
    then = time.time() - DAY

    def is_old_copy(folder: Path) -> bool:
        key = folder.name.removeprefix(".").removeprefix("fetched.").partition(".")[0]
        return folder.stat().st_mtime < then and not is_held(key)

    def is_outlived(folder: Path) -> bool:
        return folder.name in done and not is_held(folder.name)

    for pattern, is_unneeded in (
        ("units/*/.*", is_old_copy),
        ("checkpoints/*/*", is_outlived),
    ):
        for folder in local.glob(pattern):
            try:
                if is_unneeded(folder):
                    shutil.rmtree(folder)
            except OSError as error:  # in use, or gone meanwhile
                _log.info("a leftover of the working copy stays: %s", error)


def _find_temporaries(storage: Storage) -> Iterator[str]:
    """Yield half-made takeovers of leases and stop signals that are a day old."""
    then = time.time() - DAY
    for folder in ("leases", "runs"):
        for name, entry in storage.entries(folder).items():
            temporary = (
                name.startswith(".")
                if folder == "leases"
                else name.endswith((".stop", ".device", ".release", ".progress"))
            )
            if temporary and entry.changed < then:
                yield f"{folder}/{name}"
