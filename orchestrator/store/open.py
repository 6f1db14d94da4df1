"""Which store is meant by a folder or a URL."""

from pathlib import Path

from orchestrator.store.remote.store import RemoteStore
from orchestrator.store.store import Store


def open_store(where: str | Path) -> Store:
    """Return the store in a folder, or behind a URL such as s3://bucket/folder; nothing is read
    yet.

    Raises:
        StoreError: there cannot be a store at such a place.
    """
    protocol, separator, rest = str(where).partition("://")
    if separator and protocol != "file":
        return RemoteStore.open(str(where))
    return Store(Path(rest if separator else where).expanduser())
