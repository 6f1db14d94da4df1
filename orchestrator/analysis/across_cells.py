"""Aggregates over cells: the interquartile mean, and the probability of improvement.

Neither has a formula for its interval, and a bootstrap of two to five sets is too narrow. So the
standard error is a jackknife: each set is left out once, and the other sets of its cell weigh more
instead. The interval is Student's t with the degrees of freedom of Welch and Satterthwaite. The
simulated coverage is in `docs/statistics.md`.

Source of the aggregates: Agarwal et al., "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", NeurIPS 2021. Source of the jackknife: Efron and Stein, "The jackknife
estimate of variance", 1981.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from orchestrator.analysis.statistics import (
    Array,
    Estimate,
    Group,
    Interval,
    StatisticsError,
    check_group,
    combine_estimates,
    pool,
)

Statistic = Callable[[Array], Array]
"""Values (n,) of a statistic from weights (n, numbers) of all numbers of all groups."""


def interquartile_mean(values: ArrayLike) -> float:
    """Return the mean of the middle half of some values.

    A quarter of the values, rounded down, is left out at each end.

    Args:
        values: numbers of any shape, such as the accuracies of one method over all cells.

    Raises:
        StatisticsError: there are no values, or one is not finite.
    """
    ordered = np.sort(check_group([np.ravel(values)])[0])
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def interquartile_mean_interval(cells: Sequence[Group]) -> Interval | None:
    """Return the 95 % interval of the interquartile mean over all numbers of some cells.

    Args:
        cells: a group for each cell, all of one method.

    Returns:
        None where every cell has one number.

    Raises:
        StatisticsError: there is no cell, or as in `statistics.summarize`.
    """
    _require_cells(cells)
    values = np.concatenate([pool(group) for group in cells])
    order, cut = np.argsort(values), len(values) // 4

    def compute_means(weights: Array) -> Array:
        # The clipped cumulative weights keep the middle half, without building samples.
        cumulative = weights[:, order].cumsum(1)
        kept = np.diff(cumulative.clip(cut, cumulative[:, -1:] - cut), axis=1, prepend=cut)
        return np.asarray(kept @ values[order] / kept.sum(1))

    estimate = _estimate(cells, compute_means, interquartile_mean(values))
    return None if estimate is None else estimate.compute_interval()


def probability_of_improvement(cells: Iterable[tuple[ArrayLike, ArrayLike]]) -> float:
    """Return the probability that a number of the first method exceeds one of the second.

    It is the mean over cells of the Mann–Whitney statistic; ties count half.

    Args:
        cells: for each cell the numbers (n,) of the first method and those (m,) of the second.

    Raises:
        StatisticsError: there is no cell, or a cell lacks numbers.
    """
    pairs = list(cells)
    _require_cells(pairs)
    return float(np.mean([_compare(first, second).mean() for first, second in pairs]))


def improvement_interval(cells: Sequence[tuple[Group, Group]]) -> Interval | None:
    """Return the 95 % interval of the probability of improvement, within 0 and 1.

    Args:
        cells: for each cell the group of the first method and that of the second.

    Returns:
        None where every cell has one number of each method.

    Raises:
        StatisticsError: there is no cell, or as in `statistics.summarize`.
    """
    _require_cells(cells)
    found = [_estimate_improvement(first, second) for first, second in cells]
    estimates = [each for each in found if isinstance(each, Estimate)]
    if not estimates:
        return None
    known = sum(each for each in found if not isinstance(each, Estimate))
    share = 1 / len(cells)
    total = combine_estimates([(share, each) for each in estimates], share * known)
    low, high = total.compute_interval()
    return max(low, 0.0), min(high, 1.0)


def _estimate_improvement(first: Group, second: Group) -> Estimate | float:
    """Return the estimate of one cell; a plain number with one number of each method."""
    exceeds = _compare(pool(first), pool(second))
    split, value = len(exceeds), float(exceeds.mean())

    def compute_shares(weights: Array) -> Array:
        left, right = weights[:, :split], weights[:, split:]
        return np.asarray(((left @ exceeds) * right).sum(1) / (left.sum(1) * right.sum(1)))

    estimate = _estimate([first, second], compute_shares, value)
    if estimate is None or estimate.error > 0:
        return value if estimate is None else estimate
    # All numbers of one method are better. The jackknife then sees no spread, although few sets
    # can be in order by chance. So the error is that of a share with half a success more.
    count = min(_count_units(first), _count_units(second))
    share = (max(value, 1 - value) * count + 0.5) / (count + 1)
    error = np.sqrt(share * (1 - share) / count)
    return Estimate(value=value, error=float(error), freedom=estimate.freedom)


def _estimate(groups: Sequence[Group], compute: Statistic, value: float) -> Estimate | None:
    """Estimate a statistic of some independent groups; None where each has one number."""
    terms = []
    for weights in _leave_out(groups):
        values = compute(weights)
        freedom = len(values) - 1
        variance = freedom / len(values) * float(np.square(values - values.mean()).sum())
        terms.append((1.0, Estimate(value=0.0, error=np.sqrt(variance), freedom=freedom)))
    return combine_estimates(terms, value) if terms else None


def _leave_out(groups: Sequence[Group]) -> Iterable[Array]:
    """Yield, for each group, the weights (units, numbers) that leave out one unit at a time.

    A unit is a set, or a network where there is one set. The other units of the group weigh more,
    so that its numbers weigh the same in total. Groups with one number are left out.
    """
    sizes = [[len(numbers) for numbers in check_group(group)] for group in groups]
    total, start = sum(map(sum, sizes)), 0
    for of_sets in sizes:
        units = of_sets if len(of_sets) > 1 else [1] * of_sets[0]
        count = sum(units)
        if len(units) > 1:
            weights, position = np.ones((len(units), total)), start
            for row, unit in zip(weights, units, strict=True):
                row[start : start + count] = count / (count - unit)
                row[position : position + unit] = 0
                position += unit
            yield weights
        start += count


def _count_units(group: Group) -> int:
    return len(group) if len(group) > 1 else np.size(group[0])


def _compare(first: ArrayLike, second: ArrayLike) -> Array:
    """Return (n, m): 1 where a number of the first exceeds one of the second, ½ for ties."""
    left, right = check_group([np.ravel(first), np.ravel(second)])
    difference = left[:, None] - right[None, :]
    return np.asarray((difference > 0) + 0.5 * (difference == 0))


def _require_cells(cells: Sequence[object]) -> None:
    if not cells:
        raise StatisticsError("there is no cell to compare")
