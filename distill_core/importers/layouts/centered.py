"""Centered one-hot labels, as KIP, FRePo and RCIG store them: 1 − 1/K, and −1/K elsewhere."""

from typing import NamedTuple

import torch
from torch import Tensor


class FoundLabels(NamedTuple):
    """Labels, and what was assumed about them."""

    labels: Tensor
    notes: tuple[str, ...] = ()


def find_centered_classes(labels: Tensor) -> FoundLabels:
    """Return classes, int64 (N,), in place of one-hot rows that may be centered; others as are."""
    if labels.dim() != 2 or labels.shape[1] < 2:
        return FoundLabels(labels)
    lowest = labels.min(1, keepdim=True).values
    shifted = labels - lowest
    height = shifted.max()
    if not float(height) > 0 or float(lowest.max()) >= 0:
        return FoundLabels(labels)
    if float(labels.sum(1).abs().max()) > 1e-2 * float(height):
        return FoundLabels(labels)  # logits, perhaps
    one_hot = torch.nn.functional.one_hot(shifted.argmax(1), labels.shape[1]).to(shifted) * height
    if not torch.allclose(shifted, one_hot, atol=1e-3 * float(height)):
        return FoundLabels(labels)
    return FoundLabels(labels.argmax(1), ("centered one-hot labels were read as classes",))
