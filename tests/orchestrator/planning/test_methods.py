import dataclasses

import pytest

from distill_core.settings import DatasetRef, DistillationSettings, QueueSettings
from orchestrator.planning.methods import specialize
from orchestrator.units import Distill, Select
from search_spaces.method_names import ADDITIONS, BASES, METHODS, canonicalize_method

BOTH = DistillationSettings(lambda_cc=0.05, lambda_cm=0.01, queue=QueueSettings())


@pytest.mark.parametrize(
    ("method", "lambda_cc", "lambda_cm"),
    [("", 0, 0), ("+IID", 0.05, 0.01), ("+CC", 0.05, 0), ("+CM", 0, 0.01)],
)
@pytest.mark.parametrize("base", BASES)
def test_the_name_decides_queue_and_weights_and_is_found_back(base, method, lambda_cc, lambda_cm):
    settings, note = specialize(BOTH, base + method, ipc=10)
    assert (settings.lambda_cc, settings.lambda_cm) == (lambda_cc, lambda_cm)
    assert settings.queue == (QueueSettings() if base == "IDM" else None)
    assert settings.method == base + method
    assert note == ""


@pytest.mark.parametrize("addition", ADDITIONS)
def test_one_training_image_a_class_leaves_the_base(addition):
    settings, note = specialize(BOTH, f"DM+{addition}", ipc=1)
    assert settings == specialize(BOTH, "DM", ipc=1)[0]
    assert "zero gradient" in note and "DM" in note
    assert specialize(BOTH, "DM", ipc=1)[1] == ""


def test_a_partition_gives_a_class_more_than_one_training_image():
    settings, note = specialize(dataclasses.replace(BOTH, partition=2), "IDM+IID", ipc=1)
    assert (settings.lambda_cc, settings.lambda_cm, note) == (0.05, 0.01, "")


def test_names_are_read_in_any_case_and_the_nearest_is_named():
    assert [canonicalize_method(name.swapcase()) for name in METHODS] == list(METHODS)
    with pytest.raises(ValueError, match="did you mean 'K-Center'"):
        canonicalize_method("kcenter")


def test_units_know_their_method():
    dataset = DatasetRef(name="digits")
    chosen = Select(dataset=dataset, protocol="paper", method="k-center", ipc=1, seed=0)
    distilled = Distill(dataset=dataset, protocol="paper", ipc=10, settings=BOTH, seed=0)
    assert chosen.method_name == "K-Center"
    assert distilled.method_name == "IDM+IID"
