"""Seconds of the parts of our iteration, each timed separately."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from cases import settings_for
from ceiling import measure_ceiling
from clock import Spreads, interleave, spread_parts, time_work
from floors_distillation import compute_floor
from plain_loop import build_objective, draw_for_iteration
from torch import Tensor

from distill_core.augmentation import augment
from distill_core.datasets.load import Dataset
from distill_core.distillation.execution_modes import Embedding
from distill_core.distillation.idm import IDM
from distill_core.distillation.loop import start_cohort
from distill_core.distillation.losses import class_centralization
from distill_core.distillation.objective import decode_canvases, split_classes
from distill_core.distillation.run import SetRun
from distill_core.networks import initialize
from distill_core.runtime.precision import autocast
from distill_core.seeds import generator
from distill_core.settings import Precision
from distill_core.training.extractors import ExtractorPool

ITERATIONS = 10**6
REAL_FORWARD = "real images through φ, statistics"

PartFunction = Callable[[], object]


def time_parts(
    method: str,
    ipc: int,
    data: Dataset,
    extractors: ExtractorPool,
    rounds: int,
    precision: Precision,
) -> dict[str, Spreads]:
    """Time the parts of our iteration: seconds and processor seconds."""
    work = build_parts(method, ipc, data, extractors, precision)
    device = data.train.device
    sides = {}
    for name, do in work.items():
        sides[name] = lambda do=do: time_work("part", do, device)
    return {name: spread_parts(times) for name, times in interleave(sides, rounds).items()}


def build_parts(
    method: str, ipc: int, data: Dataset, extractors: ExtractorPool, precision: Precision
) -> dict[str, PartFunction]:
    """Return the parts of one iteration as functions, by name."""
    device = data.train.device
    build = partial(settings_for, name=data.info.name, iterations=ITERATIONS, precision=precision)
    settings, dm_settings = build(method), build("DM+IID")
    cohort = start_cohort(data, [SetRun(settings=settings)], ipc=ipc, seed=0, extractors=extractors)
    images = cohort.runs[0].state.images
    draw = draw_for_iteration(data, settings, 1)
    indices = data.train.draw(generator("real batch", 1), settings.batch_real)
    slices = list(split_classes(len(data.info.classes), cohort.class_chunk))
    matching = build_objective(cohort, extractors, 1, dm_settings)
    objective = build_objective(cohort, extractors, 1, settings)
    objective = replace(objective, network=matching.network, extractor=None)

    def prepare_real() -> list[Tensor]:
        batches = []
        for part in slices:
            batches.append(augment(data.train.normalized(indices[part]), draw.select(part)))
        return batches

    real = prepare_real()
    features = [objective.compute_real_features(batch) for batch in real]

    def forward_real() -> None:
        for found in map(matching.compute_real_features, real):
            # Both are computed at their first use.
            _ = found.mean, found.covariance

    def forward_and_back(compute_loss: Callable[[Tensor, int], Tensor]) -> None:
        for number, part in enumerate(slices):
            leaf = images[part].detach().requires_grad_()
            synthetic = augment(decode_canvases(leaf, settings.partition), draw.select(part))
            torch.autograd.grad(compute_loss(synthetic, number), leaf)

    def match(synthetic: Tensor, number: int) -> Tensor:
        labels = torch.arange(len(synthetic), device=device)
        losses = objective.compute_losses(features[number], synthetic, labels)
        return torch.stack(list(losses.values())).sum()

    def centralize(synthetic: Tensor, number: int) -> Tensor:
        with autocast(precision, device):
            embedded = cohort.extractor_mode.run(
                Embedding(extractors.networks[0]), synthetic.flatten(0, 1)
            )
        return class_centralization(embedded.float().unflatten(0, synthetic.shape[:2]))

    work: dict[str, PartFunction] = {
        "matching network": lambda: initialize(matching.network, generator("matching network", 1)),
        "real images drawn, normalised, augmented": prepare_real,
        REAL_FORWARD: forward_real,
        "synthetic images through φ and back, losses": lambda: forward_and_back(match),
        "synthetic images through ψ and back": lambda: forward_and_back(centralize),
    }
    if isinstance(cohort.source, IDM):
        work["queue's networks trained"] = lambda: cohort.source.after(1)
        del work["matching network"]
    return work


def compute_share(
    method: str, ipc: int, seconds: float, precision: Precision, device: torch.device
) -> dict[str, float]:
    """Return operations per second of real images through φ, and their share of the ceiling.

    The ceiling is the rate of a product of large matrices.
    """
    settings = settings_for(method, "cifar10", iterations=1)
    reached = compute_floor("cifar10", ipc, settings).real / seconds
    ceiling = measure_ceiling(device, precision)
    return {
        "operations a second": reached,
        "of a product of matrices": ceiling,
        "share": reached / ceiling,
    }
