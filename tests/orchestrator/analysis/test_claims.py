"""Verdicts by hand and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from orchestrator.analysis.claims import Bound, count_more_sets, judge
from orchestrator.analysis.generalization import Contrast, contrast_sets
from orchestrator.analysis.statistics import Estimate, estimate_mean

AT_LEAST_1 = Bound(value=1.0, is_upper=False)
AT_MOST_1 = Bound(value=1.0, is_upper=True)


def _contrast(value, error=0.1, sets=5):
    estimate = Estimate(value=value, error=error, freedom=sets - 1)
    return Contrast(value=value, estimate=estimate, sets=sets)


@pytest.mark.parametrize(
    ("value", "bound", "ruling"),
    [
        (1.5, AT_LEAST_1, "supported"),  # ± 0.278 with four degrees of freedom
        (1.2, AT_LEAST_1, "undecided"),
        (0.8, AT_LEAST_1, "undecided"),
        (0.5, AT_LEAST_1, "contradicted"),
        (0.5, AT_MOST_1, "supported"),
        (1.2, AT_MOST_1, "undecided"),
        (1.5, AT_MOST_1, "contradicted"),
    ],
)
def test_one_cell(value, bound, ruling):
    judgment = judge([_contrast(value)], bound, largest=False)
    assert judgment.ruling == ruling
    half = 0.1 * stats.t.ppf(0.975, 4)
    assert judgment.interval == pytest.approx((value - half, value + half))
    assert (judgment.more_sets is not None) == (ruling == "undecided")


def test_the_largest_is_corrected_for_having_been_chosen():
    judgment = judge([_contrast(0.2), _contrast(1.3)], AT_LEAST_1, largest=True)
    # Alone, the second has its lower end at 1.3 − 0.278. As one of two it has 1.3 − 0.1 · 3.495.
    assert judgment.interval[0] == pytest.approx(1.3 - 0.1 * stats.t.ppf(1 - 0.0125, 4))
    assert (judgment.place, judgment.value, judgment.ruling) == (1, 1.3, "undecided")
    assert judge([_contrast(1.3)], AT_LEAST_1, largest=True).ruling == "supported"


def test_the_smallest_is_the_mirror_image():
    judgment = judge([_contrast(0.7), _contrast(1.9)], AT_LEAST_1, largest=False)
    assert judgment.interval[1] == pytest.approx(0.7 + 0.1 * stats.t.ppf(1 - 0.0125, 4))
    assert (judgment.place, judgment.ruling) == (0, "undecided")
    assert judge([_contrast(1.5), _contrast(1.9)], AT_LEAST_1, largest=False).ruling == "supported"


@pytest.mark.parametrize(
    ("value", "bound", "largest", "ruling"),
    [
        (1.9, AT_LEAST_1, True, "supported"),  # more cells can only raise the largest
        (0.1, AT_LEAST_1, True, "undecided"),
        (1.9, AT_LEAST_1, False, "undecided"),
        (0.1, AT_LEAST_1, False, "contradicted"),
        (0.1, AT_MOST_1, True, "undecided"),
        (1.9, AT_MOST_1, True, "contradicted"),
        (0.1, AT_MOST_1, False, "supported"),
        (1.9, AT_MOST_1, False, "undecided"),
    ],
)
def test_cells_that_are_missing_keep_a_claim_undecided(value, bound, largest, ruling):
    judgment = judge([_contrast(value)], bound, largest=largest, is_complete=False)
    assert (judgment.ruling, judgment.more_sets) == (ruling, None)


def test_one_set_decides_nothing():
    alone = Contrast(value=5.0, estimate=Estimate(value=5.0, error=0.1, freedom=9), sets=1)
    judgment = judge([alone], AT_LEAST_1, largest=False)
    assert (judgment.ruling, judgment.more_sets) == ("undecided", None)
    assert judgment.interval is not None, "that of the networks is shown"
    unknown = Contrast(value=5.0, estimate=None, sets=1)
    assert judge([unknown], AT_LEAST_1, largest=False).interval is None


def test_sets_that_agree_exactly_decide_nothing():
    alike = contrast_sets([(1.0, {0: [0.7], 1: [0.8]}), (-1.0, {0: [0.7], 1: [0.8]})])
    assert (alike.value, alike.sets, alike.is_decisive) == (0.0, 2, False)
    judgment = judge([alike], Bound(value=0.0, is_upper=False), largest=False)
    assert (judgment.ruling, judgment.more_sets) == ("undecided", None)
    with_others = judge([alike, _contrast(1.9)], AT_LEAST_1, largest=True)
    assert with_others.ruling == "undecided"


def test_the_number_of_more_sets_is_the_smallest_that_decides():
    contrast = _contrast(1.2, error=0.1, sets=5)  # deviation of a set 0.1 · √5
    more = count_more_sets([contrast], AT_LEAST_1, largest=False)
    halves = [0.1 * math.sqrt(5 / (5 + n)) * stats.t.ppf(0.975, 4 + n) for n in range(1, more + 1)]
    assert halves[-1] <= 0.2 < halves[-2]
    exact = _contrast(1.0, error=0.1)
    assert count_more_sets([exact], AT_LEAST_1, largest=False) is None


@pytest.mark.parametrize("largest", [True, False])
def test_true_claims_are_rarely_contradicted_and_false_ones_rarely_supported(largest):
    """Three cells, the decisive one exactly at the bound: either error in at most 2.5 %."""
    draws, count = np.random.default_rng(11), 1500
    truths = np.array([1.0, 0.8, 0.9] if largest else [1.0, 1.2, 1.1])
    rulings = []
    for sets in truths[:, None, None] + draws.normal(size=(count, 3, 5, 1)):
        estimates = [estimate_mean(each) for each in sets]
        contrasts = [Contrast(value=each.value, estimate=each, sets=5) for each in estimates]
        rulings.append(judge(contrasts, AT_LEAST_1, largest=largest).ruling)
    assert rulings.count("supported") / count < 0.035
    assert rulings.count("contradicted") / count < 0.035
