"""Statistics of nested experiments: several synthetic sets, and several networks on each.

Pure functions over arrays. A *group* holds the accuracies of one entry of a table, as fractions:
one array per set, one number per network. Sets may have different numbers of networks. Published
tables give the mean and the population standard deviation over all numbers together. That hides
which part comes from the set and which from the network, so both parts are given as well. Intervals
are Student's t over the means of the sets, because networks on one set share that set and are not
independent. The formulas and their simulated coverage are in `docs/statistics.md`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

Array = NDArray[np.float64]
Group = Sequence[ArrayLike]
Interval = tuple[float, float]

CONFIDENCE = 0.95
_ROUNDING = 1e-12
"""Means of sets that differ by less, relative to their size, are equal."""


class StatisticsError(ValueError):
    """There are no numbers to describe, or a number is not finite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """An estimated number with its standard error, for Student's t."""

    value: float
    error: float
    """Standard error, in the unit of the value."""
    freedom: float
    """Degrees of freedom of the standard error."""

    @property
    def has_error(self) -> bool:
        """Whether the numbers differ.

        Accuracies are counts of images, so a few numbers can agree by chance. Their spread is then
        unknown, not zero.
        """
        return self.error > 0

    def compute_interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the two-sided interval."""
        margin = self.compute_margin((1 - confidence) / 2)
        return self.value - margin, self.value + margin

    def compute_margin(self, tail: float) -> float:
        """Return how far the end of an interval is from the value.

        Args:
            tail: probability that the end should leave out on its side.
        """
        return float(stdtrit(self.freedom, 1 - tail)) * self.error

    def compute_p_value(self, null: float = 0.0) -> float:
        """Return the p-value of the two-sided test that the number is `null`."""
        distance = abs(self.value - null)
        if self.error == 0:
            return 1.0 if distance == 0 else 0.0
        return float(2 * stdtr(self.freedom, -distance / self.error))


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupSummary:
    """The statistics of one group, all in the unit of its numbers."""

    mean: float
    """Mean over all numbers."""
    std: float
    """Population standard deviation over all numbers, the "±" of published tables."""
    std_sets: float | None
    """Sample standard deviation of the sets' means; None with one set."""
    std_networks: float | None
    """Pooled sample standard deviation within sets; None if no set has two networks."""
    interval: Interval | None
    """95 % interval of the mean (see `estimate_mean`); None with one number."""
    sets: int
    """Number of sets."""
    networks: int
    """Number of networks, over all sets."""


def summarize(group: Group) -> GroupSummary:
    """Describe a group.

    Args:
        group: one array of shape (networks,) per set, none of them empty.

    Raises:
        StatisticsError: the group or a set is empty, or a number is not finite.
    """
    sets = check_group(group)
    pooled = pool(sets)
    return GroupSummary(
        mean=float(pooled.mean()),
        std=float(pooled.std()),
        std_sets=_compute_std_between(sets),
        std_networks=_compute_std_within(sets),
        interval=mean_interval(sets),
        sets=len(sets),
        networks=len(pooled),
    )


def summarize_accuracies(group: Group) -> GroupSummary:
    """Describe a group of accuracies, whose mean and interval are within 0 and 1.

    Raises:
        StatisticsError: as in `summarize`.
    """
    summary = summarize(group)
    if summary.interval is None:
        return summary
    low, high = summary.interval
    return replace(summary, interval=(max(low, 0.0), min(high, 1.0)))


def estimate_mean(group: Group) -> Estimate | None:
    """Estimate a group's mean over all sets that could have been made.

    With several sets this is the mean of their means, and the error is that of Student's t with
    one degree of freedom fewer than sets. With equal numbers of networks and normal numbers the
    interval covers exactly, whatever part of the spread comes from sets. With unequal numbers it
    covers at least as often (Bakirov and Székely, "Student's t-test for Gaussian scale mixtures",
    2005). With one set it is the mean of its networks, and says nothing about other sets.

    Args:
        group: one array of shape (networks,) per set.

    Returns:
        None with one number.

    Raises:
        StatisticsError: as in `summarize`.
    """
    sets = check_group(group)
    means = np.array([numbers.mean() for numbers in sets]) if len(sets) > 1 else sets[0]
    count = len(means)
    if count < 2:
        return None
    value, error = float(means.mean()), float(means.std(ddof=1)) / math.sqrt(count)
    if np.ptp(means) <= _ROUNDING * np.abs(means).max():
        # Accuracies are counts of images, so means of sets can agree by chance. Their spread is
        # then unknown, not zero, and that of the networks is a lower bound of it.
        within = _compute_std_within(sets) or 0.0
        error = within / math.sqrt(sum(map(len, sets)))
    return Estimate(value=value, error=error, freedom=count - 1)


def mean_interval(group: Group, *, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the interval of a group's mean (see `estimate_mean`); None with one number.

    Args:
        group: one array of shape (networks,) per set.
        confidence: probability that the interval covers the mean.

    Raises:
        StatisticsError: as in `summarize`.
    """
    estimate = estimate_mean(group)
    return None if estimate is None else estimate.compute_interval(confidence)


def combine_estimates(terms: Sequence[tuple[float, Estimate]], constant: float = 0.0) -> Estimate:
    """Return the sum of independent estimates times their weights, plus a constant.

    The degrees of freedom are those of Welch and Satterthwaite.

    Args:
        terms: weights with estimates; at least one.
        constant: a number without error.
    """
    variances = np.array([(weight * each.error) ** 2 for weight, each in terms])
    freedoms = np.array([each.freedom for _, each in terms])
    total = float(variances.sum())
    # Without any error the freedom does not matter; the smallest is a safe choice.
    freedom = total**2 / float((variances**2 / freedoms).sum()) if total else freedoms.min()
    return Estimate(
        value=constant + sum(weight * each.value for weight, each in terms),
        error=math.sqrt(total),
        freedom=float(freedom),
    )


def excludes(interval: Interval | None, number: float = 0.0) -> bool:
    """Return whether there is an interval and a number lies outside."""
    return interval is not None and not interval[0] <= number <= interval[1]


def differs_from_zero(group: Group, *, confidence: float = CONFIDENCE) -> bool:
    """Return whether a group's mean clearly differs from zero: its interval excludes zero.

    With one set, or with numbers that all agree, the result is False, because nothing is known of
    other sets.

    Args:
        group: one array of shape (networks,) per set, such as paired differences.
        confidence: of the interval.

    Raises:
        StatisticsError: as in `summarize`.
    """
    estimate = estimate_mean(group)
    if len(group) < 2 or estimate is None or not estimate.has_error:
        return False
    return excludes(estimate.compute_interval(confidence))


def paired_differences(
    first: Mapping[int, ArrayLike], second: Mapping[int, ArrayLike]
) -> list[Array]:
    """Return the group `first` − `second`, network by network, on the seeds that both have.

    Methods with the same seed share initial images and initial networks, so what they have in
    common cancels.

    Args:
        first: accuracies (networks,) by the seed of the set, networks in the order of their index.
        second: the same for the other method; networks that only one of them has are left out.
    """
    differences = []
    for seed in sorted(first):
        if seed in second:
            a, b = np.asarray(first[seed], float), np.asarray(second[seed], float)
            networks = min(len(a), len(b))
            if networks:
                differences.append(a[:networks] - b[:networks])
    return differences


def pool(group: Group) -> Array:
    """Return all numbers of a group, those of one set after another."""
    return np.concatenate(check_group(group))


def check_group(group: Group) -> list[Array]:
    """Return the sets as arrays.

    Raises:
        StatisticsError: the group or a set is empty, or a number is not finite.
    """
    sets = [np.asarray(numbers, dtype=np.float64) for numbers in group]
    if not sets or any(numbers.size == 0 for numbers in sets):
        raise StatisticsError("a group needs at least one set, and each set at least one number")
    if not all(np.isfinite(numbers).all() for numbers in sets):
        raise StatisticsError("a group holds a number that is not finite")
    return sets


def _compute_std_between(sets: Sequence[Array]) -> float | None:
    return float(np.std([numbers.mean() for numbers in sets], ddof=1)) if len(sets) > 1 else None


def _compute_std_within(sets: Sequence[Array]) -> float | None:
    freedom = sum(len(numbers) - 1 for numbers in sets)
    squares = sum(float(np.square(numbers - numbers.mean()).sum()) for numbers in sets)
    return float(np.sqrt(squares / freedom)) if freedom else None
