"""What a base method such as DM or IDM provides to the distillation loop."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from distill_core.networks import Network


@dataclass(frozen=True)
class MatchingNetwork:
    """The network of one iteration, and the weight of its cross entropy on synthetic images."""

    network: Network
    ce_weight: float | Tensor = 0.0
    """0.0 leaves the cross entropy out. A scalar tensor where only the device knows the weight."""


class Base(Protocol):
    """A source of matching networks and a rule for updating pixels.

    It is built as `Base(dataset, settings, seed)`: a `Dataset`, the `DistillationSettings`, and the
    number of the set. Where several sets are distilled together, each has a base, but only one of
    the bases provides networks; the others only update pixels.
    """

    def draw(self, iteration: int) -> MatchingNetwork:
        """Return the frozen network whose features an iteration matches."""
        ...

    def update(
        self, images: Tensor, velocity: Tensor, gradient: Tensor, *, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the images and their momentum after one iteration; all are (K, M, C, H, W)."""
        ...

    def after(self, iteration: int) -> None:
        """Run after an iteration; IDM trains networks of its queue here."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return the state that is needed to continue after an interruption."""
        ...

    def restore(self, tensors: dict[str, Tensor], iteration: int) -> None:
        """Restore what `tensors` returned after `iteration` iterations."""
        ...
