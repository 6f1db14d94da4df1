"""DD-Ranking's scores against numbers worked by hand, and the coverage of their intervals."""

import math

import numpy as np
import pytest
from scipy import stats

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
    # α of the seeds is −0.1 and 0, so its error is 0.05, and t is 12.7062.
    low, high = label_robust_score(synthetic, random, [[0.8]]).interval
    assert low == pytest.approx(_score(-0.05 - 12.7062 * 0.05))
    assert high == pytest.approx(_score(-0.05 + 12.7062 * 0.05))


def test_label_robust_interval_is_that_of_its_margin():
    """α has a paired part over sets and a part of three networks on the whole training set."""
    own, other = {0: [0.50], 1: [0.54], 2: [0.58]}, {0: [0.30], 1: [0.34], 2: [0.30]}
    made = label_robust_score(own, other, [[0.8], [0.9], [0.85]])
    # own − other/2: 0.35, 0.37, 0.43, deviation 0.04163; half of whole: deviation 0.025.
    variances = np.array([0.0416333, 0.025]) ** 2 / 3
    freedom = variances.sum() ** 2 / (variances**2 / 2).sum()
    half = stats.t.ppf(0.975, freedom) * math.sqrt(variances.sum())
    margin = (0.35 + 0.37 + 0.43) / 3 - 0.425
    expected = (_score(margin - half), _score(margin + half))
    assert made.interval == pytest.approx(expected, abs=1e-5)


def test_intervals_of_scores_cover_as_often_as_they_say():
    """Every quantity varies between sets and between networks; β and α are 0.2 and −0.05."""
    draws, hits, count = np.random.default_rng(9), np.zeros(2), 1000
    for _ in range(count):
        sets = draws.normal(scale=0.02, size=(4, 3, 1))
        numbers = sets + draws.normal(scale=0.02, size=(4, 3, 2))
        own, other, own_plain, other_plain = (
            dict(enumerate(mean + each))
            for mean, each in zip((0.55, 0.35, 0.5, 0.3), numbers, strict=True)
        )
        whole = [0.85 + draws.normal(scale=0.02, size=3)]
        low, high = label_robust_score(own, other, whole).interval
        hits[0] += low <= _score(-0.05) <= high
        low, high = augmentation_robust_score(own, other, own_plain, other_plain).interval
        hits[1] += low <= _score(0.2) <= high
    assert hits / count == pytest.approx([0.95, 0.95], abs=0.02)


def test_numbers_that_are_not_finite_and_an_empty_group_are_errors():
    with pytest.raises(StatisticsError):
        label_robust_score({0: [math.nan]}, {0: [0.1]}, [[0.5]])
    with pytest.raises(StatisticsError):
        label_robust_score({0: [0.2]}, {0: [0.1]}, [])
