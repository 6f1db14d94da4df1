"""What a search is compared with."""

import dataclasses

import numpy as np
import pytest

from orchestrator.report.figures.search import find_color_limits
from orchestrator.report.search_baseline import (
    describe_baseline,
    describe_verdict,
    is_published,
    list_edges,
    measure_noise,
)
from orchestrator.search.results import Finalist, _build_finalist
from orchestrator.search.study import Study
from search_spaces.load import load_space

CC, CM = "distillation.lambda_cc", "distillation.lambda_cm"


def best_first(result, finalist):
    return dataclasses.replace(result, finalists=(finalist, *result.finalists))


def test_settings_that_nobody_published_are_not_called_published(search_result):
    study = search_result.study
    assert not is_published(study), "nobody publishes weights for the digits"
    assert "no published ones are known" in describe_baseline(study)
    baseline = dataclasses.replace(search_result, finalists=search_result.finalists[1:])
    verdict = describe_verdict(baseline)
    assert verdict.startswith("None is better than the starting settings of the search space")
    assert "published settings (" not in verdict


def test_published_settings_are_called_so(search_result):
    (experiment,) = load_space(
        "lambda_search", ("datasets=cifar10", "ipc=10", "methods=DM+IID")
    ).experiments
    study = Study(
        experiment=experiment,
        dimensions=search_result.study.dimensions,
        sampler="tpe",
        scheduler="asha",
    )
    assert is_published(study)
    assert describe_baseline(study).startswith("the published settings (lambda_cc")


@pytest.mark.parametrize(
    ("value", "expected"), [(0.742, "upper"), (0.00011, "lower"), (0.0, ""), (0.1, "")]
)
def test_a_value_at_the_edge_of_its_range_is_told(search_result, value, expected):
    found = list_edges(search_result.study, {CC: value, CM: 0.1})
    assert bool(found) == bool(expected)
    if found:
        assert f"lambda_cc {value:g} is at the {expected} edge of the range" in found[0]
        assert "of `search` in the search space" in found[0]


def test_two_seeds_that_disagree_are_no_clear_difference(search_result):
    trial = search_result.trials[1]
    baseline = {0: np.array([0.60, 0.60]), 1: np.array([0.60, 0.60])}
    better = {0: np.array([0.61, 0.61]), 1: np.array([0.70, 0.70])}
    finalist = _build_finalist(trial, better, baseline)
    assert isinstance(finalist, Finalist) and not finalist.is_clear
    assert "not a clear difference" in describe_verdict(best_first(search_result, finalist))
    steady = {seed: values + 0.05 + 0.001 * seed for seed, values in baseline.items()}
    assert _build_finalist(trial, steady, baseline).is_clear


def test_colors_span_at_least_the_noise_of_a_trial(search_result):
    def spread(trial, *values):
        first = dataclasses.replace(trial.rungs[0], values=values)
        return dataclasses.replace(trial, rungs=(first, *trial.rungs[1:]))

    noisy = [spread(trial, 0.40, 0.44) for trial in search_result.trials[:3]]
    noise = measure_noise(noisy)
    assert noise == pytest.approx(0.02)
    low, high = find_color_limits(np.array([50.0, 51.0]), noise)
    assert high - low == pytest.approx(8.0) and (low + high) / 2 == pytest.approx(50.5)
    assert find_color_limits(np.array([30.0, 60.0]), noise) == (30.0, 60.0)
    assert measure_noise(search_result.trials) is None
