"""What each trial gets of a cluster: decided from what its units need, with the reason in words.
Pure functions.

A GPU is shared where its memory allows. Ray does not keep the units on one GPU apart, so memory is
reckoned with room to spare, and a unit that runs out of it all the same is tried again on a whole
GPU.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.errors import LaunchError
from orchestrator.execution.trial import needs_gpu
from orchestrator.planning.cohorts import added_bytes, cohort_key
from orchestrator.planning.cost_model import PROCESS_BYTES, Estimate
from orchestrator.units import Unit

MIN_SHARE = 0.01
"""Smallest part of a CPU or GPU that a trial may have."""
MAX_SHARING = 4
"""Units on one GPU unless told otherwise: more of them mostly wait for each other."""
USABLE = 0.95
"""Part of a GPU's memory to give away."""
MARGINS = {"measured": 1.2, "model": 1.5}
"""Factors on the memory of a unit: an allocator holds more than tensors need, and a model errs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceRequest:
    """What a user asks for.

    Raises:
        LaunchError: there can be no such trial.
    """

    cpus: float | None
    gpus: float | None
    address: str | None

    def __post_init__(self) -> None:
        if self.cpus is not None and not (math.isfinite(self.cpus) and self.cpus >= MIN_SHARE):
            raise LaunchError(
                f"--cpus-per-trial is {self.cpus:g}; give CPU cores a unit, at least {MIN_SHARE:g}"
            )
        if self.gpus is not None and self.gpus != 0 and not MIN_SHARE <= self.gpus <= 1:
            raise LaunchError(
                f"--gpus-per-trial is {self.gpus:g}; a unit computes on one GPU: give 1, a part of"
                f" it of at least {MIN_SHARE:g}, or 0 to compute on CPUs"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A machine of the cluster as trials see it."""

    name: str
    """Its address."""
    cpus: float
    gpus: float
    gpu_memory: int | None = None
    """Bytes of its smallest GPU; None if it has none, or does not tell."""

    def __str__(self) -> str:
        memory = "" if self.gpu_memory is None else f" of {_format_gigabytes(self.gpu_memory)} GB"
        gpus = f", {self.gpus:g} GPU{memory}" if self.gpus else ""
        return f"{self.name} ({self.cpus:g} CPU{gpus})"


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuNeed:
    """What the units that compute on a GPU need."""

    units: int
    memory: int
    """Bytes of the largest, margin included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What one trial gets, and how many run at once."""

    cpus: float
    gpus: float
    slots: int
    reason: str = ""
    """Why it is that much of a GPU; empty where there is nothing to say."""


def should_use_gpus(nodes: Iterable[Node], gpus: float | None) -> bool:
    """Whether units run on GPUs: as the user says, by default where there are any."""
    return any(node.gpus >= 1 for node in nodes) if gpus is None else gpus > 0


def compute_gpu_need(
    units: Iterable[Unit], estimates: Mapping[str, Estimate], *, cohorts: bool = False
) -> GpuNeed:
    """Return what those of the units need that compute on a GPU, alone or in the largest cohort
    they may be in.
    """
    computing = [unit for unit in units if needs_gpu(unit)]
    added = added_bytes(computing) if cohorts else {}
    memories = [
        _add_margin(estimates[unit.key]) + added.get(cohort_key(unit), 0) for unit in computing
    ]
    return GpuNeed(units=len(computing), memory=max(memories, default=0))


def allocate(
    nodes: Sequence[Node], *, cpus: float | None, gpus: float | None, need: GpuNeed
) -> Capacity:
    """Decide what each trial gets.

    Args:
        nodes: the cluster.
        cpus: CPU cores a trial, as the user says; 1 by default.
        gpus: GPUs a trial, as the user says; by default as much of one as its units need, where
            there are GPUs.
        need: of the units that are to run.

    Raises:
        LaunchError: no node has that much.
    """
    reason = ""
    cpus = 1.0 if cpus is None else cpus
    if gpus is None:
        gpus, reason = choose_gpu_share(nodes, cpus=cpus, need=need)
    slots = sum(_count_slots(node, cpus, gpus) for node in nodes)
    if slots == 0:
        most_cpus = max((node.cpus for node in nodes), default=0)
        most_gpus = max((node.gpus for node in nodes), default=0)
        raise LaunchError(
            f"no node has {cpus:g} CPUs and {gpus:g} GPUs for a trial; the most there is are"
            f" {most_cpus:g} CPUs and {most_gpus:g} GPUs; lower --cpus-per-trial or"
            " --gpus-per-trial"
        )
    return Capacity(cpus=cpus, gpus=gpus, slots=slots, reason=reason)


def choose_gpu_share(nodes: Iterable[Node], *, cpus: float, need: GpuNeed) -> tuple[float, str]:
    """Choose the part of a GPU that a unit gets, and say why; 0 where there are no GPUs.

    It is a half or a quarter where that leaves every unit enough memory on the smallest GPU, there
    are CPU cores for as many, and there are more units than GPUs.
    """
    with_gpus = [node for node in nodes if node.gpus >= 1]
    if not with_gpus:
        return 0.0, ""
    memories = [node.gpu_memory for node in with_gpus]
    if need.units <= sum(math.floor(node.gpus) for node in with_gpus):
        return 1.0, "1 GPU a unit: there are no more units than GPUs"
    if any(memory is None for memory in memories):
        return 1.0, "1 GPU a unit: how much memory the GPUs have is not known"
    memory = min(memory for memory in memories if memory is not None)
    needs = (
        f"the largest needs {_format_gigabytes(need.memory)} GB of {_format_gigabytes(memory)} GB"
    )
    by_memory = _round_down_to_power_of_two(USABLE * memory / max(1, need.memory))
    by_cpu = _round_down_to_power_of_two(
        min(node.cpus / math.floor(node.gpus) for node in with_gpus) / cpus
    )
    sharing = min(MAX_SHARING, by_memory, by_cpu)
    if need.memory > memory:
        needs += ", so it may not fit; smaller sets or batches would"
    elif by_cpu < min(MAX_SHARING, by_memory):
        needs += ", but there are no more CPU cores for each GPU"
    return 1 / sharing, f"{1 / sharing:g} GPU a unit: {needs}"


def _add_margin(cost: Estimate) -> int:
    context = (
        PROCESS_BYTES if cost.basis == "measured" else 0
    )  # the model counts it, the allocator's peak does not
    return int(MARGINS[cost.basis] * cost.memory + context)


def _round_down_to_power_of_two(limit: float) -> int:
    return 1 << max(0, math.floor(math.log2(limit))) if limit >= 1 else 1


def _count_slots(node: Node, cpus: float, gpus: float) -> int:
    by_cpu = math.floor(node.cpus / cpus)
    return by_cpu if not gpus else min(by_cpu, math.floor(node.gpus) * math.floor(1 / gpus))


def _format_gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f}".removesuffix(".0")
