"""How φ and ψ are run in a distillation: eagerly or compiled.

This covers real and synthetic images and the training of IDM's queue. On a CPU,
`distill_core.runtime.execution` compiles networks for runs that are long enough to gain from it.
The choice depends only on what all sets of a cohort share. So a set is run in the same mode alone,
in a cohort, and after a checkpoint.
"""

import torch
from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.networks import Network, network_for
from distill_core.networks.network import arrange_images
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
        return self.network.feature_map(arrange_images(self.network, x))

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's feature map."""
        return self.feature_map(x)


class Embedding(FeatureMap):
    """A network that ends at the input of its head."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's embedding, (N, D)."""
        return self.network.embed(arrange_images(self.network, x))


def choose_matching_mode(dataset: Dataset, settings: DistillationSettings) -> ExecutionMode:
    """Choose how φ is run, given the work of all iterations of a distillation."""
    images, queue = dataset.train, settings.queue
    real = images.classes * min(settings.batch_real, max(images.counts))
    trained = 0
    if queue is not None:
        # A training step costs three forward passes for each image.
        trained = 3 * queue.trained_networks * queue.train_steps * queue.batch_train
    network = network_for(dataset.info, settings.network, images.device)
    return _choose_mode(network, dataset, settings, real + trained)


def choose_extractor_mode(
    extractors: ExtractorPool | None, dataset: Dataset, settings: DistillationSettings, ipc: int
) -> ExecutionMode:
    """Choose how ψ is run, given the work of a distillation of `ipc` stored images per class."""
    if not extractors:
        return eager_mode("there are no extractors")
    if isinstance(extractors.networks, StreamedNetworks):
        # Inspecting a network would read its file.
        return eager_mode("the extractors are streamed")
    images = dataset.train.classes * ipc * settings.partition**2
    # Forward, and backward to the pixels.
    return _choose_mode(extractors.networks[0], dataset, settings, 2 * images)


def _choose_mode(
    network: Network, dataset: Dataset, settings: DistillationSettings, images: int
) -> ExecutionMode:
    """Choose a mode, given the forward passes of one image per iteration."""
    first = torch.zeros(1, dtype=torch.int64, device=dataset.train.device)
    return choose_execution_mode(
        network,
        lambda: dataset.train.normalized(first),
        settings.iterations * images,
        settings.precision,
    )
