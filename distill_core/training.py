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


State = dict[str, Tensor]
"""Everything a training needs to go on as if it had never stopped, between two epochs."""


class TrainingError(RuntimeError):
    """A network's training diverged, or cannot go on from the state it was given."""


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """How a long training keeps its state; by default it does not."""

    resume: State | None = None
    """State to go on from; the result equals that of an uninterrupted training."""
    due: Callable[[], bool] = lambda: False
    """Asked after every epoch but the last."""
    save: Callable[[State], None] = lambda state: None
    """Called with the state when one is due; an exception that it raises ends the training there."""


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
    checkpoints: Checkpoints | None = None,
) -> Fit:
    """Train `network` in place.

    Args:
        network: on the device of the images; it is left in train mode.
        images: returns the normalised images (B, C, H, W) of some indices (B,).
        labels: classes, int64 (N,), or their probabilities, float32 (N, K), for soft cross entropy.
        schedule: epochs, optimiser and augmentation.
        draws: CPU generator of the order of images and of the augmentation.
        progress: called after every epoch.
        checkpoints: how the state is kept between epochs, and the one to go on from.

    Raises:
        TrainingError: the loss is not finite at the end, or the state to go on from is another training's.
    """
    checkpoints = checkpoints or Checkpoints()
    network.train().requires_grad_(True)
    begin = 0 if checkpoints.resume is None else int(checkpoints.resume["epochs"])
    dropped = schedule.drop_after is not None and begin > schedule.drop_after
    optimizer = _optimizer(network, schedule, schedule.lr / 10 if dropped else schedule.lr)
    if checkpoints.resume is not None:
        _restore(checkpoints.resume, network, optimizer, draws)
    result = Fit(float("nan"), float("nan"))
    with arithmetic(schedule.precision):
        for epoch in range(begin, schedule.epochs):
            result = _epoch(network, images, labels, schedule, optimizer, draws)
            if epoch == schedule.drop_after:
                optimizer = _optimizer(network, schedule, schedule.lr / 10)
            if progress is not None:
                progress(epoch + 1, schedule.epochs, {"loss": result.loss, "accuracy": result.accuracy})
            if epoch + 1 < schedule.epochs and checkpoints.due():
                checkpoints.save(_state(epoch + 1, network, optimizer, draws))
    if not math.isfinite(result.loss):
        raise TrainingError(f"the training loss is {result.loss} after {schedule.epochs} epochs; lower lr_net")
    return result


def _state(epochs: int, network: Network, optimizer: torch.optim.Optimizer, draws: torch.Generator) -> State:
    momenta = [optimizer.state[parameter].get("momentum_buffer") for parameter in network.parameters()]
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    state |= {f"momentum.{place}": value for place, value in enumerate(momenta) if value is not None}
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    return on_cpu | {"epochs": torch.tensor(epochs), "draws": draws.get_state()}


def _restore(state: State, network: Network, optimizer: torch.optim.Optimizer, draws: torch.Generator) -> None:
    try:
        network.load_state_dict({name: state[f"network.{name}"] for name in network.state_dict()})
        for place, parameter in enumerate(network.parameters()):
            if (momentum := state.get(f"momentum.{place}")) is not None:
                optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum).detach()
        draws.set_state(state["draws"])
    except (KeyError, RuntimeError) as error:
        raise TrainingError(f"the state to go on from is another training's: {error}") from error


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
        correct += (logits.argmax(1) == (targets if targets.dim() == 1 else targets.argmax(1))).sum()
        loss_sum += loss.detach() * len(targets)
    return Fit(float(correct) / len(labels), float(loss_sum) / len(labels))


def augment_each(images: Tensor, strategy: str, draws: torch.Generator) -> Tensor:
    """Augment images (B, C, H, W) with one operation for all, its parameters drawn per image."""
    draw = draw_augmentation(strategy, len(images), images.shape[-1], draws, device=images.device, same_op=True)
    return augment(images.unsqueeze(1), draw).squeeze(1)


def _optimizer(network: Network, schedule: Schedule, lr: float) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), lr=lr, momentum=schedule.momentum, weight_decay=schedule.weight_decay)
