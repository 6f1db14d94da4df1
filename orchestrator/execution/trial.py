"""What travels between a launch and its workers: the configuration of a trial, and its results.

Everything is plain values, so that it can be pickled and written as JSON. A trial has one unit, or
a cohort of sets that are distilled together. The units of a cohort are otherwise like any others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from orchestrator.units import Unit, to_json

RUNNER = "orchestrator.execution.unit_functions:run_unit"
COHORT_RUNNER = "orchestrator.execution.unit_functions:run_cohort"

Status = Literal["done", "present", "failed", "busy", "stopped", "split", "lost"]
"""done: computed here; present: another launch computed it; busy: another launch is working on it;
stopped: to be continued; split: its cohort could not be computed as a whole, so it has to be tried
alone; lost: the GPU of its process does not compute any more, so the process has to end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSettings:
    """What all trials of a launch share."""

    store: str
    """Path or URL that means the same on every node."""
    data_root: str
    run: str
    git_commit: str | None = None
    runner: str = RUNNER
    """Unit function as module:name, which only workers import."""
    cohort_runner: str = COHORT_RUNNER
    """Cohort function, likewise."""
    cpus: float = 1.0
    checkpoint_seconds: float = 30.0
    report_seconds: float = 0.5
    tensorboard: bool = True
    chunk_share: float = 1.0
    """Part of the classes that are otherwise in memory at once; it changes only rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitResult:
    """How a unit ended in a trial."""

    status: Status
    seconds: float = 0.0
    """For a unit of a cohort, the time of the cohort divided by its number of units."""
    error: str | None = None
    """Class of the exception of a unit that failed."""
    reason: str | None = None
    """Its message."""
    taken_over_by: str | None = None
    """The launch that took the unit over while this process stood still, or "another launch"."""
    traceback: str | None = None
    out_of_memory: bool = False
    """Whether the memory of a device ran out."""
    fatal: bool = False
    """Whether every other unit would fail too: the disk is full, the store cannot be written, or
    the node has other software.
    """


def build_trial_config(
    units: Sequence[Unit], settings: TrialSettings, *, gpus: float
) -> dict[str, Any]:
    """Return the configuration of the Tune trial that computes a unit or a cohort."""
    return {"units": [to_json(unit) for unit in units], "gpus": gpus, **asdict(settings)}


def build_trial_resources(config: Mapping[str, Any]) -> dict[str, float]:
    """Return the resources that Tune reserves for a trial."""
    resources = {"CPU": config["cpus"]}
    # A node without GPUs could not place a request for "GPU": 0.
    if config["gpus"]:
        resources["GPU"] = config["gpus"]
    return resources


def count_cpu_threads(cpus: float) -> int:
    """Return the number of threads for a number of CPUs: at least one, even for part of a CPU."""
    return max(1, int(cpus))
