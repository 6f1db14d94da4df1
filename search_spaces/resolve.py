"""Which settings apply to one cell of a grid.

From weakest to strongest: the defaults of the dataclasses, published settings, the space's
settings, the space's rules, the experiment's settings, the experiment's rules, those of the small
version if it is asked for, the swept values, the command line. Of several rules the later wins.
What the method itself decides (a queue or none, which λ are kept) is not a setting: see
`orchestrator.planning.methods`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distill_core.settings import (
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
    FeatureSettings,
    QueueSettings,
)
from search_spaces.errors import SpaceError
from search_spaces.experiments import Experiment
from search_spaces.rules import Case
from search_spaces.setting_paths import SETTINGS, PoolSettings, get_setting


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedSettings:
    """Everything a cell needs to know."""

    distillation: DistillationSettings
    """With a queue, whatever the method."""
    evaluation: EvaluationSettings
    extractors: ExtractorSettings
    pool: PoolSettings
    features: FeatureSettings


def resolve(experiment: Experiment, case: Case, sweep: Mapping[str, Any]) -> ResolvedSettings:
    """Return the settings of a case with one combination of swept values.

    Raises:
        SpaceError: settings that are fine alone contradict each other.
    """
    values: dict[str, Any] = {}
    for rule in experiment.rules:
        if rule.matches(case):
            values.update(rule.set)
    values.update(sweep)
    values.update(experiment.overrides)

    fields: dict[type[Any], dict[str, Any]] = {setting.owner: {} for setting in SETTINGS.values()}
    options: dict[str, Any] = {}
    for path, value in values.items():
        setting = get_setting(path)
        target = options if setting.is_option else fields[setting.owner]
        target[setting.field] = value
    fields[DistillationSettings]["loss_options"] = tuple(sorted(options.items()))
    pool = PoolSettings(**fields[PoolSettings])
    if (pool.folder is None) != (pool.pool is None):
        raise SpaceError(
            f"{experiment.where}: give both extractors.folder and extractors.pool, or neither"
        )
    queue = QueueSettings(**fields[QueueSettings])
    return ResolvedSettings(
        distillation=DistillationSettings(queue=queue, **fields[DistillationSettings]),
        evaluation=EvaluationSettings(**fields[EvaluationSettings]),
        extractors=ExtractorSettings(**fields[ExtractorSettings]),
        pool=pool,
        features=FeatureSettings(**fields[FeatureSettings]),
    )
