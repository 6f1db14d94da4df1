"""What a Ray Tune trial is asked and what it answers: plain values that travel between a launch and
its workers.

A trial has one unit, or a cohort of sets that are distilled together and in all else are units like
any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from orchestrator.units import ImportExtractor, Select, Unit, to_json

RUNNER = "orchestrator.execution.unit_functions:run_unit"
COHORT_RUNNER = "orchestrator.execution.unit_functions:run_cohort"

Status = Literal["done", "present", "failed", "busy", "stopped", "split"]
"""done: computed here; present: another launch had it; busy: another launch is at it; stopped: to
be continued; split: its cohort could not go on as a whole, so that it is to be tried alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSettings:
    """What all trials of a launch share; plain values, so that it travels as a dictionary."""

    store: str
    """A path or URL that means the same on every node."""
    data_root: str
    run: str
    git_commit: str | None = None
    runner: str = RUNNER
    """Unit function as module:name; imported in the worker only."""
    cohort_runner: str = COHORT_RUNNER
    """Cohort function, likewise."""
    cpus: float = 1.0
    checkpoint_seconds: float = 30.0
    report_seconds: float = 0.5
    tensorboard: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitResult:
    """How a trial ended."""

    status: Status
    seconds: float = 0.0
    """Of a unit of a cohort its share: the time of the cohort, divided by its units."""
    error: str | None = None
    """Class of the exception of a unit that failed."""
    reason: str | None = None
    """Its message."""
    traceback: str | None = None
    out_of_memory: bool = False
    """Whether it was a device's memory that ran out."""
    fatal: bool = False
    """Whether no unit can do better: the disk is full, the store cannot be written, or the node has
    other software.
    """


def build_trial_config(
    units: Sequence[Unit], settings: TrialSettings, *, gpus: float
) -> dict[str, Any]:
    """Return the configuration of the Tune trial that computes a unit, or a cohort of them."""
    return {"units": [to_json(unit) for unit in units], "gpus": gpus, **asdict(settings)}


def needs_gpu(unit: Unit) -> bool:
    """Tell whether a unit has anything to compute on a GPU; the others leave the GPUs to the
    rest.
    """
    return not (
        isinstance(unit, ImportExtractor) or (isinstance(unit, Select) and unit.method == "random")
    )


def build_trial_resources(config: Mapping[str, Any]) -> dict[str, float]:
    """Return the resources that Tune reserves for a trial."""
    return {"CPU": config["cpus"], **({"GPU": config["gpus"]} if config["gpus"] else {})}


def count_cpu_threads(cpus: float) -> int:
    """Return how many threads a trial computes with on its CPUs, or its part of one."""
    return max(1, int(cpus))
