"""Drops and ranks by hand, and the coverage of the interval of the largest."""

import math

import numpy as np
import pytest
from scipy import stats

from orchestrator.analysis.generalization import (
    Contrast,
    compute_drop,
    compute_largest,
    compute_largest_interval,
    compute_mean_drop,
    compute_rank_agreement,
    compute_relative_drop,
    rank_methods,
)
from orchestrator.analysis.statistics import Estimate, mean_interval

MATCHING = {0: [0.60, 0.62], 1: [0.70, 0.72], 2: [0.80, 0.82]}
OTHER = {0: [0.55, 0.57], 1: [0.66, 0.68], 2: [0.77, 0.79]}
WORSE = {0: [0.40, 0.42], 1: [0.52, 0.54], 2: [0.59, 0.61]}


def test_a_drop_is_paired_by_set():
    drop = compute_drop(MATCHING, OTHER)  # 5, 4 and 3 points
    assert (drop.value, drop.sets) == (pytest.approx(0.04), 3)
    assert drop.interval == pytest.approx(mean_interval([[0.05], [0.04], [0.03]]))
    half = stats.t.ppf(0.975, 2) * 0.01 / math.sqrt(3)
    assert drop.interval == pytest.approx((0.04 - half, 0.04 + half))


def test_only_common_sets_count_whatever_their_numbers_of_networks():
    drop = compute_drop({0: [0.6], 1: [0.7, 0.8]}, {1: [0.70], 5: [0.1]})
    assert (drop.value, drop.estimate, drop.sets) == (pytest.approx(0.05), None, 1)
    assert compute_drop({0: [0.6]}, {1: [0.5]}) is None


def test_with_one_set_the_error_is_that_of_the_networks_on_both_sides():
    drop = compute_drop({0: [0.60, 0.62, 0.64]}, {0: [0.50, 0.52]})
    welch = stats.ttest_ind([0.60, 0.62, 0.64], [0.50, 0.52], equal_var=False)
    assert drop.interval == pytest.approx(tuple(welch.confidence_interval(0.95)))
    assert drop.sets == 1


def test_the_mean_drop_is_over_networks_first():
    mean = compute_mean_drop(MATCHING, [OTHER, WORSE])  # per set 12.5, 11 and 12 points
    assert mean.value == pytest.approx((0.125 + 0.11 + 0.12) / 3)
    assert mean.interval == pytest.approx(mean_interval([[0.125], [0.11], [0.12]]))


def test_a_relative_drop_leaves_out_what_a_reference_loses():
    random = ({0: [0.3], 1: [0.4], 2: [0.5]}, {0: [0.28], 1: [0.37], 2: [0.46]})  # 2, 3, 4 points
    paired = compute_relative_drop((MATCHING, OTHER), random, paired=True)
    assert paired.value == pytest.approx(0.01)
    assert paired.interval == pytest.approx(mean_interval([[0.03], [0.01], [-0.01]]))
    whole = ({0: [0.90], 1: [0.92]}, {0: [0.86], 1: [0.90]})  # 3 points, two networks each
    apart = compute_relative_drop((MATCHING, OTHER), whole, paired=False)
    assert apart.value == pytest.approx(0.01)
    variances = np.array([0.01**2 / 3, 0.01**2, 0.02**2])  # of the drop, and of 90/92 and 86/90
    assert apart.estimate.error == pytest.approx(math.sqrt(variances.sum()))
    assert compute_relative_drop((MATCHING, {9: [1]}), whole, paired=False) is None


def test_the_largest_of_several_has_a_lower_end_for_having_been_chosen():
    estimates = [Estimate(value=v, error=1.0, freedom=4) for v in (0.0, 3.0, 2.0)]
    low, high = compute_largest_interval(estimates)
    assert low == pytest.approx(3 - stats.t.ppf(1 - 0.025 / 3, 4))
    assert high == pytest.approx(3 + stats.t.ppf(0.975, 4))
    contrasts = [Contrast(value=each.value, estimate=each, sets=5) for each in estimates]
    assert compute_largest(contrasts) == (1, (low, high))
    unknown = Contrast(value=9.0, estimate=None, sets=1)
    assert compute_largest([*contrasts, unknown]) == (3, None)


@pytest.mark.parametrize("truth", [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 0.5, 0.5]])
def test_intervals_of_the_largest_cover_at_least_as_often_as_they_say(truth):
    draws = np.random.default_rng(3)
    sets = np.array(truth) + draws.normal(size=(20_000, 5, len(truth)))
    # Cells share their sets, so half of the noise is common.
    sets = sets + draws.normal(size=(20_000, 5, 1))
    means, errors = sets.mean(1), sets.std(1, ddof=1) / math.sqrt(5)
    low = (means - stats.t.ppf(1 - 0.025 / len(truth), 4) * errors).max(1)
    high = (means + stats.t.ppf(0.975, 4) * errors).max(1)
    assert np.mean((low <= max(truth)) & (max(truth) <= high)) >= 0.95
    # Without the correction it would cover too rarely.
    assert np.mean(means.max(1) > max(truth)) > 0.5
    for i in range(10):
        estimates = [
            Estimate(value=value, error=error, freedom=4)
            for value, error in zip(means[i], errors[i], strict=True)
        ]
        assert compute_largest_interval(estimates) == pytest.approx((low[i], high[i]))


def test_ranks_and_their_agreement():
    assert rank_methods([0.5, 0.7, 0.7, 0.6]) == [4, 1, 1, 3]
    # Of six pairs, five are in the same order and one is not.
    assert compute_rank_agreement([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert compute_rank_agreement([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert compute_rank_agreement([1, 2], [5, 5]) is None
    assert compute_rank_agreement([1], [2]) is None
