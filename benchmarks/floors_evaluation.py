"""Minimum work of evaluating one network by part: operations, and bytes to move.

    python benchmarks/floors_evaluation.py

An operation is a multiplication or an addition. Convolutions and matrix products are counted by
their shapes (`FlopCounterMode`). A training step costs three forward passes, minus the first
layer's gradient on the images. Norm, activation and pooling count as one fused pass: the output of
the convolution is read for the sums of the norm, and read again to be normalized and pooled, which
writes the pooled map. Backward, both are read twice and the gradient is written once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distill_core.networks import Network, build_network
from distill_core.runtime.execution import count_forward_operations

EPOCHS, BYTES = 1001, 4
DATASETS = {"CIFAR-10": (10, 32, 10_000), "TinyImageNet": (200, 64, 10_000)}
"""Classes, image size, test images."""


@dataclass(frozen=True)
class EvaluationFloor:
    """Minimum work of one evaluated network."""

    training_operations: float
    training_bytes: float
    """Of norm, activation and pooling."""
    augmentation_bytes: float
    """Images read and written once."""
    test_operations: float


def compute_floor(
    name: str, classes: int, size: int, ipc: int, test_images: int
) -> EvaluationFloor:
    """Compute the minimum work for one architecture on RGB images of a size, `ipc` per class."""
    network = build_network(name, channels=3, classes=classes, image_size=size)
    forward = count_forward_operations(network, torch.zeros(1, 3, size, size))
    images = EPOCHS * ipc * classes
    return EvaluationFloor(
        training_operations=images * (3 * forward - count_first_layer_operations(network, size)),
        training_bytes=images * BYTES * count_fused_values(network, size),
        augmentation_bytes=images * BYTES * 2 * 3 * size**2,
        test_operations=test_images * forward,
    )


def count_first_layer_operations(network: Network, size: int) -> int:
    """Count the operations of the first convolution for one image."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    return int(2 * size**2 * first.weight.numel())


@torch.no_grad()
def count_fused_values(network: Network, size: int) -> int:
    """Count the values that norm, activation and pooling move for one image in a training step."""
    moved: list[int] = []
    handles = []

    def norm(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Forward: read twice, write once. Backward: read it and the gradient twice, write once.
        moved.append((2 + 1 + 2 + 2 + 1) * output.numel())

    def pool(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Fused with the norm before it: its output is written, and its gradient read, at a quarter
        # of the size.
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
    """Print the table."""
    print(
        "| data set | network | IPC | training | norm, activation, pooling | augmentation | test |"
    )
    print("|---|---|--:|--:|--:|--:|--:|")
    for dataset, (classes, size, test_images) in DATASETS.items():
        for network in ("ConvNet" if size == 32 else "ConvNetD4", "ResNet18"):
            for ipc in (1, 10, 50):
                least = compute_floor(network, classes, size, ipc, test_images)
                print(
                    f"| {dataset} | {network} | {ipc} | {least.training_operations / 1e12:,.1f}"
                    f" TFLOP | {least.training_bytes / 1e9:,.0f} GB |"
                    f" {least.augmentation_bytes / 1e9:,.1f} GB |"
                    f" {least.test_operations / 1e12:,.1f} TFLOP |"
                )


if __name__ == "__main__":
    main()
