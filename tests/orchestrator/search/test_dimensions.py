import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.search.dimensions import ZERO_SHARE, Dimension
from search_spaces.schema import Range

WEIGHT = Dimension("distillation.lambda_cc", Range(low=0.001, high=10, log=True, zero=True))
STEP = Dimension("distillation.lr_img", Range(low=1, high=30))


@pytest.mark.parametrize("dimension", [WEIGHT, STEP])
@given(position=st.floats(0, 1))
def test_positions_and_values_are_inverse_up_to_the_digits_of_a_value(dimension, position):
    value = dimension.value(position)
    assert value == 0 or dimension.range.low <= value <= dimension.range.high
    assert dimension.value(dimension.position(value)) == value
    if value:
        assert dimension.position(value) == pytest.approx(position, abs=0.002)


def test_a_fifth_of_the_positions_is_exactly_zero_and_the_rest_is_logarithmic():
    assert (
        WEIGHT.value(ZERO_SHARE - 1e-9) == 0.0
        and WEIGHT.value(ZERO_SHARE) == 0.001
        and WEIGHT.value(1.0) == 10
    )
    assert WEIGHT.value((1 + ZERO_SHARE) / 2) == pytest.approx(0.1)
    assert STEP.value(0.0) == 1 and STEP.value(0.5) == 15.5


@pytest.mark.parametrize(
    ("value", "position"), [(1e-9, ZERO_SHARE), (1e9, 1.0), (0.0, ZERO_SHARE / 2)]
)
def test_values_outside_the_range_lie_at_its_ends(value, position):
    assert math.isclose(WEIGHT.position(value), position)


def test_the_grid_has_zero_and_evenly_spaced_positions():
    assert WEIGHT.grid() == (0.0, 0.001, 0.01, 0.1, 1.0, 10.0)
    assert Dimension("distillation.lr_img", Range(low=1, high=3, points=3)).grid() == (
        1.0,
        2.0,
        3.0,
    )
