"""Data sets for nodes that do not share the data folder: sent once through Ray's object store, kept
on the node.

A data set travels as a tar in chunks, and lies on the node in a folder named by what it is and by
its content, laid out like a data folder. Workers look into their own data folder first. Two
variables of a node's environment, set before Ray is started there, say where that is
(`IID_NODE_DATA`, by default as on the machine that launches) and where to keep what is sent
(`IID_NODE_CACHE`).
"""

import hashlib
import os
import shutil
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distill_core.datasets.files import LAYOUTS, locate, resolve_custom_folder
from distill_core.settings import DatasetRef
from orchestrator.cluster.software_check import describe_mismatch, read_software
from orchestrator.execution.trial import UnitResult
from orchestrator.execution.worker import run_trial
from orchestrator.units import from_json

CHUNK_BYTES = 32 * 2**20
NODE_DATA, NODE_CACHE = "IID_NODE_DATA", "IID_NODE_CACHE"


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetArchive:
    """A data set on its way."""

    name: str
    """See `label`."""
    digest: str
    """First 16 hex digits of the SHA-256 of the tar."""
    size: int
    """Bytes of the tar."""
    chunks: tuple[Any, ...]
    """References to its parts in Ray's object store, in order."""


def format_label(ref: DatasetRef) -> str:
    """Name the files of a data set, whichever classes or size are read of them."""
    return f"{ref.name}@{ref.version}"


def transfer_blocker(ref: DatasetRef) -> str | None:
    """Return why a data set cannot be sent; None if it can."""
    path = Path(ref.path or "").expanduser()
    if path.is_absolute() or ".." in path.parts:
        return (
            f"{ref.path} lies outside the data folder; give a path below --data, or put it where"
            " all nodes see it"
        )
    return None


def pack_dataset(ref: DatasetRef, root: Path) -> DatasetArchive:
    """Put a data set into Ray's object store; equal files give an equal digest."""
    sink = _ChunkWriter()
    with tarfile.open(fileobj=cast(Any, sink), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in _list_files(ref, root):
            entry = tarfile.TarInfo(path.relative_to(root).as_posix())
            entry.size = path.stat().st_size
            with path.open("rb") as stream:
                tar.addfile(entry, stream)
    sink.flush()
    return DatasetArchive(
        name=format_label(ref),
        digest=sink.sha256.hexdigest()[:16],
        size=sink.size,
        chunks=tuple(sink.references),
    )


def unpack_dataset(archive: DatasetArchive) -> str:
    """Return the folder of a data set on this node, after getting it from the object store if it is
    not there yet.

    Raises:
        OSError: it cannot be kept.
    """
    place = find_cache_folder() / f"{archive.name}-{archive.digest}"
    if place.exists():
        return str(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        with tarfile.open(fileobj=cast(Any, _ChunkReader(archive)), mode="r|") as tar:
            tar.extractall(aside, filter="data")
        try:
            aside.rename(place)
        except OSError:
            if not place.exists():  # else another worker of this node was first
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return str(place)


def find_cache_folder() -> Path:
    """Folder in which this node keeps what is sent to it."""
    named = os.environ.get(NODE_CACHE)
    if named:
        return Path(named).expanduser()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "iid-orchestrator" / "data"


def find_node_data_root(root: Path) -> Path:
    """Return the data folder of this node."""
    return Path(os.environ.get(NODE_DATA) or root).expanduser()


@dataclass(frozen=True, slots=True)
class DatasetArchives:
    """What the machine that launches can send: to nodes that join later, when they ask for it."""

    sent: Mapping[str, DatasetArchive]
    """By `label`: what nodes lacked as the launch began."""
    depot: Any = None
    """A handle of `Depot`."""
    software: Mapping[str, str] = field(default_factory=dict)
    """Of the machine that launches; see `orchestrator.cluster.software_check`."""

    def of(self, ref: DatasetRef) -> DatasetArchive | None:
        """Return the parcel of a data set; None where it cannot be sent."""
        if format_label(ref) in self.sent or self.depot is None:
            return self.sent.get(format_label(ref))
        found: DatasetArchive | None = ray.get(self.depot.archive.remote(ref))
        return found

    def software_mismatch(self) -> str | None:
        """Say why this node must not compute for the launch; None if it may. Nodes that join later
        are asked here.
        """
        here: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return describe_mismatch(here, read_software(), self.software)


class ArchiveServer:
    """An actor on the machine that launches, which packs a data set when the first node asks for
    it.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root)
        self._packed: dict[str, DatasetArchive] = {}

    def archive(self, ref: DatasetRef) -> DatasetArchive | None:
        """Return a data set as a parcel; None where it is not here or cannot be sent."""
        if format_label(ref) not in self._packed:
            if locate(ref, self._root) is None or transfer_blocker(ref) is not None:
                return None
            self._packed[format_label(ref)] = pack_dataset(ref, self._root)
        return self._packed[format_label(ref)]


def start_archive_server(root: Path) -> Any:
    """Start a depot on this machine's node of the joined cluster; it ends with the launch."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(num_cpus=0)(ArchiveServer)
        .options(scheduling_strategy=here)
        .remote(str(root.expanduser().resolve()))
    )


def find_data_root(ref: DatasetRef, root: Path, archives: DatasetArchives) -> Path:
    """Return the folder below which a unit finds its data set on this node."""
    own = find_node_data_root(root)
    if locate(ref, own) is None and (archive := archives.of(ref)) is not None:
        return Path(unpack_dataset(archive))
    return own


def build_cluster_trial(archives: DatasetArchives) -> Callable[[dict[str, Any]], None]:
    """Return a trial that looks for data where its node has them."""
    return cast(Callable[[dict[str, Any]], None], tune.with_parameters(_run, archives=archives))


def _run(config: dict[str, Any], archives: DatasetArchives) -> None:
    if (reason := archives.software_mismatch()) is not None:
        refused = asdict(
            UnitResult(status="failed", error="OtherSoftware", reason=reason, fatal=True)
        )
        tune.report({"results": [refused] * len(config["units"])})
        return
    root = find_data_root(
        from_json(config["units"][0]).dataset, Path(config["data_root"]), archives
    )
    run_trial({**config, "data_root": str(root)})


def _list_files(ref: DatasetRef, root: Path) -> Iterator[Path]:
    """Yield the files of a data set below the data folder, sorted."""
    if ref.path is not None:
        found = [resolve_custom_folder(ref, root)]
    else:
        folder = locate(ref, root)
        layout = next(layout for layout in LAYOUTS[ref.name] if root / layout.folder == folder)
        found = [path for pattern in layout.files for path in (root / layout.folder).glob(pattern)]
    inside = {path for top in found for path in ([top] if top.is_file() else top.rglob("*"))}
    yield from sorted(path for path in inside if path.is_file())


class _ChunkWriter:
    """Takes a stream of bytes and puts it into the object store in chunks."""

    def __init__(self) -> None:
        self.references: list[Any] = []
        self.sha256 = hashlib.sha256()
        self.size = 0
        self._buffer = bytearray()

    def write(self, data: Any) -> int:
        """Take some bytes."""
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
    """Reads a parcel's chunks one after the other."""

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
