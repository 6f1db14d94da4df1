"""What a search will cost, before it runs: its extractors, its trials and its full evaluations."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.planning.cost_estimates import estimate_costs
from orchestrator.planning.cost_model import Estimate
from orchestrator.planning.dataset_shape import DatasetShape
from orchestrator.search.results import WINNERS, build_full_evaluations
from orchestrator.search.study import RungUnits, Study
from orchestrator.units import Unit


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPrice:
    """Expected cost of some studies, in seconds of one core or GPU."""

    studies: int
    trials: int
    """Of each study."""
    extractors: float
    trial_seconds: float
    """Of all trials: each rung is left by all but the best, as the settings of the rungs say."""
    winners: float
    """Full evaluations of the best trials and the published settings."""

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.extractors + self.trial_seconds + self.winners


def estimate_search(
    studies: Sequence[Study],
    *,
    trials: int,
    gpu: bool,
    store_tables: Path | None = None,
    done: Collection[str] = (),
    shapes: Mapping[str, DatasetShape] | None = None,
) -> SearchPrice:
    """Estimate what a search costs from its beginning; trials that the store has are not deducted.

    Args:
        studies: what is searched.
        trials: trials of each study.
        gpu: whether units run on a GPU each, or on a CPU core each.
        store_tables: the store's `tables` folder; None to go by the model alone.
        done: keys of the units that the store has.
        shapes: sizes of data sets that were read, by name.
    """
    extractors = trial_seconds = winners = 0.0
    for study in studies:
        pool = study.extractors()
        rungs = [
            study.build_rung_units(study.published, rung) for rung in range(len(study.iterations))
        ]
        units: dict[str, Unit] = dict(pool)
        for rung in rungs:
            for of_seed in rung.values():
                units |= {unit.key: unit for unit in (of_seed.distill, *of_seed.evaluations)}
        full, wanted = build_full_evaluations(study, study.published)
        units |= full
        plan = study.build_plan(units, list(units))
        costs = estimate_costs(
            plan, gpu=gpu, store_tables=store_tables, done=frozenset(done), shapes=shapes
        )
        extractors += sum(costs[key].seconds for key in pool if key not in done)
        trial_seconds += trials * _estimate_trial(study, rungs, costs)
        winners += min(trials, WINNERS + 1) * sum(costs[key].seconds for key in wanted)
    return SearchPrice(
        studies=len(studies),
        trials=trials,
        extractors=extractors,
        trial_seconds=trial_seconds,
        winners=winners,
    )


def _estimate_trial(
    study: Study, rungs: Sequence[Mapping[int, RungUnits]], costs: Mapping[str, Estimate]
) -> float:
    """Return the mean seconds of a trial, of which a part passes each rung."""
    seconds, passing, before = 0.0, 1.0, 0
    for rung, iterations in zip(rungs, study.iterations, strict=True):
        for of_seed in rung.values():
            # A longer distillation continues from the shorter one.
            share = (iterations - before) / iterations
            evaluations = sum(costs[unit.key].seconds for unit in of_seed.evaluations)
            seconds += passing * (share * costs[of_seed.distill.key].seconds + evaluations)
        passing /= study.experiment.rungs.reduction
        before = iterations
    return seconds
