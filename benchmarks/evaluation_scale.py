"""Extrapolation of short rounds to whole evaluations, and comparison of sides."""

from collections.abc import Mapping
from dataclasses import dataclass

from clock import Times, spread

PUBLISHED_EPOCHS, PUBLISHED_TEST_IMAGES = 1001, 10_000
OURS = "ours"


@dataclass(frozen=True)
class Scale:
    """Size of a round, to extrapolate from few epochs and test images to a whole evaluation."""

    epochs: int
    test_images: int

    def epoch(self, measured: dict[str, float], suffix: str = "") -> float:
        """Return the seconds of one epoch."""
        return measured[f"train{suffix}"] / self.epochs

    def test(self, measured: dict[str, float], suffix: str = "") -> float:
        """Return the seconds of a whole test."""
        return measured[f"test{suffix}"] / self.test_images * PUBLISHED_TEST_IMAGES

    def whole(self, measured: dict[str, float], suffix: str = "") -> float:
        """Return the seconds of a whole evaluation."""
        return PUBLISHED_EPOCHS * self.epoch(measured, suffix) + self.test(measured, suffix)


def compare_sides(times: Mapping[str, Times], scale: Scale) -> dict[str, dict[str, object]]:
    """Compare every side with each of ours."""
    ratios = {}
    for ours in times:
        if not ours.startswith(OURS):
            continue
        for side in times:
            if side != ours:
                ratios[f"{side} / {ours}"] = compute_ratios(times[ours], times[side], scale)
    return ratios


def summarize(rounds: Times, scale: Scale) -> dict[str, object]:
    """Return the spread of an epoch, of the test, and of whole evaluations per second."""
    result: dict[str, object] = {}
    for suffix in ("", " processor"):
        result[f"epoch{suffix}"] = spread([scale.epoch(one, suffix) for one in rounds])
        result[f"test{suffix}"] = spread([scale.test(one, suffix) for one in rounds])
        result[f"networks a second{suffix}"] = spread(
            [1 / scale.whole(one, suffix) for one in rounds]
        )
    return result


def compute_ratios(ours: Times, others: Times, scale: Scale) -> dict[str, object]:
    """Return how many times longer the other side takes, round by round."""
    parts = {"evaluation": scale.whole, "training": scale.epoch, "test": scale.test}
    result: dict[str, object] = {}
    for suffix in ("", " processor"):
        for part, seconds in parts.items():
            pairs = zip(ours, others, strict=True)
            ratios = [seconds(other, suffix) / seconds(our, suffix) for our, other in pairs]
            result[f"{part}{suffix}"] = spread(ratios)
    return result
