"""Distribution matching (Zhao and Bilen, WACV 2023): a new random network in every iteration."""

from functools import cached_property

from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.distillation.base import MatchingNetwork
from distill_core.networks import Network, initialize, network_for
from distill_core.seeds import generator
from distill_core.settings import DistillationSettings


class DM:
    """Fresh networks and plain SGD on the pixels, without state between iterations."""

    def __init__(self, dataset: Dataset, settings: DistillationSettings, seed: int) -> None:
        self._dataset, self._settings = dataset, settings
        self._identity = (dataset.info.name, settings.network, seed)

    def draw(self, iteration: int) -> MatchingNetwork:
        """Return the random network of an iteration, in train mode as published."""
        initialize(self._network, generator("matching network", *self._identity, iteration))
        return MatchingNetwork(self._network)

    def update(
        self, images: Tensor, velocity: Tensor, gradient: Tensor, *, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Take one step of SGD: v ← μ·v + g, x ← x − lr·v."""
        velocity = self._settings.momentum_img * velocity + gradient
        return images - self._settings.lr_img * velocity, velocity

    def after(self, iteration: int) -> None:
        """Do nothing: no network is trained."""

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: there is no state."""
        return {}

    def restore(self, tensors: dict[str, Tensor], iteration: int) -> None:
        """Do nothing: there is no state."""

    @cached_property
    def _network(self) -> Network:
        """One module for all iterations: drawing new parameters is cheaper than building."""
        network = network_for(
            self._dataset.info, self._settings.network, self._dataset.train.device
        )
        return network.requires_grad_(False).train()
