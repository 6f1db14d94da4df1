"""Least work of evaluating one network, by part: operations of its arithmetic, bytes of what is
only read and written.

    python benchmarks/floors_evaluation.py

An operation is a multiplication or an addition. Convolutions and products count by their shapes
(`FlopCounterMode`), a training step three times a forward pass, less the first layer's gradient on
the images. Norm, activation and pooling count as one pass that is fused: the convolution's output
is read for the norm's sums and once more to be normalized and pooled, which writes the pooled map;
backward, both are read twice and the gradient is written once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distill_core.networks import Network, build_network
from distill_core.runtime.execution import count_forward_operations

EPOCHS, BYTES = 1001, 4
DATASETS = {"CIFAR-10": (10, 32, 10_000), "TinyImageNet": (200, 64, 10_000)}
"""Classes, side of the images, test images."""


@dataclass(frozen=True)
class Floor:
    """Least work of one evaluated network."""

    training_operations: float
    training_bytes: float
    """Of norm, activation and pooling."""
    augmentation_bytes: float
    """Images read and written once."""
    test_operations: float


def floor(name: str, classes: int, size: int, ipc: int, test_images: int) -> Floor:
    """Return the floor for one architecture on 3-channel images of a side, `ipc` a class."""
    network = build_network(name, channels=3, classes=classes, image_size=size)
    forward = count_forward_operations(network, torch.zeros(1, 3, size, size))
    images = EPOCHS * ipc * classes
    return Floor(
        training_operations=images * (3 * forward - first_layer_operations(network, size)),
        training_bytes=images * BYTES * fused_values(network, size),
        augmentation_bytes=images * BYTES * 2 * 3 * size**2,
        test_operations=test_images * forward,
    )


def first_layer_operations(network: Network, size: int) -> int:
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    return int(2 * size**2 * first.weight.numel())


@torch.no_grad()
def fused_values(network: Network, size: int) -> int:
    """Count values that norm, activation and pooling move for one image in a training step."""
    moved: list[int] = []
    handles = []

    def norm(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Forward: read twice, write once. Backward: read it and the gradient twice, write once.
        moved.append((2 + 1 + 2 + 2 + 1) * output.numel())

    def pool(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Fused with the norm before it: what it leaves is written, and its gradient read, at a
        # quarter of the size.
        moved.append(-3 * (inputs[0].numel() - output.numel()))

    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            handles.append(module.register_forward_hook(norm))
        if isinstance(module, nn.AvgPool2d | nn.MaxPool2d):
            handles.append(module.register_forward_hook(pool))
    network.eval()(torch.zeros(1, 3, size, size))
    for handle in handles:
        handle.remove()
    return sum(moved)


def main() -> None:
    print(
        "| data set | network | IPC | training | norm, activation, pooling | augmentation | test |"
    )
    print("|---|---|--:|--:|--:|--:|--:|")
    for dataset, (classes, size, test_images) in DATASETS.items():
        for network in ("ConvNet" if size == 32 else "ConvNetD4", "ResNet18"):
            for ipc in (1, 10, 50):
                least = floor(network, classes, size, ipc, test_images)
                print(
                    f"| {dataset} | {network} | {ipc} | {least.training_operations / 1e12:,.1f}"
                    f" TFLOP | {least.training_bytes / 1e9:,.0f} GB |"
                    f" {least.augmentation_bytes / 1e9:,.1f} GB |"
                    f" {least.test_operations / 1e12:,.1f} TFLOP |"
                )


if __name__ == "__main__":
    main()
