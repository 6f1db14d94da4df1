"""Arithmetic of networks: float32, TF32 (convolutions, as in the released code), or bf16."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from distill_core.settings import Precision


@contextmanager
def use_precision(precision: Precision) -> Iterator[None]:
    """Set the arithmetic of float32 convolutions on CUDA; restore the previous one at the end.

    cuDNN has three flags for it: of convolutions, of recurrent networks, and a legacy one for both,
    which torch's compiler and other libraries read. Reading that one raises where the three do not
    agree, so all of them are set.
    """
    before = _read_flags()
    wanted = "ieee" if precision == "float32" else "tf32"
    _set_flags(_CudnnFlags(wanted, wanted, legacy=wanted == "tf32"))
    try:
        yield
    finally:
        _set_flags(before)


class _CudnnFlags(NamedTuple):
    conv: str
    rnn: str
    legacy: bool
    """`torch.backends.cudnn.allow_tf32`."""


def _read_flags() -> _CudnnFlags:
    """Return the flags, also where they do not agree."""
    cudnn: Any = torch.backends.cudnn
    conv, rnn = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision
    cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "tf32"
    try:
        legacy = bool(cudnn.allow_tf32)
    except RuntimeError:  # it disagrees with the others
        legacy = False
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = conv, rnn
    return _CudnnFlags(conv, rnn, legacy)


def _set_flags(flags: _CudnnFlags) -> None:
    cudnn: Any = torch.backends.cudnn
    cudnn.allow_tf32 = flags.legacy  # first, because it changes the others
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = flags.conv, flags.rnn


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
