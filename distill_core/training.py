"""Training one network on labelled images that lie on the device: what evaluation and the extractor pool share."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_core.augment import augment, draw_augmentation
from distill_core.networks import Network
from distill_core.precision import arithmetic, autocast
from distill_core.settings import Precision

Progress = Callable[[int, int, dict[str, float]], None]
"""Called with epochs done, epochs in all, and the latest values by name."""


class TrainingError(RuntimeError):
    """A network's training diverged."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """SGD as published: a constant learning rate with at most one drop to a tenth, which also clears the momentum."""

    epochs: int
    batch: int
    lr: float
    momentum: float
    weight_decay: float
    dsa_strategy: str
    """One operation a batch, its parameters per image."""
    precision: Precision
    drop_after: int | None = None
    """0-based epoch after which the rate drops."""


@dataclass(frozen=True)
class Fit:
    """How well a network fitted the augmented training images in its last epoch."""

    accuracy: float
    """Fraction."""
    loss: float
    """Mean cross entropy."""


def fit(
    network: Network,
    images: Callable[[Tensor], Tensor],
    labels: Tensor,
    schedule: Schedule,
    draws: torch.Generator,
    progress: Progress | None = None,
) -> Fit:
    """Train `network` in place.

    Args:
        network: on the device of the images; it is left in train mode.
        images: returns the normalised images (B, C, H, W) of some indices (B,).
        labels: (N,) int64.
        schedule: epochs, optimiser and augmentation.
        draws: CPU generator of the order of images and of the augmentation.
        progress: called after every epoch.

    Raises:
        TrainingError: the loss is not finite at the end.
    """
    network.train().requires_grad_(True)
    optimizer = _optimizer(network, schedule, schedule.lr)
    result = Fit(float("nan"), float("nan"))
    with arithmetic(schedule.precision):
        for epoch in range(schedule.epochs):
            result = _epoch(network, images, labels, schedule, optimizer, draws)
            if epoch == schedule.drop_after:
                optimizer = _optimizer(network, schedule, schedule.lr / 10)
            if progress is not None:
                progress(epoch + 1, schedule.epochs, {"loss": result.loss, "accuracy": result.accuracy})
    if not math.isfinite(result.loss):
        raise TrainingError(f"the training loss is {result.loss} after {schedule.epochs} epochs; lower lr_net")
    return result


def _epoch(
    network: Network,
    images: Callable[[Tensor], Tensor],
    labels: Tensor,
    schedule: Schedule,
    optimizer: torch.optim.Optimizer,
    draws: torch.Generator,
) -> Fit:
    order = torch.randperm(len(labels), generator=draws)
    correct = torch.zeros((), device=labels.device)
    loss_sum = torch.zeros((), device=labels.device)
    for batch in order.split(schedule.batch):
        index = batch.to(labels.device, non_blocking=True)
        inputs, targets = augment_each(images(index), schedule.dsa_strategy, draws), labels[index]
        with autocast(schedule.precision, inputs.device):
            logits = network(inputs)
        loss = F.cross_entropy(logits.float(), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        correct += (logits.argmax(1) == targets).sum()
        loss_sum += loss.detach() * len(targets)
    return Fit(float(correct) / len(labels), float(loss_sum) / len(labels))


def augment_each(images: Tensor, strategy: str, draws: torch.Generator) -> Tensor:
    """Augment images (B, C, H, W) with one operation for all, its parameters drawn per image."""
    draw = draw_augmentation(strategy, len(images), images.shape[-1], draws, device=images.device, same_op=True)
    return augment(images.unsqueeze(1), draw).squeeze(1)


def _optimizer(network: Network, schedule: Schedule, lr: float) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), lr=lr, momentum=schedule.momentum, weight_decay=schedule.weight_decay)
