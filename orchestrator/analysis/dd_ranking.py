"""DD-Ranking's scores: how much of an accuracy the synthetic set contributes.

The scores separate it from the contribution of labels or augmentation. Source: Li et al.,
"DD-Ranking: Rethinking the Evaluation of Dataset Distillation", 2025, arXiv 2505.13300, with equal
weights (w = γ = ½). Pure functions over accuracies as fractions; margins and scores are fractions
too. A score grows with its margin: 0 at −1, 0.269 at 0, 1 at +1.

Intervals are those of the margin (Student's t, see `statistics`). A score grows with its margin, so
their ends are scores too. A synthetic and a random set with the same seed share initial images
and networks, so their accuracies are paired by seed and network. Networks trained on the whole
training set are independent of both.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestrator.analysis.statistics import (
    Estimate,
    Group,
    Interval,
    combine_estimates,
    estimate_mean,
    summarize,
)

Array = NDArray[np.float64]
BySeed = Mapping[int, ArrayLike]
"""Accuracies (networks,) by the seed of the set, networks in the order of their index."""
Number = TypeVar("Number", float, Array)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelRobustness:
    """The label-robust score and its parts."""

    ior: float
    """Improvement over random: accuracy on the synthetic set minus that on the random set."""
    hlr: float
    """Hard label recovery: accuracy on the whole training set minus that on the synthetic set.

    Both are with hard labels. Lower is better.
    """
    score: float
    """LRS of α = ½·IOR − ½·HLR."""
    interval: Interval | None
    """95 %; None with one network each."""
    sets: int
    """Pairs of sets with a common seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentationRobustness:
    """The augmentation-robust score and its parts."""

    augmented: float
    """Improvement over random with augmentation in the evaluation."""
    plain: float
    """Improvement over random without."""
    score: float
    """ARS of β = ½·augmented + ½·plain."""
    interval: Interval | None
    """95 %; None with one network each."""
    sets: int
    """Seeds that all four have."""


def normalized_score(margin: Number) -> Number:
    """Return (e^x − e^−1) / (e − e^−1) of margins x in [−1, 1]: 0 at −1, 1 at 1."""
    value: Number = (np.exp(margin) - math.exp(-1)) / (math.e - math.exp(-1))
    return value


def label_robust_score(synthetic: BySeed, random: BySeed, whole: Group) -> LabelRobustness | None:
    """Score a method by its distance to random images and to the whole training set.

    All are evaluated with hard labels.

    Args:
        synthetic: accuracies on the method's sets.
        random: accuracies on random images, with the same evaluation.
        whole: a group, the accuracies of networks trained on the whole training set.

    Returns:
        None where no seed has both sets.

    Raises:
        StatisticsError: a number is not finite, or `whole` is empty.
    """
    pairs = _join_seeds(synthetic, random)
    if not pairs:
        return None
    synthetic_mean = float(np.concatenate([a for a, _ in pairs]).mean())
    random_mean = float(np.concatenate([b for _, b in pairs]).mean())
    ior = synthetic_mean - random_mean
    hlr = summarize(whole).mean - synthetic_mean
    # α = ½·(synthetic − random) − ½·(whole − synthetic) is the mean of a paired group,
    # synthetic − ½·random, minus ½ of the mean of an independent one, whole. The networks of the
    # latter share no set, so they count one by one.
    paired = estimate_mean([a - b / 2 for a, b in pairs])
    top = estimate_mean([np.concatenate([np.ravel(numbers) for numbers in whole])])
    terms = [(1.0, paired), (-0.5, top)]
    return LabelRobustness(
        ior=ior,
        hlr=hlr,
        score=float(normalized_score(ior / 2 - hlr / 2)),
        interval=_score_interval(ior / 2 - hlr / 2, terms),
        sets=len(pairs),
    )


def augmentation_robust_score(
    synthetic: BySeed, random: BySeed, synthetic_plain: BySeed, random_plain: BySeed
) -> AugmentationRobustness | None:
    """Score a method by its distance to random images, with and without augmentation.

    Args:
        synthetic: accuracies on the method's sets, evaluated with augmentation.
        random: accuracies on random images, evaluated with augmentation.
        synthetic_plain: accuracies on the same synthetic sets, evaluated without.
        random_plain: accuracies on the same random images, evaluated without.

    Returns:
        None where no seed has all four.

    Raises:
        StatisticsError: a number is not finite.
    """
    joined = _join_seeds(synthetic, random, synthetic_plain, random_plain)
    if not joined:
        return None
    augmented = float(np.concatenate([a - b for a, b, _, _ in joined]).mean())
    plain = float(np.concatenate([c - d for _, _, c, d in joined]).mean())
    margins = estimate_mean([((a - b) + (c - d)) / 2 for a, b, c, d in joined])
    return AugmentationRobustness(
        augmented=augmented,
        plain=plain,
        score=float(normalized_score((augmented + plain) / 2)),
        interval=_score_interval((augmented + plain) / 2, [(1.0, margins)]),
        sets=len(joined),
    )


def _join_seeds(*accuracies: BySeed) -> list[tuple[Array, ...]]:
    """Return the accuracies of each seed that all have, cut to the networks that all have."""
    joined = []
    for seed in sorted(set(accuracies[0]).intersection(*accuracies[1:])):
        arrays = [np.asarray(by_seed[seed], dtype=np.float64) for by_seed in accuracies]
        networks = min(map(len, arrays))
        if networks:
            joined.append(tuple(array[:networks] for array in arrays))
    return joined


def _score_interval(
    margin: float, terms: Sequence[tuple[float, Estimate | None]]
) -> Interval | None:
    """Return the interval of the score of a margin; None where no part of it has an error.

    Args:
        margin: the weighted sum of all parts.
        terms: weights and estimates of its independent parts; None for a single number.
    """
    known = [(weight, estimate) for weight, estimate in terms if estimate is not None]
    if not known:
        return None
    error_only = [
        (weight, Estimate(value=0.0, error=each.error, freedom=each.freedom))
        for weight, each in known
    ]
    low, high = combine_estimates(error_only, margin).compute_interval()
    # A margin cannot leave [−1, 1], nor a score [0, 1].
    return float(normalized_score(max(low, -1.0))), float(normalized_score(min(high, 1.0)))
