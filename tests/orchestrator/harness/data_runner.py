"""A unit function without torch that records where it runs and where it finds its data.

If the data set has a file `meet`, sets are finished once several workers have one.
"""

import json
import os
import time
from pathlib import Path

from distill_core.settings import DatasetRef, DistillationSettings
from orchestrator.execution.context import Outcome
from orchestrator.planning.plan import Cell, Plan
from orchestrator.units import Distill

DATASET = DatasetRef(name="pets", format="imagefolder", path="pets")


def run_unit(unit, context):
    """Find the data set, or fail."""
    if not (context.data_root / unit.dataset.path / "train").is_dir():
        raise FileNotFoundError(f"no {unit.dataset.path} in {context.data_root}")
    (context.workdir / "root.txt").write_text(str(context.data_root))
    (context.workdir / "device.txt").write_text(
        f"{context.device} {os.environ.get('CUDA_VISIBLE_DEVICES')}"
    )
    meet = context.data_root / unit.dataset.path / "meet"
    if meet.exists() and unit.kind == "distill":
        _meet(**json.loads(meet.read_text()))
    return Outcome(rows=[{"seconds": 0.1, "peak_memory": 1}], fingerprint="images")


def _meet(workers, folder):
    """Wait until so many workers have come, each of which leaves a file in the folder."""
    (Path(folder) / f"worker-{os.getpid()}").touch()
    deadline = time.monotonic() + 300
    while len(list(Path(folder).glob("worker-*"))) < workers:
        assert time.monotonic() < deadline, "not all workers came"
        time.sleep(0.05)


def make_plan(*, units, dataset=DATASET):
    """Plan sets that need nothing but the data set."""
    sets = [
        Distill(
            dataset=dataset, protocol="paper", ipc=1, settings=DistillationSettings(), seed=seed
        )
        for seed in range(units)
    ]
    return Plan(units={unit.key: unit for unit in sets}, cells=tuple(map(build_cell, sets)))


def build_cell(unit):
    """Return a cell that is answered by the set itself."""
    return Cell(
        experiment="main",
        dataset=unit.dataset.name,
        protocol="paper",
        method="any",
        ipc=1,
        seed=unit.seed,
        network="ConvNet",
        set_key=unit.key,
        evaluation_key=unit.key,
    )
