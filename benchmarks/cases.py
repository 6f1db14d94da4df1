"""Cases of the benchmarks of distillation: noise as large as the published data sets."""

from dataclasses import replace

import torch

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.info import REGISTRY
from distill_core.datasets.load import Dataset
from distill_core.distillation.idm import IDM
from distill_core.distillation.loop import Cohort
from distill_core.networks import network_for
from distill_core.runtime.execution import ExecutionMode
from distill_core.settings import DistillationSettings, Precision, QueueSettings
from distill_core.training.extractors import ExtractorPool

IID = {"lambda_cc": 0.05, "lambda_cm": 0.01}
METHODS = {
    "DM+IID": DistillationSettings(**IID),
    "IDM+IID": DistillationSettings(**IID, partition=2, lr_img=0.2, queue=QueueSettings()),
}
NETWORKS = {"cifar10": "ConvNet", "tinyimagenet": "ConvNetD4"}
"""Matching networks by data set, as published."""


def build_noise(
    name: str, device: torch.device | str, images_per_class: int | None = None
) -> Dataset:
    """Build noise with the shape and, by default, the size of a registered data set."""
    info = REGISTRY[name]
    classes, side = len(info.classes), info.image_size
    count = classes * (images_per_class or info.train_images // classes)
    draws = torch.Generator().manual_seed(0)
    train = ImageSet.build(
        torch.randint(
            0, 256, (count, info.channels, side, side), dtype=torch.uint8, generator=draws
        ),
        torch.arange(count) % classes,
        classes=classes,
        name=info.name,
        mean=info.mean,
        std=info.std,
        device=device,
    )
    empty = train.subset(torch.arange(0, device=device))
    return Dataset(info=info, train=train, test=empty, fingerprint="noise")


def build_pool(dataset: Dataset) -> ExtractorPool:
    """Build a pool of one untrained ResNet18, which takes as long as a trained one."""
    network = network_for(dataset.info, "ResNet18", dataset.train.device)
    return ExtractorPool([network.eval().requires_grad_(False)])


def settings_for(
    method: str, name: str, *, iterations: int, precision: Precision = "tf32"
) -> DistillationSettings:
    """Return a method's settings with the data set's network."""
    return replace(
        METHODS[method], network=NETWORKS[name], iterations=iterations, precision=precision
    )


def run_in_mode(cohort: Cohort, mode: ExecutionMode) -> Cohort:
    """Run all networks of a cohort in a mode; the cohort must not have started yet."""
    cohort.mode = cohort.extractor_mode = mode
    if isinstance(cohort.source, IDM):
        cohort.source.mode = mode
    return cohort
