"""Evaluation as in DC, DSA, DM, IDM: train fresh networks and test each after its last epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.info import DatasetInfo
from distill_core.networks import Network, network_for
from distill_core.runtime.execution import ExecutionMode, choose_execution_mode, eager_mode
from distill_core.runtime.precision import autocast, forward_in_parts, use_precision
from distill_core.seeds import derive_seed, generator, use_global_seed
from distill_core.settings import EvaluationSettings, Precision
from distill_core.training.trainer import Fit, Progress, Schedule, fit

TEST_BATCH = 500
"""Divides most test sets, so that there is one shape to compile for."""


@dataclass(frozen=True)
class TrainingSet:
    """Normalized images on a device, read by index, and their labels."""

    images: Callable[[Tensor], Tensor]
    """Maps indices (B,) to images (B, C, H, W)."""
    labels: Tensor
    """Classes, int64 (N,), or their probabilities, float32 (N, K)."""

    @classmethod
    def from_tensors(
        cls, images: Tensor, labels: Tensor, device: torch.device | str
    ) -> "TrainingSet":
        """Build from tensors, such as those of `SyntheticSet.training_images()`."""
        on_device = images.to(device)
        return cls(on_device.__getitem__, labels.to(device))

    @classmethod
    def from_images(cls, images: ImageSet) -> "TrainingSet":
        """Build from real images."""
        return cls(images.normalized, images.labels)


@dataclass(frozen=True, kw_only=True)
class EvaluatedNetwork:
    """The result of one network."""

    index: int
    seed: int
    accuracy: float
    """Fraction of the test images."""
    class_accuracies: tuple[float, ...]
    """Fraction of each class's test images; NaN for a class without any."""
    fit: Fit


def evaluate_network(
    training: TrainingSet,
    test: ImageSet,
    info: DatasetInfo,
    settings: EvaluationSettings,
    *,
    network: str,
    seed: int,
    index: int,
    progress: Progress | None = None,
) -> EvaluatedNetwork:
    """Train one fresh network on a set and test it once, after the last epoch.

    Args:
        training: the set.
        test: real images to measure the accuracy on, on the same device.
        info: classes and sizes.
        settings: training schedule.
        network: architecture.
        seed: seed of the set. Together with `index` it determines the network's parameters and the
            order of images, so methods are compared on the same networks.
        index: number of the network.
        progress: called after every epoch.
    """
    identity = (info.name, network, seed, index)
    built = network_for(info, network, test.device, generator("evaluation network", *identity))
    mode = _choose_mode(built, training, test, settings)
    result = fit(
        built,
        training.images,
        training.labels,
        build_schedule(settings),
        generator("evaluation training", *identity),
        progress,
        mode=mode,
    )
    with use_global_seed(derive_seed("global draws of the test", *identity)):
        correct = count_correct_by_class(built, test, len(info.classes), settings.precision, mode)
    images = test.labels.bincount(minlength=len(info.classes)).cpu()
    return EvaluatedNetwork(
        index=index,
        seed=derive_seed("evaluation network", *identity),
        accuracy=float(correct.sum() / images.sum()),
        class_accuracies=tuple((correct / images).tolist()),
        fit=result,
    )


def _choose_mode(
    network: Network, training: TrainingSet, test: ImageSet, settings: EvaluationSettings
) -> ExecutionMode:
    """Choose a mode for all networks evaluated on a set, because they share compiled code."""
    trained = 3 * (settings.epoch_eval_train + 1) * len(training.labels)
    images = settings.num_eval * (trained + len(test))
    return choose_execution_mode(
        network, lambda: test.normalized(torch.arange(1)), images, settings.precision
    )


def build_schedule(settings: EvaluationSettings) -> Schedule:
    """Build the published schedule: epoch_eval_train + 1 epochs, a drop after half of them."""
    return Schedule(
        epochs=settings.epoch_eval_train + 1,
        batch=settings.batch_train,
        lr=settings.lr_net,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        dsa_strategy=settings.dsa_strategy,
        precision=settings.precision,
        drop_after=settings.epoch_eval_train // 2 + 1,
    )


@torch.no_grad()
def count_correct_by_class(
    network: Network,
    test: ImageSet,
    classes: int,
    precision: Precision,
    mode: ExecutionMode | None = None,
) -> Tensor:
    """Count the images of each class that `network` classifies correctly, in eval mode.

    Returns:
        float64 (classes,) on the CPU.
    """
    network.eval()
    forward = forward_in_parts(partial((mode or eager_mode("asked for")).run, network), None)
    correct = torch.zeros(classes, dtype=torch.int64, device=test.device)
    with use_precision(precision):
        for start in range(0, len(test), TEST_BATCH):
            index = torch.arange(start, min(start + TEST_BATCH, len(test)), device=test.device)
            with autocast(precision, test.device):
                predicted = forward(test.normalized(index)).argmax(1)
            labels = test.labels[index]
            # Neither a mask nor `bincount`, whose sizes the host would have to wait for.
            correct.index_add_(0, labels, (predicted == labels).long())
    return correct.cpu().double()
