"""What to try next: a function of a study and its trials, whatever was suggested in this process
before.
"""

import hashlib
import itertools
import warnings
from collections.abc import Iterable

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.search.journal import Trial
from orchestrator.search.study import Parameters, Study

STARTUP_TRIALS = 8
"""Trials that TPE draws at random before it learns from them."""
PUBLISHED = "published"


def suggest(study: Study, number: int, trials: Iterable[Trial]) -> tuple[str, Parameters] | None:
    """Return the origin and the settings of a trial; None if the grid has no further point.

    Trial 0 has the published settings. The draws of all others are seeded by their number, so the
    n-th trial of a study is the same whenever it is asked for, as far as it is to learn from the
    same earlier trials.

    Args:
        study: what is searched.
        number: which trial, counted from 0.
        trials: those that there are so far; they may still run.
    """
    if number == 0:
        return PUBLISHED, study.published
    if study.sampler == "grid":
        points = itertools.product(*(dimension.grid() for dimension in study.dimensions))
        point = next(itertools.islice(points, number - 1, None), None)
        return (
            None
            if point is None
            else ("grid", dict(zip([d.path for d in study.dimensions], point, strict=True)))
        )
    seed = int.from_bytes(
        hashlib.sha256(f"{study.key} suggestion {number}".encode()).digest()[:4], "big"
    )
    known = build_optuna_study(study, trials, sampler=_sampler(study, seed))
    asked = known.ask(build_distributions(study))
    return study.sampler, {d.path: d.value(asked.params[d.path]) for d in study.dimensions}


def build_optuna_study(
    study: Study, trials: Iterable[Trial], *, sampler: BaseSampler | None = None
) -> optuna.Study:
    """Return an Optuna study of the trials; its parameters are positions (see `dimensions`)."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(direction="maximize", sampler=sampler or RandomSampler(seed=0))
    made.add_trials(
        _frozen(study, trial) for trial in sorted(trials, key=lambda trial: trial.number)
    )
    return made


def _sampler(study: Study, seed: int) -> BaseSampler:
    if study.sampler == "random":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(
            seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True
        )


def _frozen(study: Study, trial: Trial) -> FrozenTrial:
    """Return a trial as Optuna knows it; one that diverged has no values, which makes it the worst
    of all.
    """
    states = {
        "complete": TrialState.COMPLETE,
        "stopped": TrialState.PRUNED,
        "diverged": TrialState.PRUNED,
    }
    return create_trial(
        state=states.get(
            trial.state, TrialState.FAIL if trial.state == "failed" else TrialState.RUNNING
        ),
        params=compute_positions(study, trial),
        distributions=build_distributions(study),
        value=trial.value,
        intermediate_values={
            r.rung: r.value
            for r in trial.rungs
            if r.value is not None and trial.state != "diverged"
        },
    )


def compute_positions(study: Study, trial: Trial) -> dict[str, float]:
    """Return where a trial's settings lie, by path."""
    return {
        dimension.path: dimension.position(trial.parameters[dimension.path])
        for dimension in study.dimensions
    }


def build_distributions(study: Study) -> dict[str, BaseDistribution]:
    """Return what Optuna knows of the searched settings: that their positions lie between 0 and
    1.
    """
    return {dimension.path: FloatDistribution(0.0, 1.0) for dimension in study.dimensions}
