"""Every expected number here is worked out by hand in the comment or name next to it."""

import math

import numpy as np
import pytest
from scipy import stats

from orchestrator.analysis.statistics import (
    Estimate,
    StatisticsError,
    combine_estimates,
    differs_from_zero,
    estimate_mean,
    mean_interval,
    paired_differences,
    summarize,
    summarize_accuracies,
)

TWO_BY_TWO = [[0.60, 0.62], [0.70, 0.72]]


def test_summary_of_two_sets_with_two_networks_each():
    summary = summarize(TWO_BY_TWO)
    assert summary.mean == pytest.approx(0.66)
    assert summary.std == pytest.approx(
        math.sqrt((2 * 0.06**2 + 2 * 0.04**2) / 4)
    )  # published: population, pooled
    assert summary.std_sets == pytest.approx(
        0.1 / math.sqrt(2)
    )  # means 0.61 and 0.71, one degree of freedom
    assert summary.std_networks == pytest.approx(
        math.sqrt(4 * 0.01**2 / 2)
    )  # two degrees of freedom
    assert (summary.sets, summary.networks) == (2, 4)


def test_ragged_sets_weigh_every_network_alike():
    summary = summarize([[0.5], [0.7, 0.8, 0.9]])
    assert summary.mean == pytest.approx(2.9 / 4)
    assert summary.std_sets == pytest.approx(0.3 / math.sqrt(2))
    assert summary.std_networks == pytest.approx(0.1)


def test_one_number_has_no_spread_and_no_interval():
    summary = summarize([[0.5]])
    assert (summary.mean, summary.std) == (0.5, 0.0)
    assert summary.std_sets is summary.std_networks is summary.interval is None


def test_one_network_a_set_has_no_spread_between_networks():
    summary = summarize([[0.4], [0.6]])
    assert summary.std_networks is None
    assert summary.interval == pytest.approx((0.5 - 1.27062, 0.5 + 1.27062))  # error 0.1, t 12.7


def test_an_interval_of_several_sets_is_students_t_over_their_means():
    # Means 0.61 and 0.71: standard error 0.05, and t is 12.706 with one degree of freedom.
    low, high = mean_interval(TWO_BY_TWO)
    assert (low, high) == (pytest.approx(0.66 - 0.6353, abs=1e-4), pytest.approx(1.2953, abs=1e-4))
    assert estimate_mean(TWO_BY_TWO).freedom == 1
    assert summarize_accuracies(TWO_BY_TWO).interval == (pytest.approx(low), 1.0)


def test_an_interval_of_one_set_is_students_t_over_its_networks():
    # Deviation √2 · 0.01, standard error 0.01.
    assert mean_interval([[0.60, 0.62]]) == pytest.approx(
        (0.61 - 0.12706, 0.61 + 0.12706), abs=1e-5
    )


def test_sets_of_unequal_size_weigh_alike_in_the_interval():
    low, high = mean_interval([[0.5], [0.7, 0.8, 0.9]])
    assert (low + high) / 2 == pytest.approx(0.65)
    assert high - low == pytest.approx(2 * 12.7062 * 0.15, abs=1e-3)


def test_means_of_sets_that_agree_by_chance_are_not_certain():
    # Within sets √(2 · 0.1²) = 0.1414, and 0.1414 / √4 = 0.0707 is the error of four networks.
    low, high = mean_interval([[0.1, 0.3], [0.3, 0.1]])
    half = 12.7062 * 0.0707107
    assert (low, high) == pytest.approx((0.2 - half, 0.2 + half))
    assert mean_interval([[0.2], [0.2]]) == (0.2, 0.2)
    assert not differs_from_zero([[0.1, -0.1], [-0.1, 0.1]])
    # Two test images of 60 each: the spread of other sets is unknown, not zero.
    assert not differs_from_zero([[2 / 60], [2 / 60]])


SIZES = {
    "2×2": [2, 2],
    "3×2": [2, 2, 2],
    "3×5": [5, 5, 5],
    "5×5": [5, 5, 5, 5, 5],
    "5×20": [20, 20, 20, 20, 20],
    "10×1": [1] * 10,
    "2 unequal": [1, 3],
    "3 unequal": [1, 2, 3],
    "3 more unequal": [3, 5, 7],
    "5 unequal": [3, 4, 5, 6, 7],
    "5 more unequal": [10, 15, 20, 25, 30],
    "10 unequal": [1, 2] * 5,
}


@pytest.mark.parametrize("ratio", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_intervals_cover_the_mean_in_94_to_96_percent_of_experiments(sizes, ratio):
    """`ratio` is the spread between sets over that within sets."""
    draws = np.random.default_rng(len(sizes) + int(10 * ratio))
    between, within = ratio * draws.normal(size=(40_000, len(sizes))), np.sqrt(sizes)
    means = between + draws.normal(size=between.shape) / within
    interval = stats.t(len(sizes) - 1).interval(0.95)[1] * stats.sem(means, axis=1)
    assert np.mean(np.abs(means.mean(1)) <= interval) == pytest.approx(0.95, abs=0.01)
    for row, half in zip(means[:20], interval, strict=False):
        offsets = [np.arange(n) - (n - 1) / 2 for n in sizes]
        low, high = mean_interval([m + each for m, each in zip(row, offsets, strict=True)])
        assert (low, high) == pytest.approx((row.mean() - half, row.mean() + half))


def test_independent_estimates_add_with_the_freedom_of_welch_and_satterthwaite():
    first = Estimate(value=1.0, error=3.0, freedom=2)
    second = Estimate(value=4.0, error=2.0, freedom=8)
    total = combine_estimates([(1.0, first), (-2.0, second)], 10.0)
    assert (total.value, total.error) == (3.0, 5.0)
    assert total.freedom == pytest.approx(25**2 / (9**2 / 2 + 16**2 / 8))


def test_p_values_are_those_of_scipy():
    group = [[0.2], [0.25], [0.3], [0.1]]
    expected = stats.ttest_1samp(np.ravel(group), 0.1).pvalue
    assert estimate_mean(group).compute_p_value(0.1) == pytest.approx(expected)
    certain = Estimate(value=1.0, error=0.0, freedom=1)
    assert (certain.compute_p_value(1.0), certain.compute_p_value(0.0)) == (1.0, 0.0)


def test_paired_differences_match_seeds_and_networks():
    first = {0: [0.60, 0.62, 0.9], 1: [0.5], 2: [0.7]}
    second = {0: [0.50, 0.55], 2: [0.65, 0.1], 3: [0.2]}
    differences = paired_differences(first, second)
    assert [d.tolist() for d in differences] == [pytest.approx([0.10, 0.07]), pytest.approx([0.05])]
    assert paired_differences(first, {9: [0.1]}) == []


def test_pairing_removes_what_the_sets_have_in_common():
    first, second = {0: [0.3, 0.4], 1: [0.7, 0.8]}, {0: [0.2, 0.3], 1: [0.6, 0.7]}
    summary = summarize(paired_differences(first, second))
    assert summary.mean == pytest.approx(0.1)
    assert summary.interval == pytest.approx((0.1, 0.1))


def test_nothing_to_describe_is_an_error():
    for group in ([], [[]], [[0.5], []], [[math.nan]]):
        with pytest.raises(StatisticsError):
            summarize(group)


def test_a_difference_is_clear_by_a_t_test_over_sets():
    """Means 1, 2, 3: t = 2 / (1 / √3) = 3.46, below the 4.30 of two degrees of freedom; 2, 2.5, 3:
    t = 8.66.
    """
    assert not differs_from_zero([[1.0], [2.0], [3.0]])
    assert differs_from_zero([[2.0], [2.4, 2.6], [3.0]])
    assert not differs_from_zero([[5.0, 5.1, 4.9]]), "one set says nothing about others"
    assert differs_from_zero([[-2.0], [-2.5], [-3.0]])
