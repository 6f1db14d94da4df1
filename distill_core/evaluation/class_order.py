"""The order in which classes arrive in class-incremental learning.

Planning reads it, so it is free of torch.
"""

from distill_core.settings import SettingsError

MAX_SEED = 2**32 - 1


def draw_class_order(classes: int, seed: int) -> tuple[int, ...]:
    """Return class order number `seed` of the DM protocol.

    It is numpy's legacy permutation after `np.random.seed(seed)`.

    Raises:
        SettingsError: the seed is not in 0 … 2³² − 1, the seeds of numpy.
    """
    if not 0 <= seed <= MAX_SEED:
        raise SettingsError(f"seed is {seed}; the seed of a class order must lie in 0 … {MAX_SEED}")
    # Planning imports this module, and only plans of class-incremental learning need numpy.
    import numpy as np

    return tuple(np.random.RandomState(seed).permutation(classes).tolist())


def split_class_order(classes: int, steps: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Cut class order number `seed` into steps of equally many classes.

    Raises:
        SettingsError: `steps` does not divide `classes`; the message suggests divisors nearby.
    """
    if steps < 1 or classes % steps:
        divisors = [d for d in range(1, classes + 1) if classes % d == 0]
        below = [d for d in divisors if d < steps][-1:]
        above = [d for d in divisors if d > steps][:1]
        raise SettingsError(
            f"steps is {steps}, which does not divide {classes} classes; try"
            f" {' or '.join(map(str, below + above))}"
        )
    order, size = draw_class_order(classes, seed), classes // steps
    return tuple(order[start : start + size] for start in range(0, classes, size))
