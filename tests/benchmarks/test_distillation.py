"""Both sides of the benchmark compute the same thing."""

import importlib.util
from pathlib import Path

import torch

from distill_core.augment import draw_augmentation
from distill_core.matching.objective import Objective, gradients
from distill_core.networks import build_network
from distill_core.settings import DSA_ALL, DistillationSettings

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "distillation.py"


def test_batched_and_looped_gradients_agree(image):
    spec = importlib.util.spec_from_file_location("distillation_benchmark", SCRIPT)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    network, extractor = (
        build_network(name, channels=3, classes=3, image_size=32).requires_grad_(False)
        for name in ("ConvNetW16", "ResNet18W8")
    )
    settings = DistillationSettings(lambda_cc=0.05, lambda_cm=0.01)
    objective = Objective(network=network, extractor=extractor.eval(), settings=settings, forward_images=7)
    real, images = image(30, 3, 32, 32, 1).unflatten(0, (3, 10)), image(12, 3, 32, 32, 2).unflatten(0, (3, 4))
    draw = draw_augmentation(DSA_ALL, 3, 32, torch.Generator().manual_seed(0))
    ((batched, _),) = gradients([objective], [images], real.__getitem__, draw, class_chunk=3)
    looped = benchmark.looped_gradient(objective, images, real, draw)
    assert (batched - looped).abs().max() <= 1e-4 * looped.abs().max()
