"""Check every node of a cluster before a launch, and refuse with a reason rather than fail later.

A task on each node reports what it finds there. A node must have the same software as this machine,
see the store, and have the data sets, or get them (see `dataset_transfer`).
"""

import logging
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distill_core.datasets.files import locate, missing_dataset_error
from distill_core.paths import PathError, check_path
from distill_core.settings import DatasetRef
from orchestrator.cluster.dataset_transfer import (
    DatasetArchive,
    DatasetArchives,
    find_node_data_root,
    format_label,
    pack_dataset,
    start_archive_server,
    transfer_blocker,
    unpack_dataset,
)
from orchestrator.cluster.resources import Node
from orchestrator.cluster.software_check import describe_mismatch, read_software
from orchestrator.errors import LaunchError, StoreError
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.text import find_last_line, format_bytes
from orchestrator.units import ImportExtractor, ImportSet, Unit

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 120.0
"""Timeout of a node's report: the first task on a node starts a worker, which imports this
package from whatever disk it is on.
"""
DRIVER_TOOL_SECONDS = 20
"""Timeout of nvidia-smi, which hangs where a GPU's driver does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeProbe:
    """What a node has to report on; plain values that travel to it."""

    store: str
    marker: str
    """Something that was just put into the store."""
    data_root: str
    datasets: tuple[DatasetRef, ...]
    folders: tuple[str, ...]
    """What else units read, outside the store."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeReport:
    """What a node has found."""

    versions: Mapping[str, str]
    sees_store: bool
    store_error: str | None
    """Why the store cannot be read or written from there."""
    gpu_memory: int | None
    lacks: tuple[DatasetRef, ...]
    lacks_folders: tuple[str, ...]


class CheckedNode(NamedTuple):
    """A node as Ray describes it, with a "name", and its report."""

    node: Mapping[str, Any]
    report: NodeReport

    @property
    def name(self) -> str:
        """The node's name in messages."""
        return str(self.node["name"])

    @property
    def has_cpus(self) -> bool:
        """Whether the node computes units; a head node often does not."""
        return bool(self.node["Resources"].get("CPU", 0))


def is_cluster() -> bool:
    """Return whether Ray has other nodes than this machine."""
    return len(_list_alive_nodes()) > 1


def describe_this_machine() -> list[Node]:
    """Return the only node of a Ray that was started here, which needs no check."""
    memory = read_gpu_memory()
    return [_build_node(node, memory) for node in _list_alive_nodes()]


def check_nodes(
    store: Store, data_root: Path, units: Iterable[Unit]
) -> tuple[list[Node], DatasetArchives]:
    """Check every node of the joined cluster, and send it the data sets that it lacks.

    Args:
        store: every node must see it under the same path or URL.
        data_root: folder of the data sets, here and (unless it names its own) on every node.
        units: the units that are to run.

    Returns:
        The nodes, and the data sets that were sent or can be sent to nodes that join later.

    Raises:
        LaunchError: a node cannot be used; names it and the remedy.
        DatasetError: no machine has a data set.
    """
    units = list(units)
    datasets = {format_label(unit.dataset): unit.dataset for unit in units}
    with store.place_marker() as marker:
        probe = NodeProbe(
            store=store.address,
            marker=marker,
            data_root=str(data_root),
            datasets=tuple(datasets.values()),
            folders=_list_folders(units),
        )
        checked = _probe_nodes(_list_alive_nodes(), probe)
    software = read_software()
    for each in checked:
        _check_report(each, store, software)
    archives = _send_missing_datasets(checked, data_root)
    nodes = [_build_node(node, report.gpu_memory) for node, report in checked]
    return nodes, DatasetArchives(archives, start_archive_server(data_root), software)


def read_gpu_memory() -> int | None:
    """Return the bytes of this machine's smallest GPU, from its driver's tool; None if unknown.

    The tool knows without a CUDA context, which would take memory from the units.
    """
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        shown = subprocess.run(
            command, capture_output=True, text=True, timeout=DRIVER_TOOL_SECONDS, check=True
        )
        return min(int(line) for line in shown.stdout.split()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        _log.info("the memory of GPUs is unknown, since nvidia-smi does not report it: %s", error)
        return None


def probe_node(probe: NodeProbe) -> NodeReport:
    """Report what a node has of what a launch needs; runs on the node."""
    root = find_node_data_root(Path(probe.data_root))
    sees_store, store_error = False, None
    try:
        store = open_store(probe.store)
        # A path that exists is not enough: it may be another folder of the same name. The marker
        # was written by the machine that launches.
        sees_store = store.sees(probe.marker)
        if sees_store:
            store.check_writable()
    except (StoreError, PathError) as error:
        store_error = str(error)
    lacks_folders = []
    for name in probe.folders:
        if not (root / check_path(name)).exists():
            lacks_folders.append(name)
    return NodeReport(
        versions=read_software(),
        sees_store=sees_store,
        store_error=store_error,
        gpu_memory=read_gpu_memory(),
        lacks=tuple(ref for ref in probe.datasets if locate(ref, root) is None),
        lacks_folders=tuple(lacks_folders),
    )


def _check_report(checked: CheckedNode, store: Store, software: Mapping[str, str]) -> None:
    """Raise LaunchError if a node cannot be used."""
    name, report = checked.name, checked.report
    mismatch = describe_mismatch(name, report.versions, software)
    if mismatch is not None:
        raise LaunchError(mismatch)
    if report.store_error is not None:
        raise LaunchError(f"node {name} cannot use the store: {report.store_error}")
    if not report.sees_store:
        raise LaunchError(
            f"node {name} does not see the store {store}; put it on storage that all nodes share,"
            " under the same path or URL"
        )
    if report.lacks_folders and checked.has_cpus:
        raise LaunchError(
            f"node {name} does not see {report.lacks_folders[0]}, which units read; put it on"
            " storage that all nodes share, under the same path"
        )
    _log.info("node %s can be used; it lacks %d data sets", name, len(report.lacks))


def _probe_nodes(nodes: Sequence[Mapping[str, Any]], probe: NodeProbe) -> list[CheckedNode]:
    """Get the reports of all nodes, which write them at the same time."""
    tasks = [_pin_to_node(node, probe_node).remote(probe) for node in nodes]
    checked = []
    for node, task in zip(nodes, tasks, strict=True):
        try:
            checked.append(CheckedNode(node, ray.get(task, timeout=ANSWER_SECONDS)))
        except RayError as error:
            raise LaunchError(
                f"node {node['name']} cannot run this package: {find_last_line(error)}; install the"
                " same iid-orchestrator there, into the Python that runs Ray, and check that the"
                " node is up"
            ) from error
    return checked


def _send_missing_datasets(
    checked: Sequence[CheckedNode], data_root: Path
) -> dict[str, DatasetArchive]:
    """Send each data set once, to the nodes that lack it; return the archives by label."""
    computing = [each for each in checked if each.has_cpus]
    lacking: dict[str, list[CheckedNode]] = {}
    refs: dict[str, DatasetRef] = {}
    for each in computing:
        for ref in each.report.lacks:
            refs[format_label(ref)] = ref
            lacking.setdefault(format_label(ref), []).append(each)
    archives = {}
    for label, nodes in lacking.items():
        ref, first = refs[label], nodes[0].name
        if locate(ref, data_root) is None:
            if len(nodes) == len(computing):
                raise missing_dataset_error(ref, data_root)
            raise LaunchError(
                f"node {first} does not have data set {label}, nor does this machine, which could"
                f" send it; put it into {data_root} here or there"
            )
        if (reason := transfer_blocker(ref)) is not None:
            raise LaunchError(f"node {first} does not have data set {label}, and {reason}")
        archives[label] = pack_dataset(ref, data_root)
        _send_archive(archives[label], nodes)
    return archives


def _send_archive(archive: DatasetArchive, nodes: Sequence[CheckedNode]) -> None:
    """Have some nodes unpack a data set, all at the same time."""
    tasks = [_pin_to_node(each.node, unpack_dataset).remote(archive) for each in nodes]
    for each, task in zip(nodes, tasks, strict=True):
        try:
            place = ray.get(task)
        except (RayError, OSError) as error:
            raise LaunchError(
                f"node {each.name} cannot keep data set {archive.name}"
                f" ({format_bytes(archive.size)}): {find_last_line(error)}; free some space, or"
                " name another folder there with IID_NODE_CACHE"
            ) from error
        _log.info("sent data set %s to node %s: %s", archive.name, each.name, place)


def _pin_to_node(node: Mapping[str, Any], function: Any) -> Any:
    """Return a function as a Ray task for one node, even one whose CPUs are all taken."""
    where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    # No retries: a node that fails is to be named now, not after minutes.
    return ray.remote(num_cpus=0, max_retries=0)(function).options(scheduling_strategy=where)


def _list_folders(units: Iterable[Unit]) -> tuple[str, ...]:
    """Return the folders that units read besides the store and the data sets, each once."""
    folders = []
    for unit in units:
        if isinstance(unit, ImportExtractor):
            folders.append(unit.folder)
        elif isinstance(unit, ImportSet):
            folders.append(unit.path)
    return tuple(dict.fromkeys(folders))


def _list_alive_nodes() -> list[dict[str, Any]]:
    """Return what Ray knows of its nodes, each with a "name".

    The name is the node's address; where several nodes share one, part of the id is added.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    counts = Counter(node["NodeManagerAddress"] for node in nodes)
    for node in nodes:
        address = str(node["NodeManagerAddress"])
        node["name"] = address if counts[address] == 1 else f"{address}/{node['NodeID'][:6]}"
    return nodes


def _build_node(node: Mapping[str, Any], gpu_memory: int | None) -> Node:
    resources = node["Resources"]
    return Node(
        name=node["name"],
        cpus=resources.get("CPU", 0.0),
        gpus=resources.get("GPU", 0.0),
        gpu_memory=gpu_memory,
    )
