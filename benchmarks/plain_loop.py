"""DM+IID's formulas computed class by class and image by image, to compare our iteration with."""

import torch
from torch import Tensor

from distill_core.augmentation import Draw, augment, draw_augmentation
from distill_core.datasets.load import Dataset
from distill_core.distillation.loop import Cohort
from distill_core.distillation.objective import PLAIN_MODE, Objective
from distill_core.runtime import chunk_sizes
from distill_core.seeds import generator
from distill_core.settings import DistillationSettings
from distill_core.training.extractors import ExtractorPool


def looped_gradient(objective: Objective, images: Tensor, real: Tensor, draw: Draw) -> Tensor:
    """Compute the gradient on images (K, M, C, H, W), class by class and image by image."""
    gradients = []
    for c in range(len(images)):
        leaf = images[c].detach().requires_grad_()
        part = draw.select(slice(c, c + 1))
        synthetic, batch = augment(leaf[None], part)[0], augment(real[c][None], part)[0]
        maps = objective.network.feature_map(synthetic)
        with torch.no_grad():
            real_maps = objective.network.feature_map(batch)
        mean = (real_maps.flatten(1).mean(0) - maps.flatten(1).mean(0)).square().sum()
        features = objective.extractor.embed(synthetic)
        center = features.mean(0)
        centralization = sum((feature - center).square().sum() for feature in features)
        covariance = (looped_covariance(real_maps) - looped_covariance(maps)).square().sum()
        total = (
            mean
            + objective.settings.lambda_cc * centralization
            + objective.settings.lambda_cm * covariance
        )
        gradients.append(torch.autograd.grad(total, leaf)[0])
    return torch.stack(gradients)


def looped_covariance(maps: Tensor) -> Tensor:
    """Compute the covariance (C, C) of maps (N, C, H, W), image by image."""
    centered = (maps - maps.mean(0)).flatten(2)
    return sum(image @ image.T for image in centered) / len(maps)


def loop_iteration(
    data: Dataset, extractors: ExtractorPool, cohort: Cohort, settings: DistillationSettings
) -> None:
    """Do the same as `Cohort.advance` for DM+IID, with the looped gradient."""
    (run,) = cohort.runs
    iteration = run.state.iteration
    indices = data.train.draw(generator("real batch", iteration), settings.batch_real)
    draw = draw_for_iteration(data, settings, iteration)
    objective = build_objective(cohort, extractors, iteration, settings)
    run.update(looped_gradient(objective, run.state.images, data.train.normalized(indices), draw))


def build_objective(
    cohort: Cohort,
    extractors: ExtractorPool,
    iteration: int,
    settings: DistillationSettings,
    *,
    whole: bool = False,
) -> Objective:
    """Build the objective of an iteration; `whole` passes all real images at once, eagerly."""
    matching = cohort.source.draw(iteration)
    images = cohort.dataset.train
    at_once = None
    if not whole:
        at_once = chunk_sizes.choose_forward_images(images.device.type, images.image_size)
    return Objective(
        network=matching.network,
        extractor=extractors.networks[0],
        settings=settings,
        ce_weight=matching.ce_weight,
        forward_images=at_once,
        mode=PLAIN_MODE if whole else cohort.mode,
        extractor_mode=PLAIN_MODE if whole else cohort.extractor_mode,
    )


def draw_for_iteration(data: Dataset, settings: DistillationSettings, iteration: int) -> Draw:
    """Draw the augmentation of an iteration."""
    draws = generator("augmentation", iteration)
    size, groups = data.info.image_size, len(data.info.classes)
    draw = draw_augmentation(settings.dsa_strategy, groups, size, draws, device=data.train.device)
    assert draw is not None
    return draw
