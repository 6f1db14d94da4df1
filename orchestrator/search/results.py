"""What a study found: its winners evaluated in full on held-out images, and which settings
mattered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from orchestrator.analysis.statistics import (
    Interval,
    Summary,
    bootstrap_interval,
    paired_differences,
    summarize,
)
from orchestrator.search.journal import Trial, read_trials
from orchestrator.search.study import Parameters, Study
from orchestrator.store.store import Store
from orchestrator.units import Unit
from search_spaces.setting_paths import SETTINGS, ExtractorPool

WINNERS = 3
"""Trials that are evaluated in full, besides that of the published settings."""
MIN_TRIALS = 4
"""Fewer tell nothing of the importance of settings."""

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalist:
    """A trial that came to the end, and its accuracy in full."""

    trial: Trial
    accuracies: Mapping[int, Array]
    """On held-out images, (networks,) by the seed of the set."""
    summary: Summary
    difference: float | None
    """To the published settings, paired by seed and network; None for these, or where they have no
    result.
    """
    interval: Interval | None
    """95 % interval of the difference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyResult:
    """Everything a report says of a study."""

    study: Study
    trials: tuple[Trial, ...]
    """By number."""
    finalists: tuple[Finalist, ...]
    """Those that are evaluated in full, the best first."""
    importance: Mapping[str, float]
    """Part of the variance at the first rung, which every trial reaches, that a setting explains;
    empty if unknown.
    """

    @property
    def best(self) -> Finalist | None:
        """The highest accuracy in full; None as long as there is none."""
        return self.finalists[0] if self.finalists else None

    @property
    def published(self) -> Finalist | None:
        """The published settings; None as long as they have no result."""
        return next((finalist for finalist in self.finalists if finalist.trial.number == 0), None)

    def count(self, *states: str) -> int:
        """Return how many trials ended in one of some states."""
        return sum(trial.state in states for trial in self.trials)


def select_winners(trials: Mapping[int, Trial]) -> list[Trial]:
    """Return the best finished trials by their value, and that of the published settings."""
    complete = [trial for trial in trials.values() if trial.value is not None]
    best = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))[:WINNERS]
    return best + [trial for trial in complete if trial.number == 0 and trial not in best]


def build_full_evaluations(study: Study, *choices: Parameters) -> tuple[dict[str, Unit], list[str]]:
    """Return the sets and evaluations of some choices at full length by key, and the keys of the
    evaluations.
    """
    units: dict[str, Unit] = {}
    wanted: list[str] = []
    for parameters in choices:
        for of_seed in study.build_full_units(parameters).values():
            units[of_seed.distill.key] = of_seed.distill
            for evaluation in of_seed.evaluations:
                units[evaluation.key] = evaluation
                wanted.append(evaluation.key)
    return units, list(dict.fromkeys(wanted))


def read_study_result(study: Study, store: Store) -> StudyResult:
    """Read what a store knows of a study.

    Raises:
        TableError: a table is damaged.
    """
    trials = read_trials(study, store)
    accuracies = {
        trial.number: _accuracies(study, trial, store) for trial in select_winners(trials)
    }
    whole = {
        number: found
        for number, found in accuracies.items()
        if len(found) == len(study.experiment.seeds)
    }
    finalists = [_finalist(trials[number], found, whole.get(0)) for number, found in whole.items()]
    return StudyResult(
        study=study,
        trials=tuple(trials.values()),
        finalists=tuple(sorted(finalists, key=lambda f: (-f.summary.mean, f.trial.number))),
        importance=compute_importance(study, trials.values()),
    )


def compute_importance(study: Study, trials: Any) -> dict[str, float]:
    """Return how much of the variance of the first rung's values each setting explains (fANOVA of
    Optuna).
    """
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    from orchestrator.search.sampler import build_distributions, compute_positions

    first = [
        (compute_positions(study, t), t.rungs[0].value)
        for t in trials
        if t.rungs[0].value is not None
    ]
    if len(first) < MIN_TRIALS or len({value for _, value in first}) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(direction="maximize")
    made.add_trials(
        create_trial(params=where, distributions=build_distributions(study), value=value)
        for where, value in first
    )
    found = get_param_importances(made, evaluator=FanovaImportanceEvaluator(seed=0))
    return {d.path: float(found.get(d.path, 0.0)) for d in study.dimensions}


def build_found_space(name: str, results: Sequence[StudyResult]) -> str:
    """Return a search space, as YAML, with the best settings of each study, everything else as the
    search had it.

    It stands for itself: all settings are written out, so that it does not change with the space it
        came from.
    """
    experiments = [_found_experiment(result) for result in results if result.best]
    content = {
        "name": f"{name[:70]} found",
        "description": (
            f"settings that the search {name} found on held-out images; running it reads the test"
            " images"
        ),
        "experiments": experiments,
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _found_experiment(result: StudyResult) -> dict[str, Any]:
    study, best = result.study, result.best
    assert best is not None
    resolved = study.resolved(best.trial.parameters)
    owners = {
        "distillation": resolved.distillation,
        "distillation.queue": resolved.distillation.queue,
        "evaluation": resolved.evaluation,
        "extractors": resolved.extractors,
    }
    settings: dict[str, dict[str, Any]] = {}
    for setting in SETTINGS.values():
        section = setting.path.rpartition(".")[0]
        owner = resolved.pool if setting.owner is ExtractorPool else owners.get(section)
        if owner is not None and (value := getattr(owner, setting.field)) is not None:
            _put(settings, setting.path.split("."), value)
    dataset = study.dataset
    own = {
        "format": dataset.format,
        "path": dataset.path,
        "image_size": dataset.image_size,
        "version": dataset.version,
    }
    entry = (
        {name: value for name, value in own.items() if value is not None} if dataset.path else {}
    )
    name = f"{study.experiment.name[:30]} {dataset.name[:20]} ipc{study.ipc} {study.method}"
    return {
        "name": name.replace("+", "-"),
        "datasets": [{"name": dataset.name, **entry}],
        "methods": [study.method],
        "ipc": [study.ipc],
        "seeds": list(study.experiment.seeds),
        "architectures": list(study.experiment.architectures),
        "protocol": "strict",
        **settings,
    }


def _put(settings: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *sections, name = path
    for section in sections:
        settings = settings.setdefault(section, {})
    settings[name] = value


def _finalist(
    trial: Trial, accuracies: Mapping[int, Array], published: Mapping[int, Array] | None
) -> Finalist:
    group = None
    if published is not None and trial.number != 0:
        group = paired_differences(accuracies, published)
    return Finalist(
        trial=trial,
        accuracies=accuracies,
        summary=summarize(list(accuracies.values())),
        difference=float(np.concatenate(group).mean()) if group else None,
        interval=bootstrap_interval(group) if group else None,
    )


def _accuracies(study: Study, trial: Trial, store: Store) -> dict[int, Array]:
    """Return the accuracies of a trial in full by seed; seeds that are not evaluated yet are left
    out.
    """
    found: dict[int, Array] = {}
    for seed, units in study.build_full_units(trial.parameters).items():
        keys = [unit.key for unit in units.evaluations]
        rows = [
            row for row in store.read("evaluations", keys).to_pylist() if row["split"] != "test"
        ]
        if {row["key"] for row in rows} == set(keys):
            rows.sort(key=lambda row: (keys.index(row["key"]), row["network_index"]))
            found[seed] = np.array([row["accuracy"] for row in rows])
    return found
