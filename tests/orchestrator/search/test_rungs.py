import itertools

from hypothesis import given
from hypothesis import strategies as st

from distill_core.distillation import run
from orchestrator.search.rungs import CURVE_POINTS, choose_rung_iterations, compute_record_interval
from search_spaces.schema import Rungs


def test_the_curve_has_as_many_points_as_the_loop_records():
    assert CURVE_POINTS == run.CURVE_POINTS


@given(iterations=st.integers(1, 100_000), count=st.integers(1, 6), reduction=st.integers(2, 6))
def test_rungs_rise_to_the_whole_length_and_each_has_the_points_of_the_next(
    iterations, count, reduction
):
    lengths = choose_rung_iterations(iterations, Rungs(count=count, reduction=reduction))
    assert lengths[-1] == iterations and len(lengths) <= count and lengths[0] >= 1
    for shorter, longer in itertools.pairwise(lengths):
        assert (
            shorter < longer
            and compute_record_interval(longer) % compute_record_interval(shorter) == 0
        )
    assert all(
        length <= max(1, iterations // reduction**k) for k, length in enumerate(reversed(lengths))
    )


def test_short_distillations_are_cut_by_the_factor():
    assert choose_rung_iterations(90, Rungs()) == (10, 30, 90)
    assert choose_rung_iterations(20_000, Rungs(reduction=4)) == (1199, 5000, 20_000)
    assert choose_rung_iterations(1, Rungs()) == (1,)
