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
    get_evaluation_images,
    get_training_data,
    hide_test_split,
    load_cached_dataset,
)
from orchestrator.execution.unit_functions.sets import distill_sets
from orchestrator.store.tables import Row
from orchestrator.units import KINDS, Distill, Unit, import_function

__all__ = ["SET_FILE", "get_evaluation_images", "get_training_data", "run_cohort", "run_unit"]

Compute = Callable[[Unit, Dataset, UnitContext], list[Row]]
"""What `UnitKind.compute` names: computes a unit from what it may see of its data set."""


def run_unit(unit: Unit, context: UnitContext) -> Outcome:
    """Compute one unit: artifacts go to `context.workdir`, rows are returned.

    Raises:
        DatasetError, DistillationError, ExtractorError, SyntheticSetError: what distill_core says
            is wrong.
    """
    dataset = _load_dataset(unit, context)
    rows = compute_rows(unit, hide_test_split(dataset, unit), context)
    return _build_outcome(rows, get_peak_memory(context.device), dataset)


def compute_rows(unit: Unit, dataset: Dataset, context: UnitContext) -> list[Row]:
    """Call the function that the unit's kind names."""
    compute: Compute = import_function(KINDS[unit.kind].compute)
    return compute(unit, dataset, context)


def run_cohort(
    units: Sequence[Distill], contexts: Sequence[UnitContext]
) -> list[Outcome | Exception]:
    """Distill sets together that have their draws in common (see `orchestrator.planning.cohorts`).

    Returns:
        For each unit its outcome, or what ended it alone.

    Raises:
        DatasetError, ExtractorError, …: what ends all of them.
    """
    dataset = _load_dataset(units[0], contexts[0])
    ended = distill_sets(units, hide_test_split(dataset, units[0]), contexts)
    # The sets share the device, so the peak of all of them is the peak of each.
    peak = get_peak_memory(contexts[0].device)
    outcomes: list[Outcome | Exception] = []
    for rows in ended:
        if isinstance(rows, Exception):
            outcomes.append(rows)
        else:
            outcomes.append(_build_outcome(rows, peak, dataset))
    return outcomes


def _load_dataset(unit: Unit, context: UnitContext) -> Dataset:
    """Load the whole data set of a unit, checked before any work is done."""
    whole = replace(unit.dataset, classes=())  # units of other classes use the same images
    dataset = load_cached_dataset(whole, context.data_root, context.device)
    context.check_fingerprint(dataset.fingerprint, dataset.info.classes)
    reset_peak_memory(context.device)
    return dataset


def _build_outcome(rows: list[Row], peak: int, dataset: Dataset) -> Outcome:
    measured = [{"peak_memory": peak, **row} for row in rows]
    return Outcome(rows=measured, fingerprint=dataset.fingerprint)
