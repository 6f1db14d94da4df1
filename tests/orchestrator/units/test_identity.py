import pytest

from distill_core.settings import DatasetRef, SettingsError
from orchestrator.units import canonicalize


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"bytes"])
def test_values_without_a_stable_identity_are_refused_by_place(value):
    with pytest.raises(SettingsError, match=r"unit\.settings\.x"):
        canonicalize({"settings": {"x": value}})


def test_values_in_lists_are_refused_by_place():
    with pytest.raises(SettingsError, match=r"^unit\.parents\[1\] is a bytes"):
        canonicalize({"parents": ("a", b"b")})


def test_equal_content_has_one_spelling():
    assert canonicalize({"rate": 1.0, "on": True, "names": ("a", "b"), "none": None}) == {
        "rate": 1,
        "on": True,
        "names": ["a", "b"],
        "none": None,
    }
    assert canonicalize(DatasetRef(name="pets", format="parquet", path="here")) == {
        "name": "pets",
        "version": 1,
        "image_size": None,
    }
