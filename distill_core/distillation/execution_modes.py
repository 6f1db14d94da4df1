"""How φ's and ψ's passes run: real and synthetic images, and the training of IDM's queue.

On a CPU `distill_core.runtime.execution` compiles them where that pays, for runs that are long
enough. The choice depends on what all sets of a cohort share, so a set goes the same way alone, in
a cohort and resumed.
"""

import torch
from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.networks import Network, network_for
from distill_core.runtime.execution import ExecutionMode, choose_execution_mode, eager_mode
from distill_core.settings import DistillationSettings
from distill_core.training.extractor_streaming import StreamedNetworks
from distill_core.training.extractors import ExtractorPool


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


class Embedding(FeatureMap):
    """A network that ends at what its head would see."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's embedding, (N, D)."""
        return self.network.embed(x)


def choose_matching_mode(dataset: Dataset, settings: DistillationSettings) -> ExecutionMode:
    """Choose for φ, over all iterations of a distillation."""
    images, queue = dataset.train, settings.queue
    real = images.classes * min(settings.batch_real, max(images.counts))
    trained = (
        0 if queue is None else 3 * queue.trained_networks * queue.train_steps * queue.batch_train
    )
    network = network_for(dataset.info, settings.network, images.device)
    return _choose_mode(network, dataset, settings, real + trained)


def choose_extractor_mode(
    extractors: ExtractorPool | None, dataset: Dataset, settings: DistillationSettings, ipc: int
) -> ExecutionMode:
    """Choose for ψ, over all iterations of a distillation of `ipc` stored images a class."""
    if not extractors:
        return eager_mode("there are no extractors")
    if isinstance(extractors.networks, StreamedNetworks):  # to look at one would read it
        return eager_mode("the extractors are streamed")
    images = dataset.train.classes * ipc * settings.partition**2
    return _choose_mode(
        extractors.networks[0], dataset, settings, 2 * images
    )  # forward, and back to the pixels


def _choose_mode(
    network: Network, dataset: Dataset, settings: DistillationSettings, images: int
) -> ExecutionMode:
    """Choose for a number of forward passes of one image in each iteration."""
    first = torch.zeros(1, dtype=torch.int64, device=dataset.train.device)
    return choose_execution_mode(
        network,
        lambda: dataset.train.normalized(first),
        settings.iterations * images,
        settings.precision,
    )
