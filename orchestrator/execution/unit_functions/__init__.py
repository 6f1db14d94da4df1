"""What the units of each kind compute, with `distill_core` doing the work; runs in workers only.

A kind of units names its function here in `UnitKind.compute`. The function takes the unit, its data
set and its context, writes artifacts into `context.workdir` and returns rows for the kind's table.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from distill_core.datasets.load import Dataset
from distill_core.runtime.device import get_peak_memory, reset_peak_memory
from orchestrator.execution.context import Outcome, UnitContext
from orchestrator.execution.unit_functions.inputs import (
    SET_FILE,
    evaluation_images,
    hide_test_split,
    load,
    training_data,
)
from orchestrator.execution.unit_functions.sets import distill_sets
from orchestrator.store.tables import Row
from orchestrator.units import KINDS, Distill, Unit, import_function

__all__ = ["SET_FILE", "evaluation_images", "run_cohort", "run_unit", "training_data"]

Compute = Callable[[Unit, Dataset, UnitContext], list[Row]]
"""What `UnitKind.compute` names: computes a unit from what it may see of its data set."""


def run_unit(unit: Unit, context: UnitContext) -> Outcome:
    """Compute one unit: artifacts go to `context.workdir`, rows are returned.

    Raises:
        DatasetError, DistillationError, ExtractorError, SyntheticSetError: what the kernels say is
            wrong.
    """
    dataset = load(replace(unit.dataset, classes=()), context.data_root, context.device)
    context.check_fingerprint(dataset.fingerprint)
    reset_peak_memory(context.device)
    rows = compute_rows(unit, hide_test_split(dataset, unit), context)
    return _build_outcome(rows, get_peak_memory(context.device), dataset)


def compute_rows(unit: Unit, dataset: Dataset, context: UnitContext) -> list[Row]:
    """Call the function that the unit's kind names."""
    compute: Compute = import_function(KINDS[unit.kind].compute)
    return compute(unit, dataset, context)


def run_cohort(
    units: Sequence[Distill], contexts: Sequence[UnitContext]
) -> list[Outcome | Exception]:
    """Distil sets together that have their draws in common (see `orchestrator.planning.cohorts`).

    Returns:
        For each unit its outcome, or what ended it alone.

    Raises:
        DatasetError, ExtractorError, …: what ends all of them.
    """
    first, context = units[0], contexts[0]
    dataset = load(replace(first.dataset, classes=()), context.data_root, context.device)
    context.check_fingerprint(dataset.fingerprint)
    reset_peak_memory(context.device)
    ended = distill_sets(units, hide_test_split(dataset, first), contexts)
    peak = get_peak_memory(context.device)
    return [
        rows if isinstance(rows, Exception) else _build_outcome(rows, peak, dataset)
        for rows in ended
    ]


def _build_outcome(rows: list[Row], peak: int, dataset: Dataset) -> Outcome:
    return Outcome(
        rows=[{"peak_memory": peak, **row} for row in rows], fingerprint=dataset.fingerprint
    )
