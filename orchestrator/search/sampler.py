"""What to try next: a function of a study and its trials, whatever this process did before."""

import hashlib
import itertools
import warnings
from collections.abc import Iterable
from typing import NamedTuple

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.search.journal import Trial
from orchestrator.search.study import Parameters, Study

STARTUP_TRIALS = 8
"""Trials that TPE draws at random before it learns from them."""
PUBLISHED = "published"

# Optuna's pruned trials count as worse than complete ones. A diverged trial has no values at all,
# which makes it the worst of the pruned ones.
_OPTUNA_STATES = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class Suggestion(NamedTuple):
    """The settings of a trial, and where they come from."""

    origin: str
    """"published", or the name of the sampler."""
    parameters: Parameters


def suggest(study: Study, number: int, trials: Iterable[Trial]) -> Suggestion | None:
    """Return the settings of a trial; None if the grid has no further point.

    Trial 0 has the published settings. The draws of all others are seeded by their number. So the
    n-th trial of a study is the same whenever it is asked for, provided that it can learn from the
    same earlier trials.

    Args:
        study: what is searched.
        number: number of the trial, from 0.
        trials: the earlier trials; they may still be running.
    """
    if number == 0:
        return Suggestion(PUBLISHED, study.published)
    if study.sampler == "grid":
        return _suggest_grid_point(study, number)
    digest = hashlib.sha256(f"{study.key} suggestion {number}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    known = build_optuna_study(study, trials, sampler=_build_sampler(study, seed))
    drawn = known.ask(build_distributions(study)).params
    parameters = {d.path: d.value(drawn[d.path]) for d in study.dimensions}
    return Suggestion(study.sampler, parameters)


def build_optuna_study(
    study: Study, trials: Iterable[Trial], *, sampler: BaseSampler | None = None
) -> optuna.Study:
    """Return an Optuna study of the trials; its parameters are positions (see `dimensions`)."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    built = optuna.create_study(direction="maximize", sampler=sampler or RandomSampler(seed=0))
    # By number: TPE depends on the order of the trials.
    for trial in sorted(trials, key=lambda trial: trial.number):
        built.add_trial(_freeze_trial(study, trial))
    return built


def compute_positions(study: Study, trial: Trial) -> dict[str, float]:
    """Return the positions of a trial's settings, by path."""
    return {d.path: d.position(trial.parameters[d.path]) for d in study.dimensions}


def build_distributions(study: Study) -> dict[str, BaseDistribution]:
    """Return what Optuna knows of the searched settings: their positions are in [0, 1]."""
    return {dimension.path: FloatDistribution(0.0, 1.0) for dimension in study.dimensions}


def _suggest_grid_point(study: Study, number: int) -> Suggestion | None:
    points = itertools.product(*(dimension.grid() for dimension in study.dimensions))
    point = next(itertools.islice(points, number - 1, None), None)
    if point is None:
        return None
    paths = [dimension.path for dimension in study.dimensions]
    return Suggestion("grid", dict(zip(paths, point, strict=True)))


def _build_sampler(study: Study, seed: int) -> BaseSampler:
    if study.sampler == "random":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        # Optuna calls both options below experimental. What they do is fixed by its version, which
        # is recorded with every trial.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(
            seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True
        )


def _freeze_trial(study: Study, trial: Trial) -> FrozenTrial:
    """Return a trial as Optuna knows it."""
    values = {}
    if trial.state != "diverged":
        for result in trial.rungs:
            if result.value is not None:
                values[result.rung] = result.value
    return create_trial(
        state=_OPTUNA_STATES.get(trial.state, TrialState.RUNNING),
        params=compute_positions(study, trial),
        distributions=build_distributions(study),
        value=trial.value,
        intermediate_values=values,
    )
