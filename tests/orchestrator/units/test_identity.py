import pytest

from distill_core.settings import (
    DatasetRef,
    DistillationSettings,
    EvaluationSettings,
    SettingsError,
)
from orchestrator.units import Distill, Evaluate, canonicalize, hash_settings


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


def test_repetitions_of_the_same_settings_share_a_hash():
    def evaluation(made, **changes):
        settings = EvaluationSettings(**changes)
        fields = {"dataset": DatasetRef(name="digits"), "protocol": "paper", "split": "test"}
        return Evaluate(
            **fields, network="ConvNet", settings=settings, seed=made.seed, parents=(made.key,)
        )

    def made(seed, **settings):
        fields = {"dataset": DatasetRef(name="digits"), "protocol": "paper", "ipc": 10}
        return Distill(**fields, seed=seed, settings=DistillationSettings(**settings))

    usual = hash_settings(evaluation(made(0)), made(0))
    assert hash_settings(evaluation(made(1)), made(1)) == usual
    for setting in ({"lambda_cm": 0.1}, {"network": "AlexNet"}, {"momentum_img": 0.4}):
        assert hash_settings(evaluation(made(0, **setting)), made(0, **setting)) != usual
    assert hash_settings(evaluation(made(0), epoch_eval_train=3), made(0)) != usual
