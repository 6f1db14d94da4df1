"""Arithmetic of the networks: float32, TF32 (convolutions on tensor cores, as the released codes compute), bf16."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from distill_core.settings import Precision


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Set how CUDA convolutions compute in float32, and restore what was set before."""
    convolutions = torch.backends.cudnn.conv
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee" if precision == "float32" else "tf32"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Return the context in which a network runs; losses and updates stay outside, in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
