import subprocess
import sys

import numpy as np
import pytest

from distill_core.evaluation.class_order import draw_class_order, split_class_order
from distill_core.settings import SettingsError


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [10, 100])
def test_orders_are_those_of_the_legacy_global_generator(classes, seed):
    before = np.random.get_state()
    np.random.seed(seed)
    expected = np.random.permutation(classes).tolist()
    np.random.set_state(before)
    assert draw_class_order(classes, seed) == tuple(expected)


def test_order_never_changes():
    assert draw_class_order(10, 0) == (2, 8, 4, 9, 1, 6, 7, 3, 0, 5)


@pytest.mark.parametrize("steps", [1, 5, 10, 100])
def test_steps_are_the_order_cut_in_equal_parts(steps):
    parts = split_class_order(100, steps, 3)
    assert [len(part) for part in parts] == [100 // steps] * steps
    assert sum(parts, ()) == draw_class_order(100, 3)


@pytest.mark.parametrize(
    ("steps", "nearby"),
    [(3, "try 2 or 5"), (0, "try 1"), (-2, "try 1"), (11, "try 10"), (7, "try 5 or 10")],
)
def test_steps_that_do_not_divide_the_classes_are_refused(steps, nearby):
    with pytest.raises(SettingsError, match=f"steps is {steps}, .* 10 classes; {nearby}$"):
        split_class_order(10, steps, 0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_that_numpy_does_not_take_is_refused(seed):
    with pytest.raises(SettingsError, match=f"seed is {seed}"):
        draw_class_order(10, seed)


def test_planning_gets_class_orders_without_torch():
    code = "import sys, distill_core.evaluation.class_order; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
