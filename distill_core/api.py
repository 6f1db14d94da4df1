"""The whole method in a few calls: distill a set, and train networks on it.

`SyntheticSet` has methods to save and load a set.
"""

from collections.abc import Mapping
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
from distill_core.training.trainer import Progress


def distill_set(
    dataset: Dataset,
    settings: DistillationSettings,
    *,
    ipc: int,
    seed: int = 0,
    extractors: ExtractorPool | None = None,
    progress: Progress | None = None,
) -> SyntheticSet:
    """Distill a set from the training images of a data set, on the device that holds them.

    Args:
        dataset: see `load_dataset`.
        settings: method and hyper-parameters; the defaults are those of DM.
        ipc: stored images per class.
        seed: number of the set within an experiment.
        extractors: see `train_extractors`; required where λ_CC is above 0.
        progress: called after every iteration.

    Raises:
        DistillationError: a class has too few images, extractors are missing, or a loss or pixel
            is not finite.
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
    """Train the networks ψ for class centralization; progress counts the epochs of all of them."""
    networks = []
    for index in range(count):
        report = _count_over_parts(progress, index, count)
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
        synthetic: set to train on.
        dataset: data set with the test images.
        settings: the protocol; by default the published one with 20 networks.
        network: architecture.
        seed: of the set; methods are compared on the same networks for the same seed.
        progress: called after every epoch, counted over all networks.
    """
    settings = settings or EvaluationSettings()
    training = TrainingSet.from_tensors(*synthetic.training_images(), dataset.test.device)
    evaluated = []
    for index in range(settings.num_eval):
        evaluated.append(
            evaluate_network(
                training,
                dataset.test,
                dataset.info,
                settings,
                network=network,
                seed=seed,
                index=index,
                progress=_count_over_parts(progress, index, settings.num_eval),
            )
        )
    return evaluated


def build_synthetic_set(
    images: Tensor,
    info: DatasetInfo,
    *,
    method: str,
    partition: int = 1,
    spec: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> SyntheticSet:
    """Build the set of normalized images (K, ipc, C, H, W), on the CPU."""
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


def _count_over_parts(progress: Progress | None, index: int, count: int) -> Progress | None:
    """Return a callback for part number `index` of `count` equal parts that counts all steps."""
    if progress is None:
        return None
    return partial(_report_part, progress, index, count)


def _report_part(
    progress: Progress, index: int, count: int, step: int, total: int, values: dict[str, float]
) -> None:
    progress(index * total + step, count * total, values)
