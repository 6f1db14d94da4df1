"""A model of what a unit costs: its operations at a stated rate, plus overheads.

The operations are counted by the function that a unit's kind names; see `unit_loads`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.planning.dataset_shape import DatasetShape, find_shape
from orchestrator.planning.unit_loads import Load
from orchestrator.units import KINDS, Unit, import_function

CPU_FLOPS = 50e9
"""Rate of one CPU core; a server core was seen to reach 25 (narrow ConvNets) to 110 (ResNets)
GFLOP/s.
"""
GPU_FLOPS = 20e12
"""Rate of one GPU."""
STEP_SECONDS = 2e-3
"""Overhead of one pass through a network and back, on either."""
UNIT_SECONDS = 1.0
"""Overhead of a unit: reading data, building networks, writing the result."""
PROCESS_BYTES = 600_000_000
"""Memory of a process, or of a GPU's context, before any work."""

Basis = Literal["measured", "model"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Expected cost of a unit."""

    seconds: float
    """On one CPU core, or on one GPU."""
    memory: int
    """Bytes at the peak: of the GPU, or of the process on a CPU."""
    basis: Basis


def model_cost(
    unit: Unit,
    parent: Unit | None,
    *,
    gpu: bool,
    shapes: Mapping[str, DatasetShape] | None = None,
) -> Estimate:
    """Estimate a unit from its settings.

    Args:
        unit: the unit.
        parent: the first of the unit's parents, or None: of a measurement the unit that makes the
            set (the set of the first step), of a distillation the first extractor.
        gpu: whether it runs on a GPU or on a CPU core.
        shapes: sizes of data sets that were read, by name.
    """
    shape = find_shape(unit.dataset, shapes)
    counts = KINDS[unit.kind].load
    load = Load()
    if counts is not None:
        load = import_function(counts)(unit, parent, shape, "cuda" if gpu else "cpu")
    rate = GPU_FLOPS if gpu else CPU_FLOPS
    seconds = UNIT_SECONDS + load.flops / rate + load.steps * STEP_SECONDS
    # The images of the data set are in memory as bytes, everything else as float32.
    images = (shape.train_images + shape.test_images) * shape.channels * shape.image_size**2
    return Estimate(
        seconds=seconds, memory=int(PROCESS_BYTES + images + 4 * load.numbers), basis="model"
    )
