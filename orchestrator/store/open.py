"""The store behind an address: a folder or a URL."""

from pathlib import Path

from distill_core.paths import check_path
from orchestrator.store.storage.folder import FolderStorage
from orchestrator.store.storage.object_storage import ObjectStorage
from orchestrator.store.store import Store


def open_store(address: str | Path) -> Store:
    """Return the store in a folder, or behind a URL such as s3://bucket/folder.

    Nothing is read yet, and a folder need not exist.

    Raises:
        StoreError: there cannot be a store at such an address.
        PathError: the system cannot look there, or there is no folder but something else.
    """
    protocol, separator, rest = str(address).partition("://")
    if separator and protocol != "file":
        return Store(ObjectStorage.connect(str(address)))
    place = check_path(rest if separator else address, "--store", kind="folder")
    return Store(FolderStorage(place))
