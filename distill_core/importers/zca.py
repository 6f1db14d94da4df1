"""ZCA whitening and its inverse (Bell and Sejnowski 1997; regularized as in Krizhevsky 2009).

MTT and its successors distill whitened images. With the mean μ and the covariance C = U diag(s) Uᵀ
of the flattened real training images, whitening is y = (x − μ) U diag(1/√(s + ε)) Uᵀ, and its
inverse x = y U diag(√(s + ε)) Uᵀ + μ. They compute C with N − 1 in the denominator, with ε = 0.1,
from images in [0, 1] that are not normalized.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 0.1


class WhiteningError(ValueError):
    """There are too few images for a whitening, or images of another size."""


@dataclass(frozen=True)
class Whitening:
    """The statistics of a whitening, float64, for images of D numbers."""

    mean: Tensor
    """(D,)"""
    inverse: Tensor
    """(D, D), symmetric."""

    def whiten(self, images: Tensor) -> Tensor:
        """Whiten images (N, C, H, W); WhiteningError where C·H·W is not D."""
        flat: Tensor = torch.linalg.solve(self.inverse, (self._flatten(images) - self.mean).T).T
        return flat.reshape(images.shape).to(images.dtype)

    def unwhiten(self, images: Tensor) -> Tensor:
        """Undo `whiten`; WhiteningError where C·H·W is not D."""
        flat = self._flatten(images) @ self.inverse + self.mean
        return flat.reshape(images.shape).to(images.dtype)

    def _flatten(self, images: Tensor) -> Tensor:
        flat = images.flatten(1).to(self.mean)
        if flat.shape[1] != len(self.mean):
            raise WhiteningError(
                f"images {tuple(images.shape)} have {flat.shape[1]} numbers, not {len(self.mean)}"
            )
        return flat


def fit_whitening(batches: Iterable[Tensor], *, epsilon: float = EPSILON) -> Whitening:
    """Compute the whitening of some images.

    Args:
        batches: images (B, C, H, W); only one batch at a time must fit into memory.
        epsilon: added to every eigenvalue of the covariance.

    Raises:
        WhiteningError: there are fewer than two images.
    """
    count, total, products = 0, torch.zeros(()), torch.zeros(())
    for batch in batches:
        flat = batch.flatten(1).double()
        count, total, products = count + len(flat), total + flat.sum(0), products + flat.T @ flat
    if count < 2:
        raise WhiteningError(f"a whitening needs at least two images, not {count}")
    mean = total / count
    covariance = (products - count * torch.outer(mean, mean)) / (count - 1)
    values, vectors = torch.linalg.eigh(covariance)
    return Whitening(mean, (vectors * (values.clamp(min=0) + epsilon).sqrt()) @ vectors.T)
