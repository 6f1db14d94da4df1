"""The whole method in a few calls: distill a set, train networks on it; saving and loading are the
set's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from distill_core.datasets.info import DatasetInfo
from distill_core.datasets.load import Dataset
from distill_core.distillation.loop import distill
from distill_core.distillation.run import Hooks
from distill_core.evaluation.evaluate import EvaluatedNetwork, TrainingSet, evaluate_network
from distill_core.settings import DistillationSettings, EvaluationSettings, ExtractorSettings
from distill_core.synthetic_set import SyntheticSet, to_pixels
from distill_core.training.extractors import ExtractorPool, train_extractor

Progress = Callable[[int, int, dict[str, float]], None]
"""Called with steps done, steps in all, and the latest values by name, often none."""


def distill_set(
    dataset: Dataset,
    settings: DistillationSettings,
    *,
    ipc: int,
    seed: int = 0,
    extractors: ExtractorPool | None = None,
    progress: Progress | None = None,
) -> SyntheticSet:
    """Distill a set from the training images of a data set, on the device they lie on.

    Args:
        dataset: see `load_dataset`.
        settings: method and hyper-parameters; the defaults are those of DM.
        ipc: stored images a class.
        seed: tells sets of one experiment apart.
        extractors: see `train_extractors`; needed where λ_CC is above 0.
        progress: called after every iteration.

    Raises:
        DistillationError: too few images in a class, no extractors, or a loss or pixel that is not
            finite.
        SettingsError: the network does not fit the images.
    """
    hooks = Hooks() if progress is None else Hooks(progress=progress)
    state = distill(dataset, settings, ipc=ipc, seed=seed, extractors=extractors, hooks=hooks)
    spec = {"ipc": ipc, "seed": seed, "settings": asdict(settings)}
    return build_synthetic_set(
        state.images, dataset.info, method=settings.method, partition=settings.partition, spec=spec
    )


def train_extractors(
    dataset: Dataset, settings: ExtractorSettings, count: int, progress: Progress | None = None
) -> ExtractorPool:
    """Train the networks ψ that class centralization draws from; progress counts epochs over all of
    them.
    """
    networks = []
    for index in range(count):
        report = None if progress is None else partial(_report_progress, progress, index, count)
        network, _ = train_extractor(dataset, settings, index=index, progress=report)
        networks.append(network.eval().requires_grad_(False))
    return ExtractorPool(networks)


def evaluate_set(
    synthetic: SyntheticSet,
    dataset: Dataset,
    settings: EvaluationSettings | None = None,
    *,
    network: str = "ConvNet",
    seed: int = 0,
    progress: Progress | None = None,
) -> list[EvaluatedNetwork]:
    """Train fresh networks on a set and test each once, on the device of the data set.

    Args:
        synthetic: what they train on.
        dataset: whose test images measure the accuracy.
        settings: the protocol, as published by default: 20 networks.
        network: architecture.
        seed: of the set; networks are paired over methods by it.
        progress: called after every epoch, counted over all networks.
    """
    settings = settings or EvaluationSettings()
    training = TrainingSet.from_tensors(*synthetic.training_images(), dataset.test.device)
    return [
        evaluate_network(
            training,
            dataset.test,
            dataset.info,
            settings,
            network=network,
            seed=seed,
            index=index,
            progress=None
            if progress is None
            else partial(_report_progress, progress, index, settings.num_eval),
        )
        for index in range(settings.num_eval)
    ]


def build_synthetic_set(
    images: Tensor,
    info: DatasetInfo,
    *,
    method: str,
    partition: int = 1,
    spec: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> SyntheticSet:
    """Make the artifact of images (K, ipc, C, H, W), normalized, class by class; it lies on the
    CPU.
    """
    classes, ipc = images.shape[:2]
    return SyntheticSet(
        images=to_pixels(images.flatten(0, 1), info.mean, info.std).cpu(),
        labels=torch.arange(classes).repeat_interleave(ipc),
        dataset=info.name,
        dataset_version=info.version,
        class_names=info.classes,
        mean=info.mean,
        std=info.std,
        ipc=ipc,
        partition=partition,
        method=method,
        spec=dict(spec or {}),
        key=key,
    )


def _report_progress(
    progress: Progress, index: int, count: int, step: int, total: int, values: dict[str, float]
) -> None:
    """Report step `step` of the work's part number `index` of `count`, all of the same length."""
    progress(index * total + step, count * total, values)
