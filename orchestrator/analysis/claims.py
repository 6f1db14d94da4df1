"""Verdicts on claims: whether differences reach a bound, given what is known of their error.

A claim is about one cell or several: the largest of them ("gains of up to 6.6 points") or the
smallest ("gains of at least 1 point everywhere"). Pure functions over estimates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.analysis.generalization import Contrast, compute_largest_interval
from orchestrator.analysis.statistics import CONFIDENCE, Estimate, Interval

Ruling = Literal["supported", "contradicted", "undecided"]

MAX_MORE_SETS = 10_000
"""Sets beyond which nobody would go to decide a claim."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """What a number is compared with, in the number's unit."""

    value: float
    is_upper: bool
    """Whether the number has to be at most the bound, otherwise at least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgment:
    """What is known of a claim."""

    ruling: Ruling
    place: int
    """Which cell has the largest or smallest value."""
    value: float
    interval: Interval | None
    """95 %, corrected for taking the largest or smallest; None where an error is unknown."""
    more_sets: int | None
    """How many more sets per cell would decide, if means and spreads stay as they are. None: it is
    decided, or nothing is known of other sets, or more than MAX_MORE_SETS would be needed.
    """


def judge(
    contrasts: Sequence[Contrast], bound: Bound, *, largest: bool, is_complete: bool = True
) -> Judgment:
    """Judge a claim about the largest or smallest of some numbers.

    It is supported where the whole interval is on the bound's good side, contradicted where it is
    on the other side, and undecided in between.

    Args:
        contrasts: one per cell, at least one.
        bound: what the claim says.
        largest: whether it is about the largest number, otherwise the smallest.
        is_complete: whether every cell of the claim was measured. If not, the largest may still be
            elsewhere, so it can only turn out to be larger; likewise the smallest.
    """
    values = [contrast.value for contrast in contrasts]
    place = values.index(max(values) if largest else min(values))
    # A single set says nothing about others, so its error does not decide; nor do sets that agree.
    estimates = [each.estimate for each in contrasts if each.is_decisive and each.estimate]
    if len(estimates) < len(contrasts):
        shown = [each.estimate for each in contrasts if each.estimate is not None]
        interval = _compute_interval(shown, largest) if len(shown) == len(contrasts) else None
        return Judgment(
            ruling="undecided", place=place, value=values[place], interval=interval, more_sets=None
        )
    interval = _compute_interval(estimates, largest)
    ruling = _rule(interval, bound)
    if not is_complete and _may_change(ruling, bound, largest):
        return Judgment(
            ruling="undecided", place=place, value=values[place], interval=interval, more_sets=None
        )
    more = None
    if ruling == "undecided":
        more = count_more_sets(contrasts, bound, largest=largest)
    return Judgment(
        ruling=ruling, place=place, value=values[place], interval=interval, more_sets=more
    )


def count_more_sets(contrasts: Sequence[Contrast], bound: Bound, *, largest: bool) -> int | None:
    """Return how many more sets per cell would decide a claim; None beyond MAX_MORE_SETS.

    Means and spreads are assumed to stay as they are, and every cell to get as many.

    Args:
        contrasts: of at least two sets each.
        bound: what the claim says.
        largest: whether it is about the largest number.
    """

    def is_decided(more: int) -> bool:
        estimates = [_add_sets(contrast, more) for contrast in contrasts]
        return _rule(_compute_interval(estimates, largest), bound) != "undecided"

    low, high = 0, MAX_MORE_SETS
    if not is_decided(high):
        return None
    # Intervals only shrink, so the first number that decides is found by halving.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_decided(middle) else (middle, high)
    return high


def _add_sets(contrast: Contrast, more: int) -> Estimate:
    if contrast.estimate is None:
        raise ValueError("a number without an error cannot be judged")
    shrink = math.sqrt(contrast.sets / (contrast.sets + more))
    return replace(
        contrast.estimate,
        error=contrast.estimate.error * shrink,
        freedom=contrast.estimate.freedom + more,
    )


def _compute_interval(estimates: Sequence[Estimate], largest: bool) -> Interval:
    if largest:
        return compute_largest_interval(estimates, CONFIDENCE)
    mirrored = [replace(each, value=-each.value) for each in estimates]
    low, high = compute_largest_interval(mirrored, CONFIDENCE)
    return -high, -low


def _rule(interval: Interval, bound: Bound) -> Ruling:
    low, high = interval
    if bound.is_upper:
        low, high = -high, -low
    limit = -bound.value if bound.is_upper else bound.value
    if low >= limit:
        return "supported"
    return "contradicted" if high < limit else "undecided"


def _may_change(ruling: Ruling, bound: Bound, largest: bool) -> bool:
    """Return whether cells that were not measured could change a ruling.

    With more cells the largest grows and the smallest falls.
    """
    grows_towards_support = largest != bound.is_upper
    return ruling == ("contradicted" if grows_towards_support else "supported")
