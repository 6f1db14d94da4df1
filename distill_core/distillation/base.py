"""What differs between the base methods DM and IDM, seen from the loop that both share."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from distill_core.networks import Network


@dataclass(frozen=True)
class MatchingNetwork:
    """The network of one iteration and the weight of its cross entropy on the synthetic images."""

    network: Network
    ce_weight: float | Tensor = 0.0
    """A tensor without dimensions where it is known on the device alone; 0.0 leaves the cross
    entropy out.
    """


class Base(Protocol):
    """A source of matching networks and a rule for updating pixels.

    Built as `Base(dataset, settings, seed)`: a `Dataset`, the `DistillationSettings`, and the
    number of the set. Where several sets are distilled together each has a base, but only one of
    them is asked for networks; the others update.
    """

    def draw(self, iteration: int) -> MatchingNetwork:
        """Return the frozen network in which an iteration matches."""
        ...

    def update(
        self, images: Tensor, velocity: Tensor, gradient: Tensor, *, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the images and their momentum after one iteration; all are (K, M, C, H, W)."""
        ...

    def after(self, iteration: int) -> None:
        """Do what follows an iteration, such as training the queue's networks."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return what must be remembered to continue after an interruption."""
        ...

    def restore(self, tensors: dict[str, Tensor], iteration: int) -> None:
        """Take over what `tensors` returned after `iteration` iterations."""
        ...
