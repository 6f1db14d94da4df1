"""Statistics of nested experiments: some synthetic sets, and on each of them some trained networks.

Pure functions over arrays. A *group* holds the accuracies of one cell of a table, as fractions: one
array a set, one number a network. Sets may have different numbers of networks. Published tables
give the mean and the population standard deviation over all numbers together; that hides which part
comes from the set and which from the network, so both parts are given as well, with an interval
that resamples sets and, within them, networks. The formulas are in `docs/statistics.md`.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

Array = NDArray[np.float64]
Group = Sequence[ArrayLike]
Interval = tuple[float, float]
T = TypeVar("T")

RESAMPLES = 5000
CONFIDENCE = 0.95
_BOOTSTRAP_SEED = 0


class StatisticsError(ValueError):
    """There are no numbers to describe, or they are not finite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a table says of one group; everything is in the unit of its numbers."""

    mean: float
    """Mean over all numbers."""
    std: float
    """Population standard deviation over all numbers, the "±" of published tables."""
    std_sets: float | None
    """Sample standard deviation of the sets' means; None with one set."""
    std_networks: float | None
    """Pooled sample standard deviation within sets; None where no set has two networks."""
    interval: Interval | None
    """95 % interval of the mean (two-level bootstrap); None with one number."""
    sets: int
    """Number of sets."""
    networks: int
    """Number of networks, over all sets."""


def summarize(group: Group) -> Summary:
    """Describe a group.

    Args:
        group: one array of shape (networks,) a set, none of them empty.

    Raises:
        StatisticsError: the group or a set is empty, or a number is not finite.
    """
    sets = _checked(group)
    pooled = _pooled(sets)
    return Summary(
        mean=float(pooled.mean()),
        std=float(pooled.std()),
        std_sets=_std_between(sets),
        std_networks=_std_within(sets),
        interval=bootstrap_interval(sets),
        sets=len(sets),
        networks=len(pooled),
    )


def bootstrap_interval(
    group: Group, *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Interval | None:
    """Percentile interval of a group's mean from a two-level bootstrap over sets and the networks
    within them.

    With one set only networks are resampled, and the interval says nothing about other sets; with
    one number there is nothing to resample and the result is None. The generator is fixed, so equal
    numbers have equal intervals.

    Args:
        group: one array of shape (networks,) a set.
        resamples: number of bootstrap samples.
        confidence: probability that the interval should cover.

    Raises:
        StatisticsError: as in `summarize`.
    """
    sets = _checked(group)
    if sum(map(len, sets)) == 1:
        return None
    return percentile_interval(bootstrap_means(sets, resamples=resamples), confidence)


def bootstrap_means(group: Group, stream: int = 0, resamples: int = RESAMPLES) -> Array:
    """Return the means (resamples,) of two-level bootstrap samples of a group (see
    `bootstrap_counts`).
    """
    counts = bootstrap_counts(group, stream, resamples)
    return np.asarray(counts @ _pooled(group) / counts.sum(1))


def bootstrap_counts(group: Group, stream: int = 0, resamples: int = RESAMPLES) -> Array:
    """Tell how often each number of a group is in each of its bootstrap samples.

    First as many sets as there are are drawn with replacement, then from each drawn set as many
    networks as it has.

    Args:
        group: one array of shape (networks,) a set.
        stream: groups of one stream share their draws; what is independent needs streams of its
            own.
        resamples: number of bootstrap samples.

    Returns:
        Whole numbers as float64, (resamples, numbers), the numbers of one set after another.

    Raises:
        StatisticsError: as in `summarize`.
    """
    sizes = tuple(numbers.size for numbers in _checked(group))
    return _draws(sizes, stream, resamples).astype(np.float64)


@functools.lru_cache(maxsize=64)  # a report asks for few shapes, each for many groups
def _draws(sizes: tuple[int, ...], stream: int, resamples: int) -> NDArray[np.uint16]:
    random = np.random.default_rng(_BOOTSTRAP_SEED + stream)
    size, total = np.array(sizes), sum(sizes)
    starts = np.cumsum(size) - size
    chosen = random.integers(len(size), size=(resamples, len(size), 1))
    network = (random.random((resamples, len(size), size.max())) * size[chosen]).astype(np.int64)
    drawn = np.arange(size.max()) < size[chosen]
    place = total * np.arange(resamples)[:, None, None] + starts[chosen] + network
    counts = np.bincount(place[drawn], minlength=resamples * total)
    return counts.reshape(resamples, total).astype(np.uint16)


def percentile_interval(samples: Array, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval that leaves out equal shares of bootstrap samples (resamples,) at both
    ends.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def differs_from_zero(group: Group, *, confidence: float = CONFIDENCE) -> bool:
    """Tell whether a group's mean differs from zero beyond what its sets' means vary: Student's t
    over the sets.

    Stricter than a bootstrap of two to five sets, whose interval is too narrow (see
    docs/statistics.md); with one set nothing can be told.

    Args:
        group: one array of shape (networks,) a set, such as paired differences.
        confidence: of the two-sided test.

    Raises:
        StatisticsError: as in `summarize`.
    """
    means = np.array([numbers.mean() for numbers in _checked(group)])
    if len(means) < 2:
        return False
    margin = t.ppf((1 + confidence) / 2, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return bool(abs(means.mean()) > margin)


def paired_differences(
    first: Mapping[int, ArrayLike], second: Mapping[int, ArrayLike]
) -> list[Array]:
    """Subtract `second` from `first`, network by network, on the sets whose seed both have; the
    result is a group.

    Equal seeds share initial images and initial networks over methods, so what they have in common
    cancels.

    Args:
        first: accuracies (networks,) by the seed of the set, networks in the order of their index.
        second: the same of the other method; where it has more or fewer networks, those that only
            one has are left out.
    """
    pairs = [
        (np.asarray(first[seed], float), np.asarray(second[seed], float))
        for seed in sorted(first)
        if seed in second
    ]
    cut = [(a, b, min(len(a), len(b))) for a, b in pairs]
    return [a[:n] - b[:n] for a, b, n in cut if n]


def interquartile_mean(values: ArrayLike) -> float:
    """Mean of the middle half: a quarter of the values, rounded down, is left out at each end.

    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
        NeurIPS 2021.

    Args:
        values: numbers of any shape, such as the accuracies of one method over all cells of a
            table.

    Raises:
        StatisticsError: there are no values, or one is not finite.
    """
    ordered = np.sort(_checked([np.ravel(values)])[0])
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def interquartile_mean_interval(
    cells: Sequence[Group], resamples: int = RESAMPLES
) -> Interval | None:
    """95 % interval of the interquartile mean over all numbers of some cells: a bootstrap
    stratified by cell.

    Each cell is resampled for itself, sets and the networks within them. None where every cell has
    one number.

    Source: Agarwal et al., NeurIPS 2021, with the two levels of `bootstrap_counts` in the place of
        runs.

    Args:
        cells: a group for each cell of a table, all of one method.
        resamples: number of bootstrap samples.

    Raises:
        StatisticsError: there is no cell, or as in `summarize`.
    """
    values = np.concatenate([_pooled(group) for group in _some(cells)])
    if len(values) == len(cells):
        return None
    order = np.argsort(values)
    counts = [bootstrap_counts(group, stream, resamples) for stream, group in enumerate(cells)]
    upto = np.concatenate(counts, axis=1)[:, order].cumsum(1)
    size = upto[:, -1:]
    cut = size // 4
    kept = np.diff(upto.clip(cut, size - cut), axis=1, prepend=cut)
    return percentile_interval(kept @ values[order] / kept.sum(1))


def probability_of_improvement(cells: Iterable[tuple[ArrayLike, ArrayLike]]) -> float:
    """Probability that a number of the first method exceeds one of the second, mean over cells;
    ties count half.

    Source: Agarwal et al., NeurIPS 2021 (the Mann–Whitney statistic a cell).

    Args:
        cells: for each cell of a table the numbers (n,) of the first method and those (m,) of the
            second.

    Raises:
        StatisticsError: there is no cell, or a cell lacks numbers.
    """
    return float(np.mean([_superior(first, second).mean() for first, second in _some(list(cells))]))


def improvement_interval(
    cells: Sequence[tuple[Group, Group]], resamples: int = RESAMPLES
) -> Interval | None:
    """95 % interval of the probability of improvement: both methods resampled in each cell, sets,
    then networks.

    None where every cell has one number of each method.

    Source: Agarwal et al., NeurIPS 2021, with the two levels of `bootstrap_counts` in the place of
        runs.

    Args:
        cells: for each cell of a table the group of the first method and that of the second.
        resamples: number of bootstrap samples.

    Raises:
        StatisticsError: there is no cell, or as in `summarize`.
    """
    samples, single = np.zeros(resamples), True
    for cell, (first, second) in enumerate(_some(cells)):
        superior = _superior(_pooled(first), _pooled(second))
        single = single and superior.size == 1
        left = bootstrap_counts(first, 2 * cell, resamples)
        right = bootstrap_counts(second, 2 * cell + 1, resamples)
        samples += ((left @ superior) * right).sum(1) / (left.sum(1) * right.sum(1)) / len(cells)
    return None if single else percentile_interval(samples)


def _superior(first: ArrayLike, second: ArrayLike) -> Array:
    """Return (n, m): 1 where a number of the first exceeds one of the second, ½ where they are
    equal.
    """
    left, right = _checked([np.ravel(first), np.ravel(second)])
    difference = left[:, None] - right[None, :]
    return np.asarray((difference > 0) + 0.5 * (difference == 0))


def _pooled(group: Group) -> Array:
    return np.concatenate(_checked(group))


def _some(cells: Sequence[T]) -> Sequence[T]:
    if not cells:
        raise StatisticsError("there is no cell to compare")
    return cells


def _checked(group: Group) -> list[Array]:
    sets = [np.asarray(numbers, dtype=np.float64) for numbers in group]
    if not sets or any(numbers.size == 0 for numbers in sets):
        raise StatisticsError("a group needs at least one set, and each set at least one number")
    if not all(np.isfinite(numbers).all() for numbers in sets):
        raise StatisticsError("a group holds a number that is not finite")
    return sets


def _std_between(sets: Sequence[Array]) -> float | None:
    return float(np.std([numbers.mean() for numbers in sets], ddof=1)) if len(sets) > 1 else None


def _std_within(sets: Sequence[Array]) -> float | None:
    freedom = sum(len(numbers) - 1 for numbers in sets)
    squares = sum(float(np.square(numbers - numbers.mean()).sum()) for numbers in sets)
    return float(np.sqrt(squares / freedom)) if freedom else None
