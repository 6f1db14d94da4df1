"""What a study found: its winners, evaluated in full on held-out images, and which settings matter.

The winners are the best finished trials and the published settings. A finalist is a winner whose
evaluations in full are all in the store.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from distill_core.settings import DatasetRef
from orchestrator.analysis.statistics import (
    GroupSummary,
    Interval,
    differs_from_zero,
    mean_interval,
    paired_differences,
    summarize_accuracies,
)
from orchestrator.search.journal import Trial, read_trials
from orchestrator.search.study import Parameters, Study
from orchestrator.store.store import Store
from orchestrator.units import Unit
from search_spaces.setting_paths import SETTINGS, PoolSettings

WINNERS = 3
"""Trials that are evaluated in full, besides that of the published settings."""
MIN_TRIALS = 4
"""Fewer trials say nothing about the importance of settings."""

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalist:
    """A winner, and its accuracy in full."""

    trial: Trial
    accuracies: Mapping[int, Array]
    """On held-out images, (networks,) by the seed of the set."""
    summary: GroupSummary
    difference: float | None
    """Difference from the published settings, paired by seed and network; None for these, or if
    they have no result.
    """
    interval: Interval | None
    """95 % interval of the difference."""
    is_clear: bool = False
    """Whether there are several sets and the interval excludes zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyResult:
    """Everything that a report says about a study."""

    study: Study
    trials: tuple[Trial, ...]
    """By number."""
    finalists: tuple[Finalist, ...]
    """Best first."""
    importance: Mapping[str, float]
    """Share of the variance at the first rung, which every trial reaches, that a setting explains;
    empty if unknown.
    """

    @property
    def best(self) -> Finalist | None:
        """The highest accuracy in full; None while there is none."""
        return self.finalists[0] if self.finalists else None

    @property
    def published(self) -> Finalist | None:
        """The published settings; None while they have no result."""
        return next((finalist for finalist in self.finalists if finalist.trial.number == 0), None)

    def count(self, *states: str) -> int:
        """Return the number of trials in one of some states."""
        return sum(trial.state in states for trial in self.trials)


class FullEvaluations(NamedTuple):
    """The work that evaluates some settings in full."""

    units: dict[str, Unit]
    """Sets and evaluations by key."""
    wanted: list[str]
    """Keys of the evaluations, each once."""


def select_winners(trials: Mapping[int, Trial]) -> list[Trial]:
    """Return the best finished trials by their value, and that of the published settings."""
    complete = [trial for trial in trials.values() if trial.value is not None]
    # Of equal values the earlier trial wins, so that the choice does not depend on a sort.
    winners = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))[:WINNERS]
    for trial in complete:
        if trial.number == 0 and trial not in winners:
            winners.append(trial)
    return winners


def build_full_evaluations(study: Study, *choices: Parameters) -> FullEvaluations:
    """Return the sets and evaluations of some choices of settings at full length."""
    units: dict[str, Unit] = {}
    wanted: list[str] = []
    for parameters in choices:
        for of_seed in study.build_full_units(parameters).values():
            units[of_seed.distill.key] = of_seed.distill
            for evaluation in of_seed.evaluations:
                units[evaluation.key] = evaluation
                wanted.append(evaluation.key)
    return FullEvaluations(units, list(dict.fromkeys(wanted)))


def read_study_result(study: Study, store: Store) -> StudyResult:
    """Read what a store knows of a study.

    Raises:
        TableError: a table is damaged.
    """
    trials = read_trials(study, store)
    whole: dict[int, Mapping[int, Array]] = {}
    for trial in select_winners(trials):
        by_seed = _read_accuracies(study, trial, store)
        # With some seeds only, a trial would be compared on other sets than the rest.
        if len(by_seed) == len(study.experiment.seeds):
            whole[trial.number] = by_seed
    finalists = []
    for number, accuracies in whole.items():
        finalists.append(_build_finalist(trials[number], accuracies, whole.get(0)))
    finalists.sort(key=lambda finalist: (-finalist.summary.mean, finalist.trial.number))
    return StudyResult(
        study=study,
        trials=tuple(trials.values()),
        finalists=tuple(finalists),
        importance=compute_importance(study, trials.values()),
    )


def compute_importance(study: Study, trials: Iterable[Trial]) -> dict[str, float]:
    """Return how much of the variance of the first rung's values each setting explains.

    Computed by Optuna's fANOVA (Hutter et al., 2014).

    Returns:
        The shares by path, which sum to 1; empty if there are too few different values.
    """
    # Imported only here: a report without a search needs no Optuna, which takes a second to import.
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    from orchestrator.search.sampler import build_distributions, compute_positions

    first = []
    for trial in trials:
        value = trial.rungs[0].value
        if value is not None:
            first.append((compute_positions(study, trial), value))
    if len(first) < MIN_TRIALS or len({value for _, value in first}) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    built = optuna.create_study(direction="maximize")
    distributions = build_distributions(study)
    for params, value in first:
        built.add_trial(create_trial(params=params, distributions=distributions, value=value))
    found = get_param_importances(built, evaluator=FanovaImportanceEvaluator(seed=0))
    return {d.path: float(found.get(d.path, 0.0)) for d in study.dimensions}


def build_found_space(name: str, results: Sequence[StudyResult]) -> str:
    """Return a search space, as YAML, with the best settings of each study.

    All settings are written out, so that it does not change with the space that was searched.

    Args:
        name: name of the search.
        results: results of its studies.
    """
    experiments = []
    for result in results:
        if result.best is not None:
            experiments.append(_build_found_experiment(result.study, result.best))
    content = {
        "name": f"{name[:70]} found",
        "description": (
            f"settings that the search {name} found on held-out images; running it reads the test"
            " images"
        ),
        "experiments": experiments,
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _build_found_experiment(study: Study, best: Finalist) -> dict[str, Any]:
    resolved = study.resolve_settings(best.trial.parameters)
    sections = {
        "distillation": resolved.distillation,
        "distillation.queue": resolved.distillation.queue,
        "evaluation": resolved.evaluation,
        "extractors": resolved.extractors,
    }
    settings: dict[str, dict[str, Any]] = {}
    for setting in SETTINGS.values():
        section = sections.get(setting.path.rpartition(".")[0])
        owner = resolved.pool if setting.owner is PoolSettings else section
        if owner is not None and (value := getattr(owner, setting.field)) is not None:
            _put(settings, setting.path.split("."), value)
    dataset = study.dataset
    name = f"{study.experiment.name[:30]} {dataset.name[:20]} ipc{study.ipc} {study.method}"
    return {
        "name": name.replace("+", "-"),
        "datasets": [_build_dataset_entry(dataset)],
        "methods": [_name_base(study.method), study.method],
        "ipc": [study.ipc],
        "seeds": list(study.experiment.seeds),
        "architectures": list(study.experiment.architectures),
        "protocol": "strict",
        **settings,
    }


def _name_base(method: str) -> str:
    """Return the method that shows what the searched settings are worth: DM for DM+IID."""
    base, plus, _ = method.partition("+")
    return base if plus else "Random"


def _build_dataset_entry(dataset: DatasetRef) -> dict[str, Any]:
    """Return a data set as a search space names it; a custom one with where its files are."""
    entry: dict[str, Any] = {"name": dataset.name}
    if dataset.path:
        for name in ("format", "path", "image_size", "version"):
            if (value := getattr(dataset, name)) is not None:
                entry[name] = value
    return entry


def _put(settings: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *sections, name = path
    for section in sections:
        settings = settings.setdefault(section, {})
    settings[name] = value


def _build_finalist(
    trial: Trial, accuracies: Mapping[int, Array], published: Mapping[int, Array] | None
) -> Finalist:
    group = None
    if published is not None and trial.number != 0:
        group = paired_differences(accuracies, published)
    return Finalist(
        trial=trial,
        accuracies=accuracies,
        summary=summarize_accuracies(list(accuracies.values())),
        difference=float(np.concatenate(group).mean()) if group else None,
        interval=mean_interval(group) if group else None,
        is_clear=group is not None and differs_from_zero(group),
    )


def _read_accuracies(study: Study, trial: Trial, store: Store) -> dict[int, Array]:
    """Return the accuracies of a trial in full, by seed; seeds without all of them are left out."""
    found: dict[int, Array] = {}
    for seed, units in study.build_full_units(trial.parameters).items():
        keys = [unit.key for unit in units.evaluations]
        rows = []
        for row in store.read("evaluations", keys).to_pylist():
            # The units are for held-out images. A row that says otherwise must not be used to
            # choose settings.
            if row["split"] != "test":
                rows.append(row)
        if {row["key"] for row in rows} == set(keys):
            rows.sort(key=lambda row: (keys.index(row["key"]), row["network_index"]))
            found[seed] = np.array([row["accuracy"] for row in rows])
    return found
