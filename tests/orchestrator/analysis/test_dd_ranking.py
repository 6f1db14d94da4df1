"""DD-Ranking's scores against numbers worked by hand, and their intervals against a slow loop."""

import math

import numpy as np
import pytest

from orchestrator.analysis.dd_ranking import (
    augmentation_robust_score,
    label_robust_score,
    normalized_score,
)
from orchestrator.analysis.statistics import StatisticsError


def _score(margin):
    return (math.exp(margin) - math.exp(-1)) / (math.e - math.exp(-1))


def test_a_score_goes_from_0_at_margin_minus_1_to_1_at_margin_1():
    assert normalized_score(-1.0) == 0
    assert normalized_score(1.0) == pytest.approx(1)
    assert normalized_score(0.0) == pytest.approx(0.26894142)  # (1 − 0.36787944) / 2.35040239


def test_label_robust_score():
    made = label_robust_score({0: [0.5], 1: [0.6]}, {0: [0.3], 1: [0.4]}, [[0.8, 0.9]])
    assert made.ior == pytest.approx(0.2)  # 0.55 − 0.35
    assert made.hlr == pytest.approx(0.3)  # 0.85 − 0.55
    # α = 0.1 − 0.15 = −0.05; e^−0.05 = 0.95122942; (0.95122942 − 0.36787944) / 2.35040239
    assert made.score == pytest.approx(0.24819153)
    assert made.sets == 2


def test_augmentation_robust_score():
    made = augmentation_robust_score({0: [0.6]}, {0: [0.3]}, {0: [0.4]}, {0: [0.3]})
    assert (made.augmented, made.plain) == (pytest.approx(0.3), pytest.approx(0.1))
    # β = 0.15 + 0.05 = 0.2; e^0.2 = 1.22140276; 0.85352332 / 2.35040239
    assert made.score == pytest.approx(0.36313923)
    assert made.interval is None  # one network each


def test_only_common_seeds_and_networks_count():
    made = label_robust_score({0: [0.5, 0.7], 1: [0.9]}, {0: [0.3], 2: [0.1]}, [[0.8]])
    assert (made.ior, made.hlr, made.sets) == (pytest.approx(0.2), pytest.approx(0.3), 1)
    assert label_robust_score({0: [0.5]}, {1: [0.5]}, [[0.8]]) is None
    assert augmentation_robust_score({0: [0.5]}, {0: [0.5]}, {1: [0.5]}, {0: [0.5]}) is None


def test_what_synthetic_and_random_sets_have_in_common_cancels():
    # The seeds differ much; in α = own − other/2 − whole/2 only half of what they share is left, in
    # β nothing.
    synthetic, random = {0: [0.4], 1: [0.6]}, {0: [0.2], 1: [0.4]}
    made = augmentation_robust_score(synthetic, random, synthetic, random)
    assert made.interval == pytest.approx((_score(0.2), _score(0.2)))
    low, high = label_robust_score(synthetic, random, [[0.8]]).interval
    assert low == pytest.approx(_score(0.1 - 0.2))  # seed 0 twice: 0.4 − 0.1 − 0.4
    assert high == pytest.approx(_score(0.1 - 0.1))  # seed 1 twice: 0.6 − 0.2 − 0.4


def _drawn(shape, draws):
    """Indices of one two-level bootstrap sample of (sets, networks)."""
    sets, networks = shape
    return [
        (s, n)
        for s in draws.integers(sets, size=sets)
        for n in draws.integers(networks, size=networks)
    ]


def test_label_robust_interval_agrees_with_a_slow_loop():
    rows = np.random.default_rng(7)
    own, other = 0.5 + 0.05 * rows.normal(size=(4, 3)), 0.35 + 0.05 * rows.normal(size=(4, 3))
    whole = 0.8 + 0.03 * rows.normal(size=(2, 4))
    draws, scores = np.random.default_rng(8), []
    for _ in range(4000):
        pairs, tops = _drawn(own.shape, draws), _drawn(whole.shape, draws)
        a, b = np.mean([own[i] for i in pairs]), np.mean([other[i] for i in pairs])
        top = np.mean([whole[i] for i in tops])
        scores.append(_score(0.5 * (a - b) - 0.5 * (top - a)))
    made = label_robust_score(dict(enumerate(own)), dict(enumerate(other)), list(whole))
    expected = np.quantile(scores, [0.025, 0.975])
    assert made.interval == pytest.approx(expected, abs=0.04 * (expected[1] - expected[0]))


def test_augmentation_robust_interval_agrees_with_a_slow_loop():
    rows = np.random.default_rng(9)
    four = 0.5 + 0.05 * rows.normal(size=(4, 5, 2))
    draws, scores = np.random.default_rng(10), []
    for _ in range(4000):
        drawn = _drawn(four.shape[1:], draws)
        a, b, c, d = ([accuracies[i] for i in drawn] for accuracies in four)
        scores.append(_score(0.5 * (np.mean(a) - np.mean(b)) + 0.5 * (np.mean(c) - np.mean(d))))
    made = augmentation_robust_score(*(dict(enumerate(accuracies)) for accuracies in four))
    expected = np.quantile(scores, [0.025, 0.975])
    assert made.interval == pytest.approx(expected, abs=0.04 * (expected[1] - expected[0]))


def test_numbers_that_are_not_finite_and_an_empty_group_are_errors():
    with pytest.raises(StatisticsError):
        label_robust_score({0: [math.nan]}, {0: [0.1]}, [[0.5]])
    with pytest.raises(StatisticsError):
        label_robust_score({0: [0.2]}, {0: [0.1]}, [])
