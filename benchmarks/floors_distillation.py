"""Minimum work of one iteration of DM+IID and IDM+IID by part: operations, and bytes to move.

    python benchmarks/floors_distillation.py

An operation is a multiplication or an addition; `floors_evaluation.py` describes how they are
counted. Real images go through φ once, without gradient. Synthetic images go through φ and ψ and
back to the pixels; that costs two forward passes, because parameters need no gradient. One image
per class is its own mean, so it needs no ψ. IDM's queue trains two networks for ten steps on 256
images. Bytes are those of norm, activation and pooling of φ on real images, fused, and of real
images, which are read as uint8 and written and read once as float32.
"""

from dataclasses import dataclass

import torch
from cases import METHODS, NETWORKS
from floors_evaluation import BYTES, count_first_layer_operations

from distill_core.datasets.info import REGISTRY
from distill_core.networks import Network, build_network
from distill_core.runtime.execution import count_forward_operations
from distill_core.settings import DistillationSettings


@dataclass(frozen=True)
class IterationFloor:
    """Minimum work of an iteration: operations, and bytes where the name says so."""

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


def compute_floor(dataset: str, ipc: int, settings: DistillationSettings) -> IterationFloor:
    """Compute the minimum work of one iteration on a registered data set."""
    info = REGISTRY[dataset]
    classes, size = len(info.classes), info.image_size
    shape = {"channels": info.channels, "classes": classes, "image_size": size}
    matching, extractor = (
        build_network(NETWORKS[dataset], **shape),
        build_network("ResNet18", **shape),
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
        queue = seen * (3 * forward - count_first_layer_operations(matching, size))
    return IterationFloor(
        real=real * forward,
        real_bytes=real * image.numel() * (1 + 2 * BYTES),
        feature_bytes=real * BYTES * count_moved_values(matching, size),
        matching=2 * synthetic * forward,
        extractor=2 * synthetic * embedding * needs_extractor,
        queue=queue,
    )


@torch.no_grad()
def count_moved_values(network: Network, size: int) -> int:
    """Count the values that norm, activation and pooling move for one image.

    A feature map is read twice and written once, pooled.
    """
    moved: list[int] = []

    def count(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        moved.append(2 * output.numel() + output.numel() // 4)

    hooks = []
    for module in network.modules():
        if isinstance(module, torch.nn.GroupNorm):
            hooks.append(module.register_forward_hook(count))
    network.eval()(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return sum(moved)


def main() -> None:
    """Print the table."""
    print(
        "| data set | method | IPC | real, φ | norms | images | synthetic, φ | synthetic, ψ | queue"
        " | all |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for dataset in NETWORKS:
        for method, settings in METHODS.items():
            for ipc in (1, 10, 50):
                least = compute_floor(dataset, ipc, settings)
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
