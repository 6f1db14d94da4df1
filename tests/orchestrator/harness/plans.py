"""A small plan with all levels: extractors → sets → evaluations."""

from distill_core.settings import (
    DatasetRef,
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
)
from orchestrator.planning.plan import Cell, Plan
from orchestrator.units import Distill, Evaluate, TrainExtractor

DATASET = DatasetRef(name="digits")


def make_small_plan(*, sets=2, evaluations=2, extractors=1):
    """Plan `sets` distillations that share a pool, with `evaluations` each."""
    pool = [
        TrainExtractor(dataset=DATASET, protocol="paper", settings=ExtractorSettings(), index=i)
        for i in range(extractors)
    ]
    units = {unit.key: unit for unit in pool}
    cells = []
    for seed in range(sets):
        distilled = Distill(
            dataset=DATASET,
            protocol="paper",
            ipc=1,
            settings=DistillationSettings(lambda_cc=0.1),
            seed=seed,
            parents=tuple(unit.key for unit in pool),
        )
        units[distilled.key] = distilled
        for index in range(evaluations):
            evaluation = Evaluate(
                dataset=DATASET,
                protocol="paper",
                split="test",
                network=f"ConvNetD{index + 1}",
                settings=EvaluationSettings(),
                seed=seed,
                parents=(distilled.key,),
            )
            units[evaluation.key] = evaluation
            cell = Cell(
                experiment="main",
                dataset="digits",
                protocol="paper",
                method="DM+CC",
                ipc=1,
                seed=seed,
                network=evaluation.network,
                set_key=distilled.key,
                evaluation_key=evaluation.key,
            )
            cells.append(cell)
    return Plan(units=units, cells=tuple(cells))
