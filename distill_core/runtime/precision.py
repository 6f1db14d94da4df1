"""Arithmetic of networks: float32, TF32 (convolutions, as in the released code), or bf16."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from distill_core.settings import Precision


@contextmanager
def use_precision(precision: Precision) -> Iterator[None]:
    """Set the arithmetic of float32 convolutions on CUDA; restore the previous one at the end."""
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee" if precision == "float32" else "tf32"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def forward_in_parts(
    network: Callable[[Tensor], Tensor], images_at_once: int | None
) -> Callable[[Tensor], Tensor]:
    """Return `network` for images (N, C, H, W) without gradient, in parts of bounded size."""

    def forward(images: Tensor) -> Tensor:
        parts = torch.split(images, images_at_once or len(images))
        return torch.cat([network(part) for part in parts])

    return forward


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Return the context to run a network in; losses and updates stay outside it, in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
