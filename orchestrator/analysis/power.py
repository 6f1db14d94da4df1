"""Power: which difference a number of sets can see, and how many sets a difference needs.

The test is Student's t over paired differences of sets, two-sided at 5 %, as in `statistics`. Its
power is that of the noncentral t distribution. Deviations and differences have the same unit.
"""

import math

from scipy.special import nctdtr, stdtrit

from orchestrator.analysis.statistics import CONFIDENCE

POWER = 0.8
"""Probability of seeing a difference that is there, as usual."""
MAX_SETS = 100_000
_PRECISION = 1e-6
"""Of a difference, in deviations."""


def compute_power(difference: float, deviation: float, sets: int) -> float:
    """Return the probability that the interval of a mean difference excludes zero.

    Source: Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, chapter 2.

    Args:
        difference: the true mean difference.
        deviation: standard deviation of the sets' differences, above zero.
        sets: number of pairs of sets, at least two.
    """
    freedom = sets - 1
    noncentrality = abs(difference) / deviation * math.sqrt(sets)
    limit = float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
    below = _compute_share_below(limit, freedom, noncentrality)
    return 1 - below + _compute_share_below(-limit, freedom, noncentrality)


def _compute_share_below(value: float, freedom: int, noncentrality: float) -> float:
    """Return the noncentral t distribution's share below a value."""
    share = float(nctdtr(freedom, noncentrality, value))
    # Far out in the lower tail, SciPy returns NaN where the share is zero.
    return 0.0 if math.isnan(share) else share


def find_detectable_difference(deviation: float, sets: int, power: float = POWER) -> float | None:
    """Return the smallest difference that is seen with some power; None with fewer than two sets.

    Args:
        deviation: standard deviation of the sets' differences.
        sets: number of pairs of sets.
        power: probability of seeing it.
    """
    if sets < 2:
        return None
    if deviation == 0:
        return 0.0
    # The limit of the test plus some deviations is always seen. Power grows with the difference, so
    # halving finds it; scipy.optimize would be half of the time that a plan takes.
    low, high = 0.0, (float(stdtrit(sets - 1, (1 + CONFIDENCE) / 2)) * 3 + 10) / math.sqrt(sets)
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if compute_power(middle, 1.0, sets) < power:
            low = middle
        else:
            high = middle
    return deviation * high


def count_sets(difference: float, deviation: float, power: float = POWER) -> int | None:
    """Return how many pairs of sets see a difference with some power; None beyond MAX_SETS.

    Args:
        difference: not zero.
        deviation: standard deviation of the sets' differences.
        power: probability of seeing it.
    """
    if deviation == 0:
        return 2
    low, high = 1, 2
    while compute_power(difference, deviation, high) < power:
        low, high = high, 2 * high
        if high > MAX_SETS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if compute_power(difference, deviation, middle) < power:
            low = middle
        else:
            high = middle
    return high
