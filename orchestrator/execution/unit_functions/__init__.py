"""The unit functions: what each kind of unit computes, with `distill_core` doing the work.

This is the one room in which planning's records meet torch; it runs in workers only.
"""

from collections.abc import Sequence
from dataclasses import replace

from distill_core.datasets.load import Dataset
from distill_core.runtime.device import get_peak_memory, reset_peak_memory
from orchestrator.execution.context import Outcome, UnitContext
from orchestrator.execution.unit_functions.evaluation import evaluate, evaluate_steps
from orchestrator.execution.unit_functions.extractors import import_extractor, train
from orchestrator.execution.unit_functions.features import embed
from orchestrator.execution.unit_functions.imported_sets import import_set
from orchestrator.execution.unit_functions.inputs import (
    SET_FILE,
    evaluation_images,
    hide_test_split,
    load,
    training_data,
)
from orchestrator.execution.unit_functions.sets import distill, select_images
from orchestrator.store.tables import Row
from orchestrator.units import (
    Continual,
    Distill,
    Embed,
    Evaluate,
    ImportExtractor,
    ImportSet,
    Select,
    TrainExtractor,
    Unit,
)

__all__ = ["SET_FILE", "evaluation_images", "run_cohort", "run_unit", "training_data"]


def run_unit(unit: Unit, context: UnitContext) -> Outcome:
    """Compute one unit: artefacts go to `context.workdir`, rows are returned.

    Raises:
        DatasetError, DistillationError, ExtractorError, SyntheticSetError: what the kernels say is
            wrong.
    """
    dataset = load(replace(unit.dataset, classes=()), context.data_root, context.device)
    context.check_fingerprint(dataset.fingerprint)
    reset_peak_memory(context.device)
    rows = _compute(unit, hide_test_split(dataset, unit), context)
    return _outcome(rows, get_peak_memory(context.device), dataset)


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
    ended = distill(units, hide_test_split(dataset, first), contexts)
    peak = get_peak_memory(context.device)
    return [
        rows if isinstance(rows, Exception) else _outcome(rows, peak, dataset) for rows in ended
    ]


def _outcome(rows: list[Row], peak: int, dataset: Dataset) -> Outcome:
    return Outcome(
        rows=[{"peak_memory": peak, **row} for row in rows], fingerprint=dataset.fingerprint
    )


def _compute(unit: Unit, dataset: Dataset, context: UnitContext) -> list[Row]:
    match unit:
        case TrainExtractor():
            return train(unit, dataset, context)
        case ImportExtractor():
            return import_extractor(unit, dataset, context)
        case ImportSet():
            return import_set(unit, dataset, context)
        case Select():
            return select_images(unit, dataset, context)
        case Distill():
            (rows,) = distill([unit], dataset, [context])
            if isinstance(rows, Exception):
                raise rows
            return rows
        case Evaluate():
            return evaluate(unit, dataset, context)
        case Continual():
            return evaluate_steps(unit, dataset, context)
        case Embed():
            return embed(unit, dataset, context)
