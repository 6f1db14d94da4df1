"""The lengths at which a search looks at a distillation."""

from search_spaces.schema import Rungs

CURVE_POINTS = 200
"""Points of a distillation's loss curve, as in `distill_core.distillation.run`, which imports
torch.
"""


def choose_rung_iterations(iterations: int, rungs: Rungs) -> tuple[int, ...]:
    """Return the iterations of each rung in rising order, the last one the whole length.

    Each is about `reduction` times the one before. A shorter distillation becomes a longer one only
    if its loss curve has all the points that the longer one would have recorded, so a rung is
    shortened until it does.
    """
    found = [iterations]
    for step in range(1, rungs.count):
        wanted = max(1, iterations // rungs.reduction**step)
        fitting = (
            d
            for d in range(max(1, wanted // CURVE_POINTS), 0, -1)
            if compute_record_interval(found[-1]) % d == 0
        )
        length = min(wanted, CURVE_POINTS * (next(fitting) + 1) - 1)
        if length < found[-1]:
            found.append(length)
    return tuple(reversed(found))


def compute_record_interval(iterations: int) -> int:
    """Return how many iterations lie between two points of a distillation's loss curve."""
    return max(1, iterations // CURVE_POINTS)
