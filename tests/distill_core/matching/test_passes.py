"""A compiled run of real images and queue is the plain one within rounding, in a cohort bit for bit as alone."""

import shutil
from dataclasses import replace

import pytest
import torch

from distill_core import passes
from distill_core.matching.cell import Cell
from distill_core.matching.loop import distill, distill_cohort
from distill_core.matching.passes import passes_for
from distill_core.settings import DistillationSettings, QueueSettings

SETTINGS = DistillationSettings(
    network="ConvNetW8D2",
    iterations=4,
    batch_real=8,
    lambda_cm=0.01,
    queue=QueueSettings(networks=2, interval=2, train_steps=1, batch_train=16),
)


def test_a_long_run_is_compiled_and_a_short_one_is_not(tiny_dataset):
    assert passes_for(tiny_dataset, SETTINGS).reason == "eager: too short to repay compilation"
    long = passes_for(tiny_dataset, replace(SETTINGS, iterations=10**9))
    assert long.reason == "compiled" or not any(map(shutil.which, passes.COMPILERS))
    assert passes_for(tiny_dataset, replace(SETTINGS, iterations=10**9, lambda_cm=0.5)).reason == long.reason


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, passes.COMPILERS)), reason="needs a C++ compiler")
def test_compiled_is_plain_within_rounding_and_a_cohort_is_each_alone(tiny_dataset, monkeypatch):
    other = replace(SETTINGS, lambda_cm=0.0)
    plain = distill(tiny_dataset, SETTINGS, ipc=2, seed=0)
    monkeypatch.setattr(passes, "PAYING_OPERATIONS", 0)
    assert passes_for(tiny_dataset, SETTINGS).reason == "compiled"
    fast = distill(tiny_dataset, SETTINGS, ipc=2, seed=0)
    torch.testing.assert_close(fast.images, plain.images, rtol=1e-3, atol=1e-3)
    together = distill_cohort(tiny_dataset, [Cell(settings=other), Cell(settings=SETTINGS)], ipc=2, seed=0)
    assert torch.equal(together[1].images, fast.images)
    counters = torch._dynamo.utils.counters["stats"]
    compiled = counters["unique_graphs"]
    distill(tiny_dataset, replace(SETTINGS, iterations=6), ipc=2, seed=0)
    assert counters["unique_graphs"] == compiled
