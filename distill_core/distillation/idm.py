"""Improved distribution matching (Zhao et al., CVPR 2023).

A queue of networks is trained while images are distilled. The partition of images, IDM's third
part, is in `distill_core.partition`; its cross-entropy term is in the objective.
"""

from functools import cached_property

import torch
from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.distillation.base import MatchingNetwork
from distill_core.distillation.execution_modes import choose_matching_mode
from distill_core.distillation.network_queue import QueueMember, QueueTrainer
from distill_core.runtime.execution import ExecutionMode
from distill_core.seeds import generator
from distill_core.settings import DistillationSettings


class IDM:
    """A queue of matching networks, and one optimizer step per class."""

    def __init__(self, dataset: Dataset, settings: DistillationSettings, seed: int) -> None:
        if settings.queue is None:
            raise ValueError("IDM needs settings.queue")
        self._dataset, self._settings, self._queue = dataset, settings, settings.queue
        self._identity = (dataset.info.name, settings.network, seed)
        self._added = self._queue.networks

    def draw(self, iteration: int) -> MatchingNetwork:
        """Add a new network when it is due, and return a network of the queue, in eval mode."""
        if iteration and iteration % self._queue.interval == 0:
            self._add_network()
        place = torch.randint(
            len(self._members), (), generator=generator("queue draw", *self._identity, iteration)
        )
        member = self._members[int(place)]
        network = member.network.eval().requires_grad_(False)
        weighted = self._queue.ce_weight and member.seen
        weight = (self._queue.ce_weight * member.accuracy).float() if weighted else 0.0
        return MatchingNetwork(network, ce_weight=weight)

    def update(
        self, images: Tensor, velocity: Tensor, gradient: Tensor, *, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Take the K optimizer steps of an iteration at once; see `take_class_steps`."""
        return take_class_steps(
            images,
            velocity,
            gradient,
            lr=self._settings.lr_img,
            momentum=self._settings.momentum_img,
            last=last,
        )

    def after(self, iteration: int) -> None:
        """Train some networks of the queue on real batches, without augmentation."""
        draws = generator("queue training", *self._identity, iteration)
        chosen = torch.randperm(len(self._members), generator=draws)[: self._queue.trained_networks]
        for place in chosen.tolist():
            self._trainer.train(self._members[place], draws)

    def tensors(self) -> dict[str, Tensor]:
        """Return all parameters, momenta and counters of the queue."""
        tensors: dict[str, Tensor] = {}
        for place, member in enumerate(self._members):
            for name, value in member.network.state_dict().items():
                tensors[f"{place}.network.{name}"] = value
            for name, momentum in member.momenta.items():
                tensors[f"{place}.momentum.{name}"] = momentum
            tensors[f"{place}.counts"] = torch.stack(
                (member.correct, torch.full_like(member.correct, member.seen))
            )
        return tensors

    def restore(self, tensors: dict[str, Tensor], iteration: int) -> None:
        """Rebuild the queue as it was after `iteration` iterations."""
        self._members.clear()
        self._added = self._queue.networks + max(0, iteration - 1) // self._queue.interval
        for place in range(min(self._added, self._queue.max_networks)):
            member = self._build_member()
            state = _select_prefix(tensors, f"{place}.")
            member.network.load_state_dict(_select_prefix(state, "network."))
            member.set_momenta(_select_prefix(state, "momentum."))
            correct, seen = state["counts"]
            member.correct, member.seen = correct.clone(), int(seen)
            self._members.append(member)

    def _add_network(self) -> None:
        """Append a new random network; where the queue is full, the oldest leaves."""
        if len(self._members) == self._queue.max_networks:
            self._members.pop(0)
        self._members.append(self._draw_member(self._added))
        self._added += 1

    @cached_property
    def _members(self) -> list[QueueMember]:
        """The queue, oldest first."""
        first = max(0, self._queue.networks - self._queue.max_networks)
        return [self._draw_member(number) for number in range(first, self._queue.networks)]

    @cached_property
    def mode(self) -> ExecutionMode:
        """How the queue's networks are run while they train."""
        return choose_matching_mode(self._dataset, self._settings)

    @cached_property
    def _trainer(self) -> QueueTrainer:
        return QueueTrainer(self._dataset, self._settings, self._queue, self.mode)

    def _draw_member(self, number: int) -> QueueMember:
        return self._build_member(generator("queue network", *self._identity, number))

    def _build_member(self, draws: torch.Generator | None = None) -> QueueMember:
        return QueueMember.build(self._dataset, self._settings.network, self._queue, draws)


def _select_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, by the rest of their names."""
    selected = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            selected[name.removeprefix(prefix)] = tensor
    return selected


def take_class_steps(
    images: Tensor, velocity: Tensor, gradient: Tensor, *, lr: float, momentum: float, last: bool
) -> tuple[Tensor, Tensor]:
    """Take the K momentum steps of one IDM iteration at once, exactly.

    IDM steps its optimizer after each class's gradient. So the images of class c also move with
    their decaying momentum in the K − 1 steps of the other classes:
    v ← μᴷ·v + g, x ← x − lr·(1 − μᴷ)/(1 − μ)·v. In the last iteration only the steps of the classes
    that follow remain: class c moves by lr·(1 − μ^(K−c))/(1 − μ)·v.

    Args:
        images: (K, M, C, H, W).
        velocity: momentum of the same shape.
        gradient: of the same shape; that of class c at the point where its step is taken.
        lr: learning rate of the pixels.
        momentum: μ in [0, 1).
        last: whether this is the run's last iteration.

    Returns:
        New images and velocity.
    """
    classes = len(images)
    velocity = momentum**classes * velocity + gradient
    # Made on the device, since a copy from the CPU would wait for it.
    steps = torch.full((classes,), classes, device=images.device)
    if last:
        steps = classes - torch.arange(classes, device=images.device)
    reach = (1 - momentum ** steps.to(images)) / (1 - momentum)
    return images - lr * reach.view(-1, 1, 1, 1, 1) * velocity, velocity
