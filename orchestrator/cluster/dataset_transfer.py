"""Data sets for nodes that do not share the data folder of the machine that launches.

A data set is sent once, through Ray's object store, as a tar file in chunks. The node keeps it in a
folder that is named by the data set and its content, and is laid out like a data folder. Workers
search the data folder of their node first.

Two variables of a node's environment, set before Ray is started there, say where that folder is
(`IID_NODE_DATA`, by default as on the machine that launches) and where to keep what is sent
(`IID_NODE_CACHE`).
"""

import hashlib
import logging
import os
import shutil
import tarfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distill_core.datasets.files import list_files, locate
from distill_core.paths import check_path
from distill_core.settings import DatasetRef
from orchestrator.cluster.software_check import describe_mismatch, read_software
from orchestrator.execution.trial import UnitResult
from orchestrator.execution.worker import run_trial
from orchestrator.units import from_json

_log = logging.getLogger(__name__)

CHUNK_BYTES = 32 * 2**20
"""Size of an object in Ray's store: large enough to be few, small enough to fit everywhere."""
NODE_DATA, NODE_CACHE = "IID_NODE_DATA", "IID_NODE_CACHE"


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetArchive:
    """A data set in Ray's object store."""

    name: str
    """See `format_label`."""
    digest: str
    """First 16 hex digits of the SHA-256 of the tar file."""
    size: int
    """Bytes of the tar file."""
    chunks: tuple[Any, ...]
    """References to its parts in Ray's object store, in order."""


def format_label(ref: DatasetRef) -> str:
    """Name the files of a data set, whatever classes or image size are read from them."""
    return f"{ref.name}@{ref.version}"


def transfer_blocker(ref: DatasetRef) -> str | None:
    """Return why a data set cannot be sent; None if it can."""
    path = Path(ref.path or "").expanduser()
    if path.is_absolute() or ".." in path.parts:
        return (
            f"{ref.path} is outside the data folder; give a path below --data, or put it where"
            " all nodes see it"
        )
    return None


def pack_dataset(ref: DatasetRef, root: Path) -> DatasetArchive:
    """Put a data set into Ray's object store; equal files give an equal digest.

    Args:
        ref: the data set.
        root: folder of the data sets.
    """
    writer = _ChunkWriter()
    with tarfile.open(fileobj=cast(Any, writer), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in list_files(ref, root):
            # A new entry has neither times nor owner nor mode, which would change the digest.
            entry = tarfile.TarInfo(path.relative_to(root).as_posix())
            entry.size = path.stat().st_size
            with path.open("rb") as stream:
                tar.addfile(entry, stream)
    writer.flush()
    return DatasetArchive(
        name=format_label(ref),
        digest=writer.sha256.hexdigest()[:16],
        size=writer.size,
        chunks=tuple(writer.references),
    )


def unpack_dataset(archive: DatasetArchive) -> str:
    """Return the folder of a data set on this node, getting it from the object store if needed.

    Raises:
        OSError: it cannot be kept.
    """
    place = find_cache_folder() / f"{archive.name}-{archive.digest}"
    if place.exists():
        return str(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        with tarfile.open(fileobj=cast(Any, _ChunkReader(archive)), mode="r|") as tar:
            tar.extractall(temporary, filter="data")
        try:
            # A rename makes the folder appear whole: the workers of a node do not wait for each
            # other, and one that finds the folder reads it at once.
            temporary.rename(place)
        except OSError:
            if not place.exists():
                raise
            _log.info("another worker of this node has unpacked %s", archive.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _log.info("got data set %s, %d bytes, in %s", archive.name, archive.size, place)
    return str(place)


def find_cache_folder() -> Path:
    """Return the folder in which this node keeps what is sent to it."""
    named = os.environ.get(NODE_CACHE)
    if named:
        return check_path(named, NODE_CACHE, kind="folder")
    home = check_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "XDG_CACHE_HOME")
    return home / "iid-orchestrator" / "data"


def find_node_data_root(root: Path) -> Path:
    """Return the data folder of this node.

    Args:
        root: data folder on the machine that launches, which is used unless the node names its own.
    """
    return check_path(os.environ.get(NODE_DATA) or root, NODE_DATA, kind="folder")


@dataclass(frozen=True, slots=True)
class DatasetArchives:
    """What workers know of the data sets: those that were sent, and who sends others."""

    sent: Mapping[str, DatasetArchive]
    """By `format_label`: what nodes lacked when the launch began."""
    server: Any = None
    """Handle of the `ArchiveServer`, for nodes that join later."""
    software: Mapping[str, str] = field(default_factory=dict)
    """Software of the machine that launches; see `orchestrator.cluster.software_check`."""

    def find_archive(self, ref: DatasetRef) -> DatasetArchive | None:
        """Return the archive of a data set; None if it cannot be sent."""
        label = format_label(ref)
        if label in self.sent or self.server is None:
            return self.sent.get(label)
        found: DatasetArchive | None = ray.get(self.server.get_archive.remote(ref))
        return found

    def software_mismatch(self) -> str | None:
        """Return why this node must not compute for the launch; None if it may.

        The check before the launch covers the nodes that are there. A node that joins later is
        checked here, by its trials.
        """
        here: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return describe_mismatch(here, read_software(), self.software)


class ArchiveServer:
    """An actor on the machine that launches; packs a data set when the first node asks for it."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)
        self._packed: dict[str, DatasetArchive] = {}

    def get_archive(self, ref: DatasetRef) -> DatasetArchive | None:
        """Return the archive of a data set; None if it is not here or cannot be sent."""
        label = format_label(ref)
        if label not in self._packed:
            if locate(ref, self._root) is None or transfer_blocker(ref) is not None:
                return None
            self._packed[label] = pack_dataset(ref, self._root)
        return self._packed[label]


def start_archive_server(root: Path) -> Any:
    """Start an `ArchiveServer` on this machine's node; it ends with the launch."""
    # Not soft: only this node is known to have the data folder.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0)(ArchiveServer).options(scheduling_strategy=here)
    return actor.remote(str(root.expanduser().resolve()))


def find_data_root(ref: DatasetRef, root: Path, archives: DatasetArchives) -> Path:
    """Return the folder below which a unit finds its data set on this node.

    Args:
        ref: the data set.
        root: data folder on the machine that launches.
        archives: what can be sent.
    """
    node_root = find_node_data_root(root)
    if locate(ref, node_root) is not None:
        return node_root
    archive = archives.find_archive(ref)
    return node_root if archive is None else Path(unpack_dataset(archive))


def build_cluster_trial(archives: DatasetArchives) -> Callable[[dict[str, Any]], None]:
    """Return the trial function for a cluster, which finds the data where its node has them."""
    trial = tune.with_parameters(_run_cluster_trial, archives=archives)
    return cast(Callable[[dict[str, Any]], None], trial)


def _run_cluster_trial(config: dict[str, Any], archives: DatasetArchives) -> None:
    if (reason := archives.software_mismatch()) is not None:
        _log.warning("refusing to compute: %s", reason)
        refused = UnitResult(status="failed", error="OtherSoftware", reason=reason, fatal=True)
        tune.report({"results": [asdict(refused)] * len(config["units"])})
        return
    dataset = from_json(config["units"][0]).dataset
    root = find_data_root(dataset, Path(config["data_root"]), archives)
    run_trial({**config, "data_root": str(root)})


class _ChunkWriter:
    """A file to write to, which puts its content into the object store in chunks."""

    def __init__(self) -> None:
        self.references: list[Any] = []
        self.sha256 = hashlib.sha256()
        self.size = 0
        self._buffer = bytearray()

    def write(self, data: Any) -> int:
        """Add some bytes."""
        self.sha256.update(data)
        self.size += len(data)
        self._buffer += data
        if len(self._buffer) >= CHUNK_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Send what is left."""
        if self._buffer:
            self.references.append(ray.put(bytes(self._buffer)))
            self._buffer.clear()


class _ChunkReader:
    """A file to read from, with the chunks of an archive as its content."""

    def __init__(self, archive: DatasetArchive) -> None:
        self._left = list(reversed(archive.chunks))
        self._chunk = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        if not self._chunk and self._left:
            self._chunk = memoryview(ray.get(self._left.pop()))
        taken = self._chunk[: size if size >= 0 else None]
        self._chunk = self._chunk[len(taken) :]
        return bytes(taken)
