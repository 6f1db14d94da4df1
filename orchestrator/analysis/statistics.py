"""Statistics of nested experiments: several synthetic sets, and several networks on each.

Pure functions over arrays. A *group* holds the accuracies of one entry of a table, as fractions:
one array per set, one number per network. Sets may have different numbers of networks. Published
tables give the mean and the population standard deviation over all numbers together. That hides
which part comes from the set and which from the network, so both parts are given as well, with an
interval that resamples sets and, within them, networks. The formulas are in `docs/statistics.md`.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

Array = NDArray[np.float64]
Group = Sequence[ArrayLike]
Interval = tuple[float, float]

RESAMPLES = 5000
CONFIDENCE = 0.95
_BOOTSTRAP_SEED = 0


class StatisticsError(ValueError):
    """There are no numbers to describe, or a number is not finite."""


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
    """95 % interval of the mean (two-level bootstrap); None with one number."""
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
    sets = _check(group)
    pooled = _pool(sets)
    return GroupSummary(
        mean=float(pooled.mean()),
        std=float(pooled.std()),
        std_sets=_compute_std_between(sets),
        std_networks=_compute_std_within(sets),
        interval=bootstrap_interval(sets),
        sets=len(sets),
        networks=len(pooled),
    )


def bootstrap_interval(
    group: Group, *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Interval | None:
    """Return the percentile interval of a group's mean from a two-level bootstrap.

    Sets are resampled, and the networks within them. With one set only networks are resampled, and
    the interval says nothing about other sets. With one number there is nothing to resample, and
    the result is None. The generator's seed is fixed, so equal numbers have equal intervals.

    Args:
        group: one array of shape (networks,) per set.
        resamples: number of bootstrap samples.
        confidence: probability that the interval should cover.

    Raises:
        StatisticsError: as in `summarize`.
    """
    sets = _check(group)
    if sum(map(len, sets)) == 1:
        return None
    return percentile_interval(bootstrap_means(sets, resamples=resamples), confidence)


def bootstrap_means(group: Group, stream: int = 0, resamples: int = RESAMPLES) -> Array:
    """Return the means (resamples,) of bootstrap samples of a group (see `bootstrap_counts`)."""
    counts = bootstrap_counts(group, stream, resamples)
    return np.asarray(counts @ _pool(group) / counts.sum(1))


def bootstrap_counts(group: Group, stream: int = 0, resamples: int = RESAMPLES) -> Array:
    """Return how often each number of a group is in each of its bootstrap samples.

    A sample draws as many sets as there are, with replacement, and then from each drawn set as many
    networks as it has.

    Args:
        group: one array of shape (networks,) per set.
        stream: groups with the same stream share their draws; independent groups need different
            streams.
        resamples: number of bootstrap samples.

    Returns:
        Whole numbers as float64, (resamples, numbers), the numbers of one set after another.

    Raises:
        StatisticsError: as in `summarize`.
    """
    sizes = tuple(numbers.size for numbers in _check(group))
    return _draw_counts(sizes, stream, resamples).astype(np.float64)


@functools.lru_cache(maxsize=64)  # A report has few shapes of groups, but many groups of each.
def _draw_counts(sizes: tuple[int, ...], stream: int, resamples: int) -> NDArray[np.uint16]:
    random = np.random.default_rng(_BOOTSTRAP_SEED + stream)
    size, total = np.array(sizes), sum(sizes)
    starts = np.cumsum(size) - size
    chosen = random.integers(len(size), size=(resamples, len(size), 1))
    # Every drawn set gets the draws of the largest; those beyond its size are left out.
    network = (random.random((resamples, len(size), size.max())) * size[chosen]).astype(np.int64)
    is_used = np.arange(size.max()) < size[chosen]
    # Each sample has a range of `total` places, so that one bincount counts all samples.
    place = total * np.arange(resamples)[:, None, None] + starts[chosen] + network
    counts = np.bincount(place[is_used], minlength=resamples * total)
    return counts.reshape(resamples, total).astype(np.uint16)


def percentile_interval(samples: Array, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval that leaves out equal shares of samples (resamples,) at both ends."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def differs_from_zero(group: Group, *, confidence: float = CONFIDENCE) -> bool:
    """Return whether a group's mean clearly differs from zero: Student's t test over its sets.

    It is stricter than a bootstrap of two to five sets, whose interval is too narrow (see
    docs/statistics.md). With one set the result is False, because nothing is known of other sets.

    Args:
        group: one array of shape (networks,) per set, such as paired differences.
        confidence: of the two-sided test.

    Raises:
        StatisticsError: as in `summarize`.
    """
    means = np.array([numbers.mean() for numbers in _check(group)])
    if len(means) < 2:
        return False
    margin = t.ppf((1 + confidence) / 2, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return bool(abs(means.mean()) > margin)


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


def interquartile_mean(values: ArrayLike) -> float:
    """Return the mean of the middle half of some values.

    A quarter of the values, rounded down, is left out at each end.

    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
        NeurIPS 2021.

    Args:
        values: numbers of any shape, such as the accuracies of one method over all cells.

    Raises:
        StatisticsError: there are no values, or one is not finite.
    """
    ordered = np.sort(_check([np.ravel(values)])[0])
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def interquartile_mean_interval(
    cells: Sequence[Group], resamples: int = RESAMPLES
) -> Interval | None:
    """Return the 95 % interval of the interquartile mean over all numbers of some cells.

    It is from a bootstrap stratified by cell: each cell is resampled separately, sets and the
    networks within them. None where every cell has one number.

    Source: Agarwal et al., NeurIPS 2021, with the two levels of `bootstrap_counts` instead of runs.

    Args:
        cells: a group for each cell, all of one method.
        resamples: number of bootstrap samples.

    Raises:
        StatisticsError: there is no cell, or as in `summarize`.
    """
    _require_cells(cells)
    values = np.concatenate([_pool(group) for group in cells])
    if len(values) == len(cells):
        return None
    counts = [bootstrap_counts(group, stream, resamples) for stream, group in enumerate(cells)]
    # The numbers of a sample in ascending order are the sorted values, each as often as it was
    # drawn. The clipped cumulative counts keep the middle half of them, without building samples.
    order = np.argsort(values)
    cumulative = np.concatenate(counts, axis=1)[:, order].cumsum(1)
    size = cumulative[:, -1:]
    cut = size // 4
    kept = np.diff(cumulative.clip(cut, size - cut), axis=1, prepend=cut)
    return percentile_interval(kept @ values[order] / kept.sum(1))


def probability_of_improvement(cells: Iterable[tuple[ArrayLike, ArrayLike]]) -> float:
    """Return the probability that a number of the first method exceeds one of the second.

    It is the mean over cells; ties count half.

    Source: Agarwal et al., NeurIPS 2021 (the Mann–Whitney statistic of each cell).

    Args:
        cells: for each cell the numbers (n,) of the first method and those (m,) of the second.

    Raises:
        StatisticsError: there is no cell, or a cell lacks numbers.
    """
    pairs = list(cells)
    _require_cells(pairs)
    return float(np.mean([_compare(first, second).mean() for first, second in pairs]))


def improvement_interval(
    cells: Sequence[tuple[Group, Group]], resamples: int = RESAMPLES
) -> Interval | None:
    """Return the 95 % interval of the probability of improvement.

    Both methods are resampled in each cell, sets and then networks. None where every cell has one
    number of each method.

    Source: Agarwal et al., NeurIPS 2021, with the two levels of `bootstrap_counts` instead of runs.

    Args:
        cells: for each cell the group of the first method and that of the second.
        resamples: number of bootstrap samples.

    Raises:
        StatisticsError: there is no cell, or as in `summarize`.
    """
    _require_cells(cells)
    samples, is_single = np.zeros(resamples), True
    for cell, (first, second) in enumerate(cells):
        exceeds = _compare(_pool(first), _pool(second))
        is_single = is_single and exceeds.size == 1
        # Two streams per cell, because all groups are independent of each other.
        left = bootstrap_counts(first, 2 * cell, resamples)
        right = bootstrap_counts(second, 2 * cell + 1, resamples)
        samples += ((left @ exceeds) * right).sum(1) / (left.sum(1) * right.sum(1)) / len(cells)
    return None if is_single else percentile_interval(samples)


def _compare(first: ArrayLike, second: ArrayLike) -> Array:
    """Return (n, m): 1 where a number of the first exceeds one of the second, ½ for ties."""
    left, right = _check([np.ravel(first), np.ravel(second)])
    difference = left[:, None] - right[None, :]
    return np.asarray((difference > 0) + 0.5 * (difference == 0))


def _pool(group: Group) -> Array:
    return np.concatenate(_check(group))


def _require_cells(cells: Sequence[object]) -> None:
    if not cells:
        raise StatisticsError("there is no cell to compare")


def _check(group: Group) -> list[Array]:
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
