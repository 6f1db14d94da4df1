"""What a search is compared with, and where in its ranges the best settings are.

The baseline is trial 0: the published settings, or those of the search space where nobody published
any for the case.
"""

from collections.abc import Sequence

import numpy as np

from orchestrator.report.entries import format_points
from orchestrator.search.journal import Trial
from orchestrator.search.results import StudyResult
from orchestrator.search.study import Parameters, Study, format_settings
from search_spaces.rules import Case
from search_spaces.setting_sources import load_published_rules

BASELINE = "baseline"
_EDGE = 0.05
"""Positions within this share of a range are at its edge."""


def is_published(study: Study) -> bool:
    """Return whether the baseline's values of all searched settings were published."""
    case = Case(
        dataset=study.dataset.name,
        method=study.method,
        ipc=study.ipc,
        protocol=study.experiment.protocol,
    )
    rules = [rule for rule in load_published_rules() if rule.matches(case)]
    for path, value in study.published.items():
        # The last rule that matches wins, as when a space is resolved.
        rule = next((rule for rule in reversed(rules) if path in rule.set), None)
        if rule is None or rule.source.startswith("not published") or rule.set[path] != value:
            return False
    return True


def describe_baseline(study: Study) -> str:
    """Return what the baseline is, with its settings."""
    settings = format_settings(study.published)
    if is_published(study):
        return f"the published settings ({settings})"
    return f"the starting settings of the search space ({settings}; no published ones are known)"


def list_edges(study: Study, parameters: Parameters) -> tuple[str, ...]:
    """Return a sentence for each setting whose value is at an edge of its range."""
    found = []
    for dimension in study.dimensions:
        value, limits = parameters[dimension.path], dimension.range
        if value == 0 and limits.zero:
            continue
        # 0 has a part of the positions for itself; the range begins where they end.
        start = dimension.position(limits.low)
        share = (dimension.position(value) - start) / (1 - start)
        if _EDGE < share < 1 - _EDGE:
            continue
        edge, key = ("lower", "low") if share <= _EDGE else ("upper", "high")
        bounds = f"{limits.low:g} to {limits.high:g}"
        found.append(
            f"{dimension.name} {value:g} is at the {edge} edge of the"
            f" range ({bounds}); better values may lie beyond: change `{key}` of `search` in the"
            " search space."
        )
    return tuple(found)


def measure_noise(trials: Sequence[Trial]) -> float | None:
    """Return the standard error of a trial's value at the first rung, from the spread of its seeds.

    As a fraction, pooled over the trials; None where no trial has several seeds.
    """
    errors = []
    for trial in trials:
        values = trial.rungs[0].values
        if len(values) > 1:
            errors.append(np.var(values, ddof=1) / len(values))
    return float(np.sqrt(np.mean(errors))) if errors else None


def describe_verdict(result: StudyResult) -> str:
    """Return what the best trial is, compared with the baseline."""
    study, best = result.study, result.best
    if best is None:
        return "None has been evaluated in full yet."
    compared = describe_baseline(study)
    count = len(result.finalists)
    evaluated = f"{count} {'trial was' if count == 1 else 'trials were'} evaluated in full."
    if best.trial.number == 0:
        return f"None is better than {compared}, which trial 0 has. {evaluated}"
    found = f"The best is trial {best.trial.number}: {format_settings(best.trial.parameters)}."
    sentences = [found, evaluated]
    if best.difference is not None:
        clear = "a clear difference" if best.is_clear else "not a clear difference"
        points = format_points(best.difference)
        sentences.append(f"It is {points} points from {compared}: {clear}.")
    return " ".join([*sentences, *list_edges(study, best.trial.parameters)])
