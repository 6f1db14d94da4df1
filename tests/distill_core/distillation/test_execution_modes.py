"""A compiled run equals the plain one within rounding, and bit for bit in a cohort and alone."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from distill_core.distillation.execution_modes import (
    Embedding,
    choose_extractor_mode,
    choose_matching_mode,
)
from distill_core.distillation.loop import distill, distill_cohort
from distill_core.distillation.losses import class_centralization
from distill_core.distillation.run import SetRun
from distill_core.networks import build_network
from distill_core.runtime import execution
from distill_core.runtime.winograd import build_transforms
from distill_core.settings import DistillationSettings, QueueSettings
from distill_core.training.extractor_streaming import StreamedNetworks
from distill_core.training.extractors import ExtractorPool

COMPILED = {"tf32": "compiled, Winograd convolutions", "bf16": "compiled"}

SETTINGS = DistillationSettings(
    network="ConvNetW16D2",
    iterations=4,
    batch_real=8,
    lambda_cm=0.01,
    queue=QueueSettings(networks=2, interval=2, train_steps=1, batch_train=16),
)


@pytest.mark.skipif(build_transforms() is None, reason="needs a C++ compiler")
def test_a_long_run_is_compiled_and_a_short_one_is_not(tiny_dataset):
    assert (
        choose_matching_mode(tiny_dataset, SETTINGS).reason
        == "eager: too short to repay compilation"
    )
    long = choose_matching_mode(tiny_dataset, replace(SETTINGS, iterations=10**9))
    assert long.reason == COMPILED["tf32"]
    assert (
        choose_matching_mode(
            tiny_dataset, replace(SETTINGS, iterations=10**9, lambda_cm=0.5)
        ).reason
        == long.reason
    )


def make_extractors(network):
    """Two untrained networks."""
    made = [
        build_network(network, channels=1, classes=3, image_size=16, generator=generator)
        for generator in (torch.Generator().manual_seed(seed) for seed in range(2))
    ]
    return ExtractorPool([network.eval().requires_grad_(False) for network in made])


@pytest.fixture(scope="module")
def extractors():
    """Two untrained residual networks."""
    return make_extractors("ResNet18W16")


@pytest.mark.skipif(build_transforms() is None, reason="needs a C++ compiler")
def test_extractors_are_compiled_for_long_runs_unless_in_float32(tiny_dataset, extractors):
    long = replace(SETTINGS, iterations=10**9, lambda_cc=0.05)

    def reason(settings, pool=extractors):
        return choose_extractor_mode(pool, tiny_dataset, settings, 2).reason

    for precision in ("tf32", "bf16"):
        assert (
            reason(replace(SETTINGS, precision=precision))
            == "eager: too short to repay compilation"
        )
        found = reason(replace(long, precision=precision))
        assert found == COMPILED[precision]
        assert reason(replace(long, precision=precision, lambda_cc=1.0)) == found
    assert (
        reason(replace(long, precision="float32"))
        == "eager: nearly all of it are convolutions in float32"
    )
    assert reason(long, None) == reason(long, ExtractorPool([])) == "eager: there are no extractors"
    unread = ExtractorPool(
        StreamedNetworks(
            [Path("nowhere")], read=lambda file: {}, load=lambda file, parameters: None
        )
    )
    assert reason(replace(long, precision="bf16"), unread) == "eager: the extractors are streamed"


@pytest.mark.skipif(build_transforms() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize(
    ("precision", "close", "network", "extractor"),
    [
        ("tf32", 1e-4, "ConvNetW16D1", "ConvNetW16D1"),
        pytest.param("tf32", 1e-4, "ConvNetW16D2", "ResNet18W16", marks=pytest.mark.slow),
        pytest.param("bf16", 6e-2, "ConvNetW16D2", "ResNet18W16", marks=pytest.mark.slow),
    ],
)
def test_compiled_is_plain_within_rounding_and_a_cohort_is_each_alone(
    tiny_dataset, monkeypatch, precision, close, network, extractor
):
    extractors = make_extractors(extractor)
    mild = {"lambda_cc": 1e-3, "lr_img": 0.1}  # kinks amplify rounding
    settings = replace(SETTINGS, network=network, precision=precision, **mild)
    other = replace(settings, lambda_cm=0.0)
    run = partial(distill, tiny_dataset, ipc=2, seed=0, extractors=extractors)
    plain = run(settings)
    monkeypatch.setattr(execution, "MIN_FLOPS_TO_COMPILE", 0)
    assert choose_matching_mode(tiny_dataset, settings).reason == COMPILED[precision]
    fast = run(settings)
    torch.testing.assert_close(fast.images, plain.images, rtol=0, atol=close)
    assert not torch.equal(fast.images, plain.images)
    cells = [SetRun(settings=other), SetRun(settings=settings)]
    together = distill_cohort(tiny_dataset, cells, ipc=2, seed=0, extractors=extractors)
    assert torch.equal(together[1].images, fast.images)
    counters = torch._dynamo.utils.counters["stats"]
    compiled = counters["unique_graphs"]
    run(replace(settings, iterations=6))
    assert counters["unique_graphs"] == compiled


@pytest.mark.skipif(build_transforms() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize(
    "name", ["ConvNetW16D1", pytest.param("ResNet18W16", marks=pytest.mark.slow)]
)
def test_gradients_through_a_compiled_extractor_in_bf16_are_as_near_to_float64_as_eager_ones(name):
    network = build_network(
        name,
        channels=3,
        classes=10,
        image_size=32,
        generator=torch.Generator().manual_seed(0),
    ).requires_grad_(False)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def gradient(way, images, *, bf16):
        leaf = images.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            features = way.run(Embedding(network), leaf)
        return torch.autograd.grad(class_centralization(features[None].to(leaf.dtype)), leaf)[0]

    eager, fast = (
        gradient(way, images, bf16=True)
        for way in (execution.eager_mode("asked for"), execution.compiled_mode(winograd=False))
    )
    network.double()
    exact = gradient(execution.eager_mode("asked for"), images.double(), bf16=False)
    errors = [float((found - exact).norm() / exact.norm()) for found in (eager, fast)]
    assert 0 < errors[1] < 1.2 * errors[0] < 0.8, errors
