"""Distribution matching (Zhao and Bilen, WACV 2023): every iteration matches in a new random network."""

from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.matching.base import MatchingNetwork
from distill_core.networks import initialise, network_for
from distill_core.seeds import generator
from distill_core.settings import DistillationSettings


class DM:
    """Fresh networks and plain SGD on the pixels; nothing is remembered between iterations."""

    def __init__(self, dataset: Dataset, settings: DistillationSettings, seed: int) -> None:
        info = dataset.info
        # One module serves all iterations: drawing parameters in place is cheaper than building anew.
        self._network = network_for(info, settings.network, dataset.train.device).requires_grad_(False).train()
        self._settings = settings
        self._identity = (info.name, settings.network, seed)

    def draw(self, iteration: int) -> MatchingNetwork:
        """Return the random network of an iteration, in train mode as published."""
        initialise(self._network, generator("matching network", *self._identity, iteration))
        return MatchingNetwork(self._network)

    def update(self, images: Tensor, velocity: Tensor, gradient: Tensor, *, last: bool) -> tuple[Tensor, Tensor]:
        """v ← μ·v + g, x ← x − lr·v."""
        velocity = self._settings.momentum_img * velocity + gradient
        return images - self._settings.lr_img * velocity, velocity

    def after(self, iteration: int) -> None:
        """Nothing is trained."""

    def tensors(self) -> dict[str, Tensor]:
        """Nothing is remembered."""
        return {}

    def restore(self, tensors: dict[str, Tensor], iteration: int) -> None:
        """Nothing is remembered."""
