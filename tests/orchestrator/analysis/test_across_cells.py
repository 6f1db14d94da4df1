"""Aggregates over cells by hand, and the coverage of their intervals."""

import math

import numpy as np
import pytest

from orchestrator.analysis import across_cells as statistics
from orchestrator.analysis.statistics import StatisticsError, mean_interval


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


def test_intervals_over_cells_of_one_number_each_do_not_exist():
    assert statistics.interquartile_mean_interval([[[0.5]], [[0.7]]]) is None
    assert statistics.improvement_interval([([[0.5]], [[0.7]])]) is None


def test_the_jackknife_of_a_mean_is_students_t_over_sets():
    """With three values the interquartile mean is the mean."""
    (low, high), expected = (
        statistics.interquartile_mean_interval([[[1.0], [2.0], [6.0]]]),
        mean_interval([[1.0], [2.0], [6.0]]),
    )
    assert (low, high) == pytest.approx(expected)


def test_a_set_that_is_left_out_does_not_change_the_weight_of_its_cell():
    # Cells at 0 and 100, each with two sets: the mean without trimming would stay 50.
    cells = [[[0.0], [0.0]], [[100.0], [100.0]]]
    assert statistics.interquartile_mean_interval(cells) == (50.0, 50.0)


def test_methods_that_are_apart_by_chance_are_not_certain():
    # One cell, two sets each: share (2 + ½) / 3, error √(5/6 · 1/6 / 2) = 0.264.
    low, high = statistics.improvement_interval([([[2.0], [3.0]], [[0.0], [1.0]])])
    assert high == 1.0 and low == 0.0
    cells = [([[2.0 + i], [3.0], [4.0]], [[0.0], [1.0], [0.5]]) for i in range(8)]
    low, high = statistics.improvement_interval(cells)
    assert 0.7 < low < 0.95 and high == 1.0


def _draw(draws, cells, sets, networks, ratio, shift=0.0):
    middle = np.linspace(10, 30, cells)[:, None, None] + shift
    between = ratio * draws.normal(size=(cells, sets, 1))
    return middle + between + draws.normal(size=(cells, sets, networks))


@pytest.mark.parametrize(("sets", "networks", "ratio"), [(2, 2, 2.0), (3, 5, 0.5), (5, 5, 0.0)])
def test_intervals_of_aggregates_cover_in_at_least_90_percent(sets, networks, ratio):
    draws, hits, count, cells = np.random.default_rng(5), np.zeros(2), 300, 4
    spread = math.sqrt(1 + ratio**2)
    # Cells are apart, so the middle half is the two middle cells, whose mean is 20. The second
    # method is better by one within-set deviation.
    probability = 0.5 * (1 + math.erf(1 / (2 * spread)))
    for _ in range(count):
        first = _draw(draws, cells, sets, networks, ratio, 1.0)
        second = _draw(draws, cells, sets, networks, ratio)
        low, high = statistics.interquartile_mean_interval([list(cell) for cell in second])
        hits[0] += low <= 20 <= high
        pairs = [(list(a), list(b)) for a, b in zip(first, second, strict=True)]
        low, high = statistics.improvement_interval(pairs)
        hits[1] += low <= probability <= high
    assert (hits / count >= 0.90).all(), hits / count


def test_no_cell_is_an_error():
    with pytest.raises(StatisticsError):
        statistics.probability_of_improvement([])
    with pytest.raises(StatisticsError):
        statistics.interquartile_mean([])
    with pytest.raises(StatisticsError):
        statistics.interquartile_mean_interval([])
    with pytest.raises(StatisticsError):
        statistics.improvement_interval([])
