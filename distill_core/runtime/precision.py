"""How networks compute: float32, TF32 (convolutions on tensor cores, as the released codes
compute), bf16.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from distill_core.settings import Precision


@contextmanager
def use_precision(precision: Precision) -> Iterator[None]:
    """Set how CUDA convolutions compute in float32, and restore what was set before."""
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
    """Return `network` for images (N, C, H, W) that need no gradient, in passes of a bounded number
    of images.
    """

    def forward(images: Tensor) -> Tensor:
        return torch.cat(
            [network(part) for part in torch.split(images, images_at_once or len(images))]
        )

    return forward


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Return the context in which a network runs; losses and updates stay outside, in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
