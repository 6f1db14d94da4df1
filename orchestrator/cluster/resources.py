"""What each trial gets of a cluster, decided from what its units need; pure functions.

A GPU is shared where its memory allows. Ray does not separate the units on one GPU from each other,
so memory is estimated with a margin, and a unit that runs out of it all the same is tried again on
a whole GPU.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.errors import LaunchError
from orchestrator.planning.cohorts import cohort_key, count_added_bytes
from orchestrator.planning.cost_model import PROCESS_BYTES, Estimate
from orchestrator.text import format_bytes
from orchestrator.units import Unit, needs_gpu

_log = logging.getLogger(__name__)

MIN_SHARE = 0.01
"""Smallest share of a CPU or GPU that a trial may have."""
MAX_SHARING = 4
"""Units on one GPU unless the user says otherwise: more of them mostly wait for each other."""
USABLE = 0.95
"""Share of a GPU's memory to give away."""
MARGINS = {"measured": 1.2, "model": 1.5}
"""Factors on the memory of a unit: an allocator holds more than tensors need, and a model errs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceRequest:
    """What a user asks for.

    Raises:
        LaunchError: no trial can have this.
    """

    cpus: float | None = None
    """CPU cores per unit; 1 by default."""
    gpus: float | None = None
    """GPUs per unit, or a fraction of one; by default what its memory needs, if there are GPUs."""
    address: str | None = None
    """"auto" or host:port of a Ray cluster to join; by default Ray is started on this machine."""

    def __post_init__(self) -> None:
        if self.cpus is not None and not (math.isfinite(self.cpus) and self.cpus >= MIN_SHARE):
            raise LaunchError(
                f"--cpus-per-trial is {self.cpus:g}; give the CPU cores per unit, at least"
                f" {MIN_SHARE:g}"
            )
        if self.gpus is not None and self.gpus != 0 and not MIN_SHARE <= self.gpus <= 1:
            raise LaunchError(
                f"--gpus-per-trial is {self.gpus:g}; a unit computes on one GPU: give 1, a fraction"
                f" of it that is at least {MIN_SHARE:g}, or 0 to compute on CPUs"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A machine of the cluster as trials see it."""

    name: str
    """Its address."""
    cpus: float
    gpus: float
    gpu_memory: int | None = None
    """Bytes of its smallest GPU; None if it has none, or if the size is unknown."""

    def __str__(self) -> str:
        memory = ""
        if self.gpu_memory is not None:
            memory = f" of {format_bytes(self.gpu_memory)}"
        gpus = f", {self.gpus:g} GPU{memory}" if self.gpus else ""
        return f"{self.name} ({self.cpus:g} CPU{gpus})"


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuNeed:
    """What the units that compute on a GPU need."""

    units: int
    memory: int
    """Bytes of the largest, including the margin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What one trial gets, and how many run at once."""

    cpus: float
    gpus: float
    slots: int
    reason: str = ""
    """Why it is this share of a GPU; empty where the user has chosen it or there is no GPU."""


class GpuShare(NamedTuple):
    """The share of a GPU that a unit gets, and the reason in words."""

    share: float
    reason: str


def should_use_gpus(nodes: Iterable[Node], gpus: float | None) -> bool:
    """Return whether units run on GPUs: as the user says, by default where there are any."""
    return any(node.gpus >= 1 for node in nodes) if gpus is None else gpus > 0


def compute_gpu_need(
    units: Iterable[Unit], estimates: Mapping[str, Estimate], *, cohorts: bool = False
) -> GpuNeed:
    """Return what those of the units need that compute on a GPU.

    Args:
        units: all units that are to run.
        estimates: their costs by key.
        cohorts: whether units may be computed in cohorts, which need more memory.
    """
    on_gpu = [unit for unit in units if needs_gpu(unit)]
    added = count_added_bytes(on_gpu) if cohorts else {}
    largest = 0
    for unit in on_gpu:
        memory = _add_margin(estimates[unit.key]) + added.get(cohort_key(unit), 0)
        largest = max(largest, memory)
    return GpuNeed(units=len(on_gpu), memory=largest)


def allocate(
    nodes: Sequence[Node], *, cpus: float | None, gpus: float | None, need: GpuNeed
) -> Capacity:
    """Decide what each trial gets.

    Args:
        nodes: the cluster.
        cpus: CPU cores per trial, as the user says; 1 by default.
        gpus: GPUs per trial, as the user says; by default the share of one that its units need, if
            there are GPUs.
        need: what the units that are to run need.

    Raises:
        LaunchError: no node has that much.
    """
    reason = ""
    cpus = 1.0 if cpus is None else cpus
    if gpus is None:
        gpus, reason = choose_gpu_share(nodes, cpus=cpus, need=need)
    slots = sum(_count_slots(node, cpus, gpus) for node in nodes)
    if slots == 0:
        max_cpus = max((node.cpus for node in nodes), default=0)
        max_gpus = max((node.gpus for node in nodes), default=0)
        raise LaunchError(
            f"no node has {cpus:g} CPUs and {gpus:g} GPUs for a trial; the largest nodes have"
            f" {max_cpus:g} CPUs and {max_gpus:g} GPUs; lower --cpus-per-trial or"
            " --gpus-per-trial"
        )
    why = f"; {reason}" if reason else ""
    _log.info("%d trials at a time, each with %g CPU and %g GPU%s", slots, cpus, gpus, why)
    return Capacity(cpus=cpus, gpus=gpus, slots=slots, reason=reason)


def choose_gpu_share(nodes: Iterable[Node], *, cpus: float, need: GpuNeed) -> GpuShare:
    """Choose the share of a GPU that a unit gets; 0 if there are no GPUs.

    A unit gets a half or a quarter if the smallest GPU has the memory for as many units, the nodes
    have the CPU cores for as many, and there are more units than GPUs.

    Args:
        nodes: the cluster.
        cpus: CPU cores per unit.
        need: what the units need.
    """
    with_gpus = [node for node in nodes if node.gpus >= 1]
    if not with_gpus:
        return GpuShare(0.0, "")
    if need.units <= sum(math.floor(node.gpus) for node in with_gpus):
        return GpuShare(1.0, "1 GPU per unit: there are no more units than GPUs")
    memories = [node.gpu_memory for node in with_gpus if node.gpu_memory is not None]
    if len(memories) < len(with_gpus):
        return GpuShare(1.0, "1 GPU per unit: the memory of the GPUs is not known")
    memory = min(memories)
    cores_per_gpu = min(node.cpus / math.floor(node.gpus) for node in with_gpus)
    by_memory = _round_down_to_power_of_two(USABLE * memory / max(1, need.memory))
    by_cpu = _round_down_to_power_of_two(cores_per_gpu / cpus)
    share = 1 / min(MAX_SHARING, by_memory, by_cpu)
    reason = (
        f"{share:g} GPU per unit: the largest needs {format_bytes(need.memory)} of"
        f" {format_bytes(memory)}"
    )
    if need.memory > memory:
        reason += ", so it may not fit; smaller sets or batches would"
    elif by_cpu < min(MAX_SHARING, by_memory):
        reason += ", but there are no more CPU cores for each GPU"
    return GpuShare(share, reason)


def _add_margin(cost: Estimate) -> int:
    """Return the bytes to reserve for a unit."""
    # The model counts the memory of the process on the GPU; the measured peak is the allocator's,
    # which does not.
    process = PROCESS_BYTES if cost.basis == "measured" else 0
    return int(MARGINS[cost.basis] * cost.memory + process)


def _round_down_to_power_of_two(limit: float) -> int:
    """Return 1, 2, 4, …, at least 1: shares of a GPU that add up to a whole one."""
    return 1 << max(0, math.floor(math.log2(limit))) if limit >= 1 else 1


def _count_slots(node: Node, cpus: float, gpus: float) -> int:
    """Return how many trials fit on a node; each stays on one GPU, so shares round down."""
    by_cpu = math.floor(node.cpus / cpus)
    if not gpus:
        return by_cpu
    return min(by_cpu, math.floor(node.gpus) * math.floor(1 / gpus))
