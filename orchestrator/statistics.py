"""Statistics of nested experiments: some synthetic sets, and on each of them some trained networks.

Pure functions over arrays. A *group* holds the accuracies of one cell of a table, as fractions: one array a set, one
number a network. Sets may have different numbers of networks. Published tables give the mean and the population
standard deviation over all numbers together; that hides which part comes from the set and which from the network, so
both parts are given as well, with an interval that resamples sets and, within them, networks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Group = Sequence[ArrayLike]
Interval = tuple[float, float]

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


def summarise(group: Group) -> Summary:
    """Describe a group.

    Args:
        group: one array of shape (networks,) a set, none of them empty.

    Raises:
        StatisticsError: the group or a set is empty, or a number is not finite.
    """
    sets = _checked(group)
    pooled = np.concatenate(sets)
    return Summary(
        mean=float(pooled.mean()),
        std=float(pooled.std()),
        std_sets=_std_between(sets),
        std_networks=_std_within(sets),
        interval=bootstrap_interval(sets),
        sets=len(sets),
        networks=len(pooled),
    )


def bootstrap_interval(group: Group, *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE) -> Interval | None:
    """Percentile interval of a group's mean from a two-level bootstrap over sets and the networks within them.

    With one set only networks are resampled, and the interval says nothing about other sets; with one number there is
    nothing to resample and the result is None. The generator is fixed, so equal numbers have equal intervals.

    Args:
        group: one array of shape (networks,) a set.
        resamples: number of bootstrap samples.
        confidence: probability that the interval should cover.

    Raises:
        StatisticsError: as in `summarise`.
    """
    sets = _checked(group)
    if sum(map(len, sets)) == 1:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(_bootstrap_means(sets, resamples), [tail, 1 - tail])
    return float(low), float(high)


def paired_differences(first: Mapping[int, ArrayLike], second: Mapping[int, ArrayLike]) -> list[Array]:
    """Subtract `second` from `first`, network by network, on the sets whose seed both have; the result is a group.

    Equal seeds share initial images and initial networks over methods, so what they have in common cancels.

    Args:
        first: accuracies (networks,) by the seed of the set, networks in the order of their index.
        second: the same of the other method; where it has more or fewer networks, those that only one has are left out.
    """
    pairs = [
        (np.asarray(first[seed], float), np.asarray(second[seed], float)) for seed in sorted(first) if seed in second
    ]
    cut = [(a, b, min(len(a), len(b))) for a, b in pairs]
    return [a[:n] - b[:n] for a, b, n in cut if n]


def interquartile_mean(values: ArrayLike) -> float:
    """Mean of the middle half: a quarter of the values, rounded down, is left out at each end.

    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021.

    Args:
        values: numbers of any shape, such as the accuracies of one method over all cells of a table.

    Raises:
        StatisticsError: there are no values, or one is not finite.
    """
    ordered = np.sort(_checked([np.ravel(values)])[0])
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def probability_of_improvement(cells: Iterable[tuple[ArrayLike, ArrayLike]]) -> float:
    """Probability that a number of the first method exceeds one of the second, mean over cells; ties count half.

    Source: Agarwal et al., NeurIPS 2021 (the Mann–Whitney statistic a cell).

    Args:
        cells: for each cell of a table the numbers (n,) of the first method and those (m,) of the second.

    Raises:
        StatisticsError: there is no cell, or a cell lacks numbers.
    """
    probabilities = [_superiority(*_checked([np.ravel(first), np.ravel(second)])) for first, second in cells]
    if not probabilities:
        raise StatisticsError("there is no cell to compare")
    return float(np.mean(probabilities))


def _superiority(first: Array, second: Array) -> float:
    difference = first[:, None] - second[None, :]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


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


def _bootstrap_means(sets: Sequence[Array], resamples: int) -> Array:
    """Means (resamples,) of groups drawn with replacement: first sets, then as many networks as the drawn set has."""
    random = np.random.default_rng(_BOOTSTRAP_SEED)
    counts = np.array([len(numbers) for numbers in sets])
    padded = np.zeros((len(sets), counts.max()))
    for row, numbers in zip(padded, sets, strict=True):
        row[: len(numbers)] = numbers
    chosen = random.integers(len(sets), size=(resamples, len(sets), 1))
    size = counts[chosen]
    network = (random.random((resamples, len(sets), counts.max())) * size).astype(np.int64)
    drawn = np.arange(counts.max()) < size
    return np.asarray((padded[chosen, network] * drawn).sum((1, 2)) / drawn.sum((1, 2)))
