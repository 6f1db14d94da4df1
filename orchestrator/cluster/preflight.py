"""Before a launch on a cluster: look at every node from itself, and refuse with a reason rather
than fail later.

A node must run the same versions as this machine, see the store, and have the data sets (or get
them, see `shipping`).
"""

import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distill_core.datasets.files import locate, missing_dataset_error
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
from orchestrator.text import last_line
from orchestrator.units import ImportExtractor, ImportSet, Unit

ANSWER_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeProbe:
    """What a node is asked; plain values."""

    store: str
    marker: str
    """Something that was just put into the store."""
    data_root: str
    datasets: tuple[DatasetRef, ...]
    folders: tuple[str, ...]
    """What else units read, outside the store."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeReport:
    """What a node answers."""

    versions: Mapping[str, str]
    sees_store: bool
    store_error: str | None
    """Why the store cannot be read or written from there."""
    gpu_memory: int | None
    lacks: tuple[DatasetRef, ...]
    lacks_folders: tuple[str, ...]


def is_cluster() -> bool:
    """Whether Ray has nodes beside this machine."""
    return len(_list_alive_nodes()) > 1


def describe_this_machine() -> list[Node]:
    """Return the only node of a Ray that was started here; it has nothing to be asked."""
    return [_build_node(node, read_gpu_memory()) for node in _list_alive_nodes()]


def check_nodes(
    store: Store, data_root: Path, units: Iterable[Unit]
) -> tuple[list[Node], DatasetArchives]:
    """Look at every node of the joined cluster, and bring it the data sets that it lacks.

    Args:
        store: must be seen from every node under the same path or URL.
        data_root: folder of the data sets, here and (unless it names its own) on every node.
        units: those that are to run.

    Returns:
        The nodes, and the data sets that were sent or can be; nodes that join later ask for them.

    Raises:
        LaunchError: a node cannot be used; names it and the remedy.
        DatasetError: a data set is nowhere.
    """
    units = list(units)
    datasets = {format_label(unit.dataset): unit.dataset for unit in units}
    with store.marker() as marker:
        question = NodeProbe(
            store=store.address,
            marker=marker,
            data_root=str(data_root),
            datasets=tuple(datasets.values()),
            folders=_list_folders(units),
        )
        answers = _probe_nodes(_list_alive_nodes(), question)
    ours = read_software()
    for node, facts in answers:
        if (differs := describe_mismatch(node["name"], facts.versions, ours)) is not None:
            raise LaunchError(differs)
        if facts.store_error is not None:
            raise LaunchError(f"node {node['name']} cannot use the store: {facts.store_error}")
        if not facts.sees_store:
            raise LaunchError(
                f"node {node['name']} does not see the store {store}; put it on storage that all"
                " nodes share, under the same path or URL"
            )
        if facts.lacks_folders and _has_cpus(node):
            raise LaunchError(
                f"node {node['name']} does not see {facts.lacks_folders[0]}, which units read; put"
                " it on storage that all nodes share, under the same path"
            )
    archives = _send_missing_datasets(answers, data_root)
    nodes = [_build_node(node, facts.gpu_memory) for node, facts in answers]
    return nodes, DatasetArchives(archives, start_archive_server(data_root), ours)


def read_gpu_memory() -> int | None:
    """Return the bytes of this machine's smallest GPU by its driver's own tool; None if that is not
    there.
    """
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        shown = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=True
        ).stdout
        return min(int(line) for line in shown.split()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def probe_node(question: NodeProbe) -> NodeReport:
    """Answer on a node."""
    root = find_node_data_root(Path(question.data_root))
    sees_store, store_error = False, None
    try:
        store = open_store(question.store)
        sees_store = store.sees(question.marker)
        if sees_store:
            store.check_writable()
    except StoreError as error:
        store_error = str(error)
    return NodeReport(
        versions=read_software(),
        sees_store=sees_store,
        store_error=store_error,
        gpu_memory=read_gpu_memory(),
        lacks=tuple(ref for ref in question.datasets if locate(ref, root) is None),
        lacks_folders=tuple(
            name for name in question.folders if not (root / Path(name).expanduser()).exists()
        ),
    )


def _probe_nodes(
    nodes: Sequence[dict[str, Any]], question: NodeProbe
) -> list[tuple[dict[str, Any], NodeReport]]:
    asked = [(node, _pin_to_node(node, probe_node).remote(question)) for node in nodes]
    answers = []
    for node, answer in asked:
        try:
            answers.append((node, ray.get(answer, timeout=ANSWER_SECONDS)))
        except RayError as error:
            raise LaunchError(
                f"node {node['name']} cannot run this package: {last_line(error)}; install the same"
                " iid-orchestrator there, into the Python that runs Ray, and see that the node"
                " is up"
            ) from error
    return answers


def _send_missing_datasets(
    answers: Sequence[tuple[dict[str, Any], NodeReport]], data_root: Path
) -> dict[str, DatasetArchive]:
    """Send each data set that a node lacks to it, once."""
    lacking: dict[str, list[dict[str, Any]]] = {}
    refs: dict[str, DatasetRef] = {}
    for node, facts in answers:
        for ref in facts.lacks if _has_cpus(node) else ():
            lacking.setdefault(format_label(ref), []).append(node)
            refs[format_label(ref)] = ref
    archives = {}
    for name, nodes in lacking.items():
        if locate(refs[name], data_root) is None:
            if len(nodes) == sum(_has_cpus(node) for node, _ in answers):
                raise missing_dataset_error(refs[name], data_root)
            raise LaunchError(
                f"node {nodes[0]['name']} does not have data set {name}, nor does this machine,"
                f" which could send it; put it into {data_root} here or there"
            )
        if (reason := transfer_blocker(refs[name])) is not None:
            raise LaunchError(
                f"node {nodes[0]['name']} does not have data set {name}, and {reason}"
            )
        archives[name] = pack_dataset(refs[name], data_root)
        _send_archive(archives[name], nodes)
    return archives


def _send_archive(archive: DatasetArchive, nodes: Sequence[dict[str, Any]]) -> None:
    for node, place in [
        (node, _pin_to_node(node, unpack_dataset).remote(archive)) for node in nodes
    ]:
        try:
            ray.get(place)
        except (RayError, OSError) as error:
            raise LaunchError(
                f"node {node['name']} cannot keep data set {archive.name}"
                f" ({archive.size / 1e6:,.0f} MB): {last_line(error)};"
                " make room, or name another folder there with IID_NODE_CACHE"
            ) from error


def _pin_to_node(node: Mapping[str, Any], function: Any) -> Any:
    where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(num_cpus=0, max_retries=0)(function).options(scheduling_strategy=where)


def _list_folders(units: Iterable[Unit]) -> tuple[str, ...]:
    pools = (unit.folder for unit in units if isinstance(unit, ImportExtractor))
    sets = (unit.path for unit in units if isinstance(unit, ImportSet))
    return tuple(dict.fromkeys([*pools, *sets]))


def _list_alive_nodes() -> list[dict[str, Any]]:
    """Return what Ray says of its nodes, each with a "name": its address, and where several share
    one, more.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    at = Counter(node["NodeManagerAddress"] for node in nodes)
    for node in nodes:
        address = str(node["NodeManagerAddress"])
        node["name"] = address if at[address] == 1 else f"{address}/{node['NodeID'][:6]}"
    return nodes


def _build_node(node: Mapping[str, Any], memory: int | None) -> Node:
    resources = node["Resources"]
    return Node(
        name=node["name"],
        cpus=resources.get("CPU", 0.0),
        gpus=resources.get("GPU", 0.0),
        gpu_memory=memory,
    )


def _has_cpus(node: Mapping[str, Any]) -> bool:
    return bool(node["Resources"].get("CPU", 0))
