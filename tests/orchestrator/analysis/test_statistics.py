"""Every expected number here is worked out by hand in the comment or name next to it."""

import math

import numpy as np
import pytest

from orchestrator.analysis import statistics
from orchestrator.analysis.statistics import (
    StatisticsError,
    bootstrap_interval,
    differs_from_zero,
    paired_differences,
    summarize,
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
    assert summary.interval == (0.4, 0.6)  # both draws the same with probability 1/4 at each end


@pytest.mark.parametrize("group", [[[0.0, 1.0]], [[0.0], [1.0]], [[0.0, 0.0], [1.0, 1.0]]])
def test_bootstrap_resamples_networks_of_one_set_and_sets_of_several(group):
    # The mean is 0, 1/2, 1 with probability 1/4, 1/2, 1/4: the outer 2.5 % lie at 0 and 1, the
    # middle 40 % at 1/2.
    assert bootstrap_interval(group) == (0.0, 1.0)
    assert bootstrap_interval(group, confidence=0.4) == (0.5, 0.5)


def test_bootstrap_of_ragged_sets_takes_as_many_networks_as_the_drawn_set_has():
    # Drawn sets AA, AB, BB give 0/2, 3/4, 3/3 with probability 1/4, 1/2, 1/4.
    assert bootstrap_interval([[0.0], [1.0, 1.0, 1.0]], confidence=0.4) == (0.75, 0.75)


def test_bootstrap_of_many_networks_agrees_with_the_normal_interval():
    numbers = np.linspace(0.4, 0.6, 200)
    low, high = bootstrap_interval([numbers])
    half = 1.96 * numbers.std() / math.sqrt(200)
    assert low == pytest.approx(0.5 - half, abs=0.1 * half)
    assert high == pytest.approx(0.5 + half, abs=0.1 * half)


def test_bootstrap_of_many_sets_is_governed_by_the_sets():
    means = np.linspace(0.4, 0.6, 50)
    low, high = bootstrap_interval([[m - 1e-6, m + 1e-6] for m in means])
    assert high - low == pytest.approx(2 * 1.96 * means.std() / math.sqrt(50), rel=0.1)


def test_equal_numbers_have_equal_intervals():
    assert bootstrap_interval(TWO_BY_TWO) == bootstrap_interval([np.array(s) for s in TWO_BY_TWO])


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


def test_interquartile_mean_leaves_out_a_quarter_at_each_end():
    assert statistics.interquartile_mean([100, 1, 3, 2, 5, 4, -50, 6]) == pytest.approx(
        (2 + 3 + 4 + 5) / 4
    )
    assert statistics.interquartile_mean([1, 2, 6]) == pytest.approx(
        3
    )  # a quarter of three, rounded down, is none
    assert statistics.interquartile_mean([0, 1, 2, 3, 100]) == pytest.approx(2)


def test_probability_of_improvement_counts_pairs_and_halves_ties():
    assert statistics.probability_of_improvement([([2, 3], [1, 2])]) == pytest.approx(
        (1 + 0.5 + 1 + 1) / 4
    )
    assert statistics.probability_of_improvement([([1], [0]), ([0], [1, 1])]) == pytest.approx(0.5)


def test_bootstrap_counts_draw_whole_sets_and_then_as_many_networks_as_each_has():
    counts = statistics.bootstrap_counts([[0.1], [0.2, 0.3, 0.4]], resamples=200)
    first, second = counts[:, 0], counts[:, 1:].sum(1)
    assert {(a, b) for a, b in zip(first, second, strict=True)} == {(2, 0), (1, 3), (0, 6)}


def _loop(cells, statistic, seed):
    """Samples of a statistic of two-level resampled cells, drawn one at a time."""
    draws, samples = np.random.default_rng(seed), []
    for _ in range(3000):
        drawn = [
            np.concatenate(
                [
                    draws.choice(group[s], len(group[s]))
                    for s in draws.integers(len(group), size=len(group))
                ]
            )
            for group in cells
        ]
        samples.append(statistic(drawn))
    return np.quantile(samples, [0.025, 0.975])


def test_interval_of_the_interquartile_mean_agrees_with_a_slow_loop():
    rows = np.random.default_rng(1)
    cells = [[m + 0.05 * rows.normal(size=3) for _ in range(4)] for m in (0.2, 0.3, 0.5)]
    cells.append([rows.normal(size=2), rows.normal(size=1)])
    expected = _loop(cells, lambda drawn: statistics.interquartile_mean(np.concatenate(drawn)), 2)
    made = statistics.interquartile_mean_interval(cells)
    assert made == pytest.approx(expected, abs=0.05 * (expected[1] - expected[0]))


def test_interval_of_the_probability_of_improvement_agrees_with_a_slow_loop():
    rows = np.random.default_rng(3)
    cells = [
        ([rows.normal(0.5, 1, 3) for _ in range(4)], [rows.normal(0, 1, 2) for _ in range(3)])
        for _ in range(2)
    ]

    def statistic(drawn):
        return statistics.probability_of_improvement(zip(drawn[::2], drawn[1::2], strict=True))

    expected = _loop([group for pair in cells for group in pair], statistic, 4)
    made = statistics.improvement_interval(cells)
    assert made == pytest.approx(expected, abs=0.05 * (expected[1] - expected[0]))


def test_intervals_over_cells_of_one_number_each_do_not_exist():
    assert statistics.interquartile_mean_interval([[[0.5]], [[0.7]]]) is None
    assert statistics.improvement_interval([([[0.5]], [[0.7]])]) is None


def test_nothing_to_describe_is_an_error():
    for group in ([], [[]], [[0.5], []], [[math.nan]]):
        with pytest.raises(StatisticsError):
            summarize(group)
    with pytest.raises(StatisticsError):
        statistics.probability_of_improvement([])
    with pytest.raises(StatisticsError):
        statistics.interquartile_mean([])
    with pytest.raises(StatisticsError):
        statistics.interquartile_mean_interval([])
    with pytest.raises(StatisticsError):
        statistics.improvement_interval([])


def test_a_difference_is_clear_by_a_t_test_over_sets():
    """Means 1, 2, 3: t = 2 / (1 / √3) = 3.46, below the 4.30 of two degrees of freedom; 2, 2.5, 3:
    t = 8.66.
    """
    assert not differs_from_zero([[1.0], [2.0], [3.0]])
    assert differs_from_zero([[2.0], [2.4, 2.6], [3.0]])
    assert not differs_from_zero([[5.0, 5.1, 4.9]]), "one set says nothing about others"
    assert differs_from_zero([[-2.0], [-2.5], [-3.0]])
