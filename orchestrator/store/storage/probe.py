"""Probing a storage: whether it can be written as a store needs it, and who sees that."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import StoreError
from orchestrator.store import atomic_files
from orchestrator.store.storage import Storage


def check_writable(storage: Storage) -> None:
    """Write, read and delete a marker, and check that a second writer does not replace it.

    Raises:
        StoreError: one of these failed.
    """
    with atomic_files.translate_errors(storage.local):
        storage.local.mkdir(parents=True, exist_ok=True)
    with marker(storage) as name:
        if storage.create(name, b"a second writer\n"):
            raise StoreError(
                f"store: {storage.address}: the storage lets a second writer replace what the first"
                " has created (it ignores If-None-Match), so no unit could be promised to be done"
                " once; update it, or use another"
            )


@contextmanager
def marker(storage: Storage) -> Iterator[str]:
    """Have a marker in the store that other machines can see, and give its name."""
    name = f".marker.{uuid.uuid4().hex}"
    try:
        storage.put(name, b"writable\n")
        yield name
    finally:
        storage.remove(name)
