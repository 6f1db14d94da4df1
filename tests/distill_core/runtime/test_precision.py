"""The flags of cuDNN, which exist on machines without a GPU too."""

import itertools
import warnings

import pytest
import torch

from distill_core.runtime.precision import use_precision

cudnn = torch.backends.cudnn


def read():
    try:
        legacy = cudnn.allow_tf32
    except RuntimeError:
        legacy = "refused"
    return cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, legacy


@pytest.fixture(autouse=True)
def _restored():
    yield
    cudnn.allow_tf32 = True
    cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "tf32"


STATES = list(itertools.product((True, False), ("tf32", "ieee", "none"), ("tf32", "ieee", "none")))


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("state", STATES, ids=str)
def test_all_flags_agree_inside_and_are_as_before_outside(precision, state):
    cudnn.allow_tf32, wanted = state[0], precision != "float32"
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = state[1:]
    before = read()
    with use_precision(precision):
        kind = "tf32" if wanted else "ieee"
        assert read() == (kind, kind, wanted)
        with use_precision("float32"):
            assert read() == ("ieee", "ieee", False)
        assert read() == (kind, kind, wanted)
        with cudnn.flags(enabled=True, allow_tf32=wanted):  # reads the legacy flag
            assert read()[2] == wanted
        assert read()[2] == wanted
    assert read() == before
    # The legacy flag itself, which cannot be read where the flags disagree.
    cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "tf32"
    assert read()[2] == (True if state[0] else "refused")


def test_a_precision_of_everything_changes_nothing_inside():
    torch.backends.fp32_precision = "tf32"
    try:
        with use_precision("float32"):
            assert read() == ("ieee", "ieee", False)
    finally:
        torch.backends.fp32_precision = "none"


def test_flags_are_restored_after_an_error_and_nothing_is_warned_of():
    before = read()
    with (
        warnings.catch_warnings(),
        pytest.raises(ZeroDivisionError),
        use_precision("float32"),
    ):
        warnings.simplefilter("error")
        raise ZeroDivisionError
    assert read() == before
