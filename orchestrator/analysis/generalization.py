"""Generalization to other architectures: how much accuracy a set loses on them.

A drop is the accuracy with the network that a set was distilled with (the matching network) minus
that with another network, both trained on the same set. Drops are paired by set. Pure functions
over accuracies as fractions; drops are fractions too, positive where accuracy is lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from orchestrator.analysis.statistics import (
    CONFIDENCE,
    Estimate,
    Interval,
    combine_estimates,
    estimate_mean,
)

BySeed = Mapping[int, ArrayLike]
"""Accuracies (networks,) by the seed of the set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """A number computed from accuracies, such as a drop, and what is known of its error."""

    value: float
    estimate: Estimate | None
    """None where the error is unknown."""
    sets: int
    """Sets that it comes from. With one, the error is that of networks alone."""
    is_exact: bool = False
    """Whether it has no error by definition, as the difference of a method from itself."""

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval; None where the error is unknown."""
        return None if self.estimate is None else self.estimate.compute_interval()

    @property
    def is_decisive(self) -> bool:
        """Whether it says something about other sets: there are several, and they differ."""
        if self.is_exact or self.estimate is None:
            return self.is_exact
        return self.sets > 1 and self.estimate.has_error


def contrast_sets(terms: Sequence[tuple[float, BySeed]]) -> Contrast | None:
    """Return a weighted sum of mean accuracies, paired by set.

    The networks of different architectures share nothing but the set, so the means over the
    networks of a set are what is added. With one common set, the error is that of the networks.

    Args:
        terms: weights with accuracies.

    Returns:
        None where no seed has all terms.
    """
    seeds = sorted(set(terms[0][1]).intersection(*(by_seed for _, by_seed in terms[1:])))
    if not seeds:
        return None
    sums = []
    for seed in seeds:
        means = [weight * np.asarray(by_seed[seed], float).mean() for weight, by_seed in terms]
        sums.append(float(np.sum(means)))
    if len(seeds) > 1:
        estimate = estimate_mean([[each] for each in sums])
    else:
        parts = [(weight, estimate_mean([by_seed[seeds[0]]])) for weight, by_seed in terms]
        known = [(weight, part) for weight, part in parts if part is not None]
        # A term with one network has an unknown error, so that of the sum is unknown as well.
        estimate = combine_estimates(known) if len(known) == len(parts) else None
    return Contrast(value=float(np.mean(sums)), estimate=estimate, sets=len(seeds))


def compute_drop(matching: BySeed, other: BySeed) -> Contrast | None:
    """Return the drop from the matching network to another; None without a common set."""
    return contrast_sets([(1.0, matching), (-1.0, other)])


def compute_independent_contrast(terms: Sequence[tuple[float, BySeed]]) -> Contrast | None:
    """Return a weighted sum of mean accuracies of networks on the whole training set.

    They share no set, so all are independent, whatever their seed.

    Returns:
        None where a term has no accuracies.
    """
    if not all(len(by_seed) for _, by_seed in terms):
        return None
    pooled = [(weight, pool_seeds(by_seed)) for weight, by_seed in terms]
    contrast = contrast_sets(pooled)
    if contrast is None:
        return None
    counts = [np.size(by_seed[0]) for _, by_seed in pooled]
    return replace(contrast, sets=min(counts))


def compute_mean_drop(matching: BySeed, others: Sequence[BySeed]) -> Contrast | None:
    """Return the mean of the drops to several networks; None without a set that all have."""
    return contrast_sets([(1.0, matching), *((-1 / len(others), other) for other in others)])


def compute_relative_drop(
    drop: tuple[BySeed, BySeed], reference: tuple[BySeed, BySeed], *, paired: bool
) -> Contrast | None:
    """Return a drop minus that of a reference, such as networks trained on all images.

    An architecture that is weak anyway loses with the reference as well.

    Args:
        drop: accuracies with the matching network and with the other one.
        reference: the same of the reference.
        paired: whether equal seeds share images, as those of a method and of Random do.

    Returns:
        None where either has no common set.
    """
    if paired:
        own, other = [(1.0, drop[0]), (-1.0, drop[1])], [(-1.0, reference[0]), (1.0, reference[1])]
        return contrast_sets([*own, *other])
    first = compute_drop(*drop)
    second = compute_independent_contrast([(1.0, reference[0]), (-1.0, reference[1])])
    if first is None or second is None:
        return None
    estimate = None
    if first.estimate is not None and second.estimate is not None:
        estimate = combine_estimates([(1.0, first.estimate), (-1.0, second.estimate)])
    value = first.value - second.value
    return Contrast(value=value, estimate=estimate, sets=first.sets)


def pool_seeds(accuracies: BySeed) -> BySeed:
    """Return all accuracies as those of one set."""
    return {0: np.concatenate([np.ravel(each) for each in accuracies.values()])}


def compute_largest_interval(
    estimates: Sequence[Estimate], confidence: float = CONFIDENCE
) -> Interval:
    """Return an interval of the largest of several numbers, corrected for choosing it.

    The largest estimate is too large on average, because it was chosen. The lower end is the
    largest of lower ends whose errors are divided by the number of candidates (Bonferroni). The
    upper end needs no correction: it is at least the upper end of the number that is really the
    largest. So the interval covers at least as often as it says, however the estimates depend on
    each other.

    Args:
        estimates: at least one.
        confidence: probability that the interval covers the largest number.
    """
    tail = (1 - confidence) / 2
    low = max(each.value - each.compute_margin(tail / len(estimates)) for each in estimates)
    high = max(each.value + each.compute_margin(tail) for each in estimates)
    return low, high


def compute_largest(contrasts: Sequence[Contrast]) -> tuple[int, Interval | None]:
    """Return the place of the largest of some contrasts, and the interval of the largest.

    The interval is None where an error is unknown.

    Args:
        contrasts: at least one.
    """
    place = int(np.argmax([contrast.value for contrast in contrasts]))
    estimates = [contrast.estimate for contrast in contrasts if contrast.estimate is not None]
    if len(estimates) < len(contrasts):
        return place, None
    return place, compute_largest_interval(estimates)


def rank_methods(means: Sequence[float]) -> list[int]:
    """Return the rank of each method, 1 for the highest mean; equal means share the best rank."""
    return [1 + sum(other > mean for other in means) for mean in means]


def compute_rank_agreement(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Kendall's τ-b of two rankings of the same methods.

    It is 1 where the orders agree and −1 where they are reversed.

    Source: Kendall, "The treatment of ties in ranking problems", 1945, as in SciPy.

    Args:
        first: a mean for each method, with one network.
        second: a mean for each method, with another network.

    Returns:
        None where it is undefined: fewer than two methods, or all means equal.
    """
    if len(first) < 2:
        return None
    # By hand, because importing SciPy's takes longer than all other imports of a report together.
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    pairs = np.triu_indices(len(x), k=1)
    across, up = np.sign(np.subtract.outer(x, x)[pairs]), np.sign(np.subtract.outer(y, y)[pairs])
    differing = np.sqrt(float(np.abs(across).sum()) * float(np.abs(up).sum()))
    return float((across * up).sum()) / differing if differing else None
