"""Training one network on labeled images on a device, for evaluation and the extractor pool."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_core.augmentation import Draw, augment, draw_augmentation
from distill_core.networks import Network
from distill_core.runtime.cuda_graphs import ReplayedFunction
from distill_core.runtime.execution import ExecutionMode, choose_execution_mode
from distill_core.runtime.precision import autocast, use_precision
from distill_core.seeds import derive_seed, to_device, use_global_seed
from distill_core.settings import Precision

Step = Callable[[Tensor, Draw | None], None]
"""One update of the parameters, given indices (B,) on the device and the batch's augmentation."""

READINGS = 200
"""Times that a long training reads loss and accuracy, each of which waits for the device."""

Progress = Callable[[int, int, dict[str, float]], None]
"""Called with steps or epochs done, their total, and the latest values by name, often none."""


TrainingState = dict[str, Tensor]
"""Everything a training needs, between two epochs, to continue as if it had never stopped."""


class TrainingError(RuntimeError):
    """A network's training diverged, or cannot continue from the state it was given."""


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """How a long training saves its state; by default it does not."""

    resume: TrainingState | None = None
    """State to continue from; the result equals that of an uninterrupted training."""
    due: Callable[[], bool] = lambda: False
    """Asked after every epoch but the last."""
    save: Callable[[TrainingState], None] = lambda state: None
    """Called with the state when one is due; an exception that it raises ends the training."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """SGD as published: a constant learning rate, with at most one drop to a tenth.

    The drop also clears the momentum.
    """

    epochs: int
    batch: int
    lr: float
    momentum: float
    weight_decay: float
    dsa_strategy: str
    """One operation per batch, with parameters per image."""
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
    mode: str = ""
    """How the network was run, and why (see `distill_core.runtime.execution`)."""


def fit(
    network: Network,
    images: Callable[[Tensor], Tensor],
    labels: Tensor,
    schedule: Schedule,
    draws: torch.Generator,
    progress: Progress | None = None,
    checkpoints: Checkpoints | None = None,
    mode: ExecutionMode | None = None,
) -> Fit:
    """Train `network` in place.

    Args:
        network: on the device of the images; it is left in train mode.
        images: returns the normalized images (B, C, H, W) of some indices (B,).
        labels: classes, int64 (N,), or their probabilities, float32 (N, K), for soft labels.
        schedule: epochs, optimizer and augmentation.
        draws: CPU generator of the order of images and of the augmentation.
        progress: called after every epoch; with loss and accuracy after the last one and some that
            are evenly spaced, which are all of them in a training of less than 2·`READINGS`.
        checkpoints: how the state is saved between epochs, and the state to continue from.
        mode: how the network is run; by default the fastest way for this much training.

    Raises:
        TrainingError: the loss is not finite at the end, or the state to continue from belongs to
            another training.
    """
    checkpoints = checkpoints or Checkpoints()
    network.train().requires_grad_(True)
    seed = draws.initial_seed()  # before a state is restored, which may replace it
    steps = _Steps(network, images, labels, schedule, mode)
    begin = 0 if checkpoints.resume is None else int(checkpoints.resume["epochs"])
    dropped = schedule.drop_after is not None and begin > schedule.drop_after
    optimizer = _build_optimizer(network, schedule, schedule.lr / 10 if dropped else schedule.lr)
    if checkpoints.resume is not None:
        _restore_state(checkpoints.resume, network, optimizer, draws)
    step = steps.build_step(optimizer)
    result = Fit(float("nan"), float("nan"))
    spacing = max(1, schedule.epochs // READINGS)
    with use_precision(schedule.precision):
        for epoch in range(begin, schedule.epochs):
            # Dropout and custom code draw from the global generators.
            with use_global_seed(derive_seed("global draws of training", seed, epoch)):
                steps.run_epoch(step, draws)
            if epoch == schedule.drop_after:
                # A new optimizer, because the drop also clears the momentum.
                optimizer = _build_optimizer(network, schedule, schedule.lr / 10)
                step = steps.build_step(optimizer)
            done, values = epoch + 1, {}
            if done == schedule.epochs or (progress is not None and done % spacing == 0):
                result = steps.read_fit()
                values = {"loss": result.loss, "accuracy": result.accuracy}
            if progress is not None:
                progress(done, schedule.epochs, values)
            if done < schedule.epochs and checkpoints.due():
                checkpoints.save(_capture_state(done, network, optimizer, draws))
    if not math.isfinite(result.loss):
        raise TrainingError(
            f"the training loss is {result.loss} after {schedule.epochs} epochs; lower lr_net"
        )
    return result


def _capture_state(
    epochs: int, network: Network, optimizer: torch.optim.Optimizer, draws: torch.Generator
) -> TrainingState:
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    for place, parameter in enumerate(network.parameters()):
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            state[f"momentum.{place}"] = momentum
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    return on_cpu | {"epochs": torch.tensor(epochs), "draws": draws.get_state()}


def _restore_state(
    state: TrainingState, network: Network, optimizer: torch.optim.Optimizer, draws: torch.Generator
) -> None:
    try:
        network.load_state_dict({name: state[f"network.{name}"] for name in network.state_dict()})
        for place, parameter in enumerate(network.parameters()):
            if (momentum := state.get(f"momentum.{place}")) is not None:
                # Copied to the device and memory layout of the parameter.
                buffer = torch.empty_like(parameter).copy_(momentum).detach()
                optimizer.state[parameter]["momentum_buffer"] = buffer
        draws.set_state(state["draws"])
    except (KeyError, RuntimeError) as error:
        raise TrainingError(
            f"the state to continue from belongs to another training: {error}"
        ) from error


class _StepKind(NamedTuple):
    """What decides which kernels a step launches."""

    batch: int
    ops: frozenset[str] | None


class _Steps:
    """The steps of one training; their sums stay on the device until an epoch ends."""

    def __init__(
        self,
        network: Network,
        images: Callable[[Tensor], Tensor],
        labels: Tensor,
        schedule: Schedule,
        mode: ExecutionMode | None,
    ) -> None:
        self.network, self.images, self.labels, self.schedule = network, images, labels, schedule
        trained = 3 * schedule.epochs * len(labels)
        self.mode = mode or choose_execution_mode(
            network, self._first_image, trained, schedule.precision
        )
        self.size = 0 if schedule.dsa_strategy == "none" else self._first_image().shape[-1]
        self.replayed: ReplayedFunction[_StepKind, None] | None = None
        self.sums = torch.zeros(2, device=labels.device)
        self.correct, self.loss_sum = self.sums.unbind()

    def build_step(self, optimizer: torch.optim.Optimizer) -> Step:
        """Return the step that an optimizer takes."""
        if self.mode.capture is None:
            return partial(self._take, optimizer)

        def work(kind: _StepKind, inputs: Sequence[Tensor]) -> None:
            index, *drawn = inputs
            draw = None if kind.ops is None else Draw.from_tensors(kind.ops, drawn)
            self._take(optimizer, index, draw)

        replayed = self.replayed = ReplayedFunction(work, self.mode.capture())

        def step(index: Tensor, draw: Draw | None) -> None:
            ops, drawn = (None, []) if draw is None else (draw.ops, draw.tensors())
            replayed(_StepKind(len(index), ops), [index, *drawn])

        return step

    def run_epoch(self, step: Step, draws: torch.Generator) -> None:
        """Train on all images once, in a new order; nothing waits for the device."""
        count, device = len(self.labels), self.labels.device
        self.sums.zero_()
        for batch in torch.randperm(count, generator=draws).split(self.schedule.batch):
            draw = draw_augmentation(
                self.schedule.dsa_strategy,
                len(batch),
                self.size,
                draws,
                device=device,
                same_op=True,
            )
            step(to_device(batch, device), draw)

    def read_fit(self) -> Fit:
        """Return how the last epoch went, which waits for the device once."""
        correct, loss_sum = self.sums.tolist()
        count = len(self.labels)
        failure = None if self.replayed is None else self.replayed.failure
        passes = self.mode.describe(self.network, failure)
        return Fit(correct / count, loss_sum / count, passes)

    def _first_image(self) -> Tensor:
        return self.images(torch.zeros(1, dtype=torch.int64, device=self.labels.device))

    def _take(self, optimizer: torch.optim.Optimizer, index: Tensor, draw: Draw | None) -> None:
        inputs, targets = augment_each(self.images(index), draw), self.labels[index]
        with autocast(self.schedule.precision, inputs.device):
            logits = self.mode.run(self.network, inputs)
        loss = F.cross_entropy(logits.float(), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        labels = targets if targets.dim() == 1 else targets.argmax(1)
        self.correct += (logits.argmax(1) == labels).sum()
        self.loss_sum += loss.detach() * len(targets)


def augment_each(images: Tensor, draw: Draw | None) -> Tensor:
    """Augment images (B, C, H, W) by a draw of B groups, each image by its own parameters."""
    return augment(images.unsqueeze(1), draw).squeeze(1)


def _build_optimizer(network: Network, schedule: Schedule, lr: float) -> torch.optim.SGD:
    return torch.optim.SGD(
        network.parameters(), lr=lr, momentum=schedule.momentum, weight_decay=schedule.weight_decay
    )
