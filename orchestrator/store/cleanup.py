"""Sweeping: removes from a store what killed processes left in it, as far as it is certain that
nobody needs it.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import StoreError
from orchestrator.store import checkpoints, leases
from orchestrator.store.remote.store import RemoteStore
from orchestrator.store.remote.sweep import DAY, sweep_remote
from orchestrator.store.store import Store


def clean_up(store: Store, done: frozenset[str]) -> None:
    """Remove leftovers; what cannot be removed stays.

    Args:
        store: a store that can be written.
        done: keys of its units that are done.
    """
    if isinstance(store, RemoteStore):
        sweep_remote(store, done)
        return
    for path in [*_scratch(store), *_of_units(store, done), *_temporaries(store)]:
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _scratch(store: Store) -> Iterator[Path]:
    """Yield folders of attempts that nobody continues; an attempt holds its unit's lease before it
    makes its folder.
    """
    for folder in store.root.glob("units/*/.*"):
        if _is_free(store, folder.name.split(".")[1]):
            yield folder


def _of_units(store: Store, done: frozenset[str]) -> Iterator[Path]:
    """Yield leases, failures and checkpoints of units that are done, and half-written checkpoints
    of all.
    """
    for folder in store.root.glob("checkpoints/*/*"):
        if _is_free(store, folder.name):
            yield from [folder] if folder.name in done else folder.glob(checkpoints.HALF_WRITTEN)
    yield from (
        path for path in (store.tables / "failures").glob("[!.]*.parquet") if path.stem in done
    )
    for path in store.leases.glob("[!.]*.json"):
        if path.stem in done and _is_free(store, path.stem):
            yield path


def _temporaries(store: Store) -> Iterator[Path]:
    then = time.time() - DAY
    for pattern in (
        ".*",
        "tables/*/.*",
        "datasets/.*",
        "leases/.*",
        "plans/.*",
        "runs/.*",
        "runs/*.stop",
    ):
        for path in store.root.glob(pattern):
            with suppress(OSError):
                if path.is_file() and path.stat().st_mtime < then:
                    yield path


def _is_free(store: Store, key: str) -> bool:
    with suppress(StoreError):
        return not leases.is_held(store.lease_storage, key)
    return False
