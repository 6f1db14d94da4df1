"""Least work of one iteration of DM+IID and IDM+IID, by part: operations, and bytes of what is only
read and written.

    python benchmarks/floors_distillation.py

An operation is a multiplication or an addition; `floors_evaluation.py` says how they are counted.
Real images go through φ once without gradient; synthetic images go through φ and ψ and back to the
pixels, which costs two forward passes, since no gradient of a parameter is needed (one image a
class is its own mean: ψ is left out); IDM's queue trains two networks for ten steps on 256 images.
Bytes: norm, activation and pooling of φ on real images, fused; real images read as uint8, and
written and read once as float32.
"""

from dataclasses import dataclass

import torch
from cases import METHODS, NETWORKS
from floors_evaluation import BYTES, first_layer_operations

from distill_core.datasets.info import REGISTRY
from distill_core.networks import Network, build_network
from distill_core.runtime.execution import count_forward_operations
from distill_core.settings import DistillationSettings


@dataclass(frozen=True)
class Floor:
    """Least work of an iteration; operations, and bytes where it says so."""

    real: float
    real_bytes: float
    """Images drawn, normalized and augmented."""
    feature_bytes: float
    """Norm, activation and pooling of φ on real images."""
    matching: float
    extractor: float
    queue: float

    @property
    def total(self) -> float:
        """All operations."""
        return self.real + self.matching + self.extractor + self.queue


def floor(dataset: str, ipc: int, settings: DistillationSettings) -> Floor:
    """Return the floor of one iteration on a registered data set."""
    info = REGISTRY[dataset]
    classes, size = len(info.classes), info.image_size
    matching, extractor = (
        build_network(name, channels=info.channels, classes=classes, image_size=size)
        for name in (NETWORKS[dataset], "ResNet18")
    )
    image = torch.zeros(1, info.channels, size, size)
    forward, embedding = (
        count_forward_operations(matching, image),
        count_forward_operations(extractor, image),
    )
    real, synthetic = classes * settings.batch_real, classes * ipc * settings.partition**2
    needs_extractor = ipc * settings.partition**2 > 1
    queue = 0.0
    if settings.queue is not None:
        seen = (
            settings.queue.trained_networks
            * settings.queue.train_steps
            * settings.queue.batch_train
        )
        queue = seen * (3 * forward - first_layer_operations(matching, size))
    return Floor(
        real=real * forward,
        real_bytes=real * image.numel() * (1 + 2 * BYTES),
        feature_bytes=real * BYTES * forward_values(matching, size),
        matching=2 * synthetic * forward,
        extractor=2 * synthetic * embedding * needs_extractor,
        queue=queue,
    )


@torch.no_grad()
def forward_values(network: Network, size: int) -> int:
    """Count values that norm, activation and pooling move for one image: the map twice read, once
    written pooled.
    """
    moved: list[int] = []

    def count(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        moved.append(2 * output.numel() + output.numel() // 4)

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, torch.nn.GroupNorm)
    ]
    network.eval()(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return sum(moved)


def main() -> None:
    print(
        "| data set | method | IPC | real, φ | norms | images | synthetic, φ | synthetic, ψ | queue"
        " | all |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for dataset in NETWORKS:
        for method, settings in METHODS.items():
            for ipc in (1, 10, 50):
                least = floor(dataset, ipc, settings)
                operations = (least.matching, least.extractor, least.queue, least.total)
                print(
                    f"| {REGISTRY[dataset].title} | {method} | {ipc} | {least.real / 1e9:,.0f}"
                    f" GFLOP | {least.feature_bytes / 1e9:,.1f} GB | {least.real_bytes / 1e9:,.2f}"
                    " GB | "
                    + " | ".join(f"{value / 1e9:,.0f} GFLOP" for value in operations)
                    + " |"
                )


if __name__ == "__main__":
    main()
