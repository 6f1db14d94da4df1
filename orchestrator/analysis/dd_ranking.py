"""DD-Ranking's scores: how much of an accuracy is the synthetic set's own, whatever the labels or
the augmentation.

Source: Li et al., "DD-Ranking: Rethinking the Evaluation of Dataset Distillation", 2025, arXiv
2505.13300, with equal weights (w = γ = ½). Pure functions over accuracies as fractions; margins and
scores are fractions too. A score grows with its margin: 0 at −1, 0.269 at 0, 1 at +1.

Intervals bootstrap the whole score. A synthetic and a random set of one seed share initial images
and networks, so they are resampled together: sets by seed, then networks by index. Networks trained
on the whole training set are resampled for themselves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestrator.analysis.statistics import (
    Group,
    Interval,
    bootstrap_means,
    percentile_interval,
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
    """Improvement over random: accuracy on the synthetic minus that on the random set, same
    evaluation.
    """
    hlr: float
    """Hard label recovery: accuracy on the whole training set minus that on the synthetic set, both
    with hard labels; lower is better."""
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
    """Score a method by its distance to random images and to the whole training set, all with hard
    labels.

    Args:
        synthetic: accuracies on the method's sets.
        random: those on random images, same evaluation.
        whole: those of networks trained on the whole training set, a group.

    Returns:
        None where no seed has both sets.

    Raises:
        StatisticsError: a number is not finite, or `whole` is empty.
    """
    pairs = _joined(synthetic, random)
    if not pairs:
        return None
    own, other = (float(np.concatenate([pair[i] for pair in pairs]).mean()) for i in (0, 1))
    top = summarize(whole).mean
    # α = ½·(own − other) − ½·(whole − own) is one paired group and one of its own.
    paired = [pair[0] - pair[1] / 2 for pair in pairs]
    margins = bootstrap_means(paired) - bootstrap_means(whole, stream=1) / 2
    single = sum(map(len, paired)) == 1 and sum(np.size(numbers) for numbers in whole) == 1
    return LabelRobustness(
        ior=own - other,
        hlr=top - own,
        score=float(normalized_score((own - other) / 2 - (top - own) / 2)),
        interval=None if single else percentile_interval(normalized_score(margins)),
        sets=len(pairs),
    )


def augmentation_robust_score(
    synthetic: BySeed, random: BySeed, synthetic_plain: BySeed, random_plain: BySeed
) -> AugmentationRobustness | None:
    """Score a method by its distance to random images, with and without augmentation in the
    evaluation.

    Args:
        synthetic: accuracies on the method's sets with augmentation.
        random: those on random images with augmentation.
        synthetic_plain: those on the same synthetic sets without.
        random_plain: those on the same random images without.

    Returns:
        None where no seed has all four.

    Raises:
        StatisticsError: a number is not finite.
    """
    joined = _joined(synthetic, random, synthetic_plain, random_plain)
    if not joined:
        return None
    augmented = float(np.concatenate([a - b for a, b, _, _ in joined]).mean())
    plain = float(np.concatenate([c - d for _, _, c, d in joined]).mean())
    margins = [((a - b) + (c - d)) / 2 for a, b, c, d in joined]
    single = sum(map(len, margins)) == 1
    return AugmentationRobustness(
        augmented=augmented,
        plain=plain,
        score=float(normalized_score((augmented + plain) / 2)),
        interval=None
        if single
        else percentile_interval(normalized_score(bootstrap_means(margins))),
        sets=len(joined),
    )


def _joined(*accuracies: BySeed) -> list[tuple[Array, ...]]:
    """Return, for each seed that all have, their accuracies cut to the networks that all have."""
    seeds = sorted(set(accuracies[0]).intersection(*accuracies[1:]))
    found = [
        [np.asarray(by_seed[seed], dtype=np.float64) for by_seed in accuracies] for seed in seeds
    ]
    cut = [(arrays, min(map(len, arrays))) for arrays in found]
    return [tuple(array[:n] for array in arrays) for arrays, n in cut if n]
