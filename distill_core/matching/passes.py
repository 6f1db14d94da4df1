"""How φ's passes without a gradient on the pixels run: real images, and the training of IDM's queue.

They are most of an iteration's work on a CPU, where `distill_core.passes` compiles them for runs that are long enough.
The choice depends on what all sets of a cohort share, so a set goes the same way alone, in a cohort and resumed.
"""

import torch
from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.networks import Network, network_for
from distill_core.passes import Passes, choose_passes
from distill_core.settings import DistillationSettings


class FeatureMap(Network):
    """A network that ends at its feature map."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the network's feature map."""
        return self.network.feature_map(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's feature map."""
        return self.network.feature_map(x)


def passes_for(dataset: Dataset, settings: DistillationSettings) -> Passes:
    """Choose for all iterations of a distillation."""
    images, queue = dataset.train, settings.queue
    real = images.classes * min(settings.batch_real, max(images.counts))
    trained = 0 if queue is None else 3 * queue.trained_networks * queue.train_steps * queue.batch_train
    network = network_for(dataset.info, settings.network, images.device)
    first = torch.zeros(1, dtype=torch.int64, device=images.device)
    return choose_passes(network, lambda: images.normalised(first), settings.iterations * (real + trained))
