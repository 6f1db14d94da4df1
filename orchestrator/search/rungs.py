"""The rungs of a search: lengths at which a distillation is evaluated."""

from search_spaces.schema import Rungs

CURVE_POINTS = 200
"""Points of a distillation's loss curve, as in `distill_core.distillation.run`, which imports
torch.
"""


def choose_rung_iterations(iterations: int, rungs: Rungs) -> tuple[int, ...]:
    """Return the iterations of each rung in increasing order; the last has the full length.

    Each rung has about `reduction` times the iterations of the one before. A shorter distillation
    can be continued to a longer one only if its loss curve has all the points that the longer one
    would have recorded. So a rung is shortened until its interval between two points divides that
    of the next rung.

    Args:
        iterations: the full length.
        rungs: how many, and the reduction.
    """
    lengths = [iterations]
    for step in range(1, rungs.count):
        wanted = max(1, iterations // rungs.reduction**step)
        interval = max(1, wanted // CURVE_POINTS)
        # Ends at 1 at the latest, which divides everything.
        while compute_record_interval(lengths[-1]) % interval:
            interval -= 1
        longest = CURVE_POINTS * (interval + 1) - 1  # the last length with this interval
        length = min(wanted, longest)
        if length < lengths[-1]:
            lengths.append(length)
    return tuple(reversed(lengths))


def compute_record_interval(iterations: int) -> int:
    """Return the number of iterations between two points of a distillation's loss curve."""
    return max(1, iterations // CURVE_POINTS)
