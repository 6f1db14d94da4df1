"""The objective of IID on one batch of classes: L = L_base + λ_CC·L_CC + λ_CM·L_CM, and its
gradient on the images.

Cells of one cohort differ in the weights; they match the same real images in the same network.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_core.augmentation import Draw, augment
from distill_core.distillation.execution_modes import Embedding, FeatureMap
from distill_core.distillation.losses import (
    class_centralization,
    global_covariance_matching,
    local_covariance,
    squared_distance,
)
from distill_core.extensions import import_object
from distill_core.networks import Network, uses_batch_statistics
from distill_core.partition import partition
from distill_core.runtime.execution import ExecutionMode, eager_mode
from distill_core.runtime.precision import autocast, forward_in_parts
from distill_core.settings import DistillationSettings, SettingsError

PLAIN_MODE = eager_mode("the readable path")


@dataclass(frozen=True, eq=False)
class RealFeatures:
    """Features of the real images of some classes, and what the losses make of them, computed once
    for all cells.
    """

    maps: Tensor
    """(K, N, C, H, W), float32, without gradient."""

    @cached_property
    def mean(self) -> Tensor:
        """(K, C·H·W): mean features of each class."""
        return self.maps.flatten(2).mean(dim=1)

    @cached_property
    def covariance(self) -> Tensor:
        """(K, C, C): see `local_covariance`."""
        return local_covariance(self.maps.flatten(3))


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is matched in one iteration.

    The images of every class contribute to the losses of that class alone, which is what allows
    chunks of classes.
    """

    network: Network
    """Matching network φ, frozen."""
    extractor: Network | None
    """Feature extractor ψ of class centralization; None where λ_CC is 0."""
    settings: DistillationSettings
    ce_weight: float | Tensor = 0.0
    """Weight of the cross entropy in this iteration: IDM's ce_weight · running accuracy in
    percent.
    """
    forward_images: int | None = None
    """Real images in one pass through φ, None for all; ignored where φ uses batch statistics."""
    mode: ExecutionMode = PLAIN_MODE
    """How images go through φ."""
    extractor_mode: ExecutionMode = PLAIN_MODE
    """How images go through ψ."""

    @property
    def batch_statistics(self) -> bool:
        """Whether features depend on the other images of a pass: batch norm in train mode, as DM
        has it.
        """
        return self.network.training and uses_batch_statistics(self.network)

    @torch.no_grad()
    def real_features(self, real: Tensor) -> RealFeatures:
        """Pass real images (K, N, C, H, W), augmented, through φ."""
        forward = forward_in_parts(
            self._feature_map, None if self.batch_statistics else self.forward_images
        )
        return RealFeatures(self._features(forward, real))

    def losses(self, real: RealFeatures, synthetic: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the losses, summed over classes, before their weights; those with weight 0 are
        left out.

        Args:
            real: features of the real images.
            synthetic: (K, M, C, H, W) augmented synthetic images.
            labels: (K,) the classes.
        """
        maps = self._features(self._feature_map, synthetic)
        losses = {"mean": squared_distance(real.mean, maps.flatten(2).mean(dim=1))}
        if self.settings.lambda_cc and self.extractor is not None:
            features = self._embedded(synthetic)
            losses["cc"] = class_centralization(
                features, alpha=self.settings.cc_alpha, beta=self.settings.cc_beta
            )
        if self.settings.lambda_cm:
            losses["cm"] = self._covariance_loss(real, maps)
        if self.settings.loss is not None:
            losses["own"] = _compute_custom_loss(self.settings.loss, real.maps.clone(), maps)
        if isinstance(self.ce_weight, Tensor) or self.ce_weight:
            logits = self.network.logits(maps.flatten(0, 1))
            targets = labels.repeat_interleave(synthetic.shape[1])
            # A class's cross entropy is the mean over its images; classes are summed like the other
            # losses.
            losses["ce"] = F.cross_entropy(logits, targets, reduction="sum") / synthetic.shape[1]
        return losses

    def _feature_map(self, images: Tensor) -> Tensor:
        return self.mode.run(FeatureMap(self.network), images)

    def _embedded(self, synthetic: Tensor) -> Tensor:
        """Return the features (K, M, D) of class centralization; a single image is its own mean in
        any features.
        """
        if synthetic.shape[1] == 1 or self.extractor is None:
            return synthetic.flatten(2)
        return self._features(
            partial(self.extractor_mode.run, Embedding(self.extractor)), synthetic
        )

    def _covariance_loss(self, real: RealFeatures, synthetic: Tensor) -> Tensor:
        if self.settings.covariance == "global":
            return global_covariance_matching(real.maps.flatten(2), synthetic.flatten(2))
        return squared_distance(real.covariance, local_covariance(synthetic.flatten(3)))

    def _features(self, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Map images (K, N, C, H, W) to float32 features (K, N, …)."""
        with autocast(self.settings.precision, images.device):
            features = network(images.flatten(0, 1))
        by_class: Tensor = features.float().unflatten(0, tuple(images.shape[:2]))
        return by_class

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of `losses`."""
        weights = {
            "mean": 1.0,
            "cc": self.settings.lambda_cc,
            "cm": self.settings.lambda_cm,
            "own": self.settings.lambda_loss,
            "ce": self.ce_weight,
        }
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


Losses = dict[str, Tensor]
"""Detached losses by name, with their weighted sum as "total"."""


def compute_gradients(
    objectives: Sequence[Objective],
    images: Sequence[Tensor],
    real: Callable[[slice], Tensor],
    draw: Draw | None,
    *,
    class_chunk: int,
) -> list[tuple[Tensor, Losses]]:
    """Return the gradient of each objective's total on its synthetic images, and the losses.

    The objectives share φ and the real images, whose features are computed once for all of them.

    Args:
        objectives: one a cell.
        images: (K, M, C, H, W) stored synthetic images of each cell, normalized.
        real: gives the normalized real images (k, N, C, H, W) of some of the classes.
        draw: Siamese augmentation, one operation a class, or None.
        class_chunk: classes in memory at once; it changes nothing but rounding. It is ignored where
            φ uses batch statistics, which span all classes.

    Returns:
        Gradient (K, M, C, H, W) and losses of each cell.
    """
    first, classes = objectives[0], len(images[0])
    results: list[tuple[Tensor, Losses]] = [(torch.empty_like(own), {}) for own in images]
    for part in split_classes(classes, classes if first.batch_statistics else class_chunk):
        augmentation = None if draw is None else draw.of(part)
        features = first.real_features(augment(real(part), augmentation))
        for objective, own, (gradient, sums) in zip(objectives, images, results, strict=True):
            gradient[part], losses = _compute_gradient(
                objective, own[part], features, augmentation, part.start
            )
            for name, loss in losses.items():
                sums[name] = sums[name] + loss if name in sums else loss
    return results


def _compute_gradient(
    objective: Objective, images: Tensor, real: RealFeatures, draw: Draw | None, first_class: int
) -> tuple[Tensor, Losses]:
    """Return gradient and losses of one cell's images (k, M, C, H, W) of the classes from
    `first_class` on.
    """
    leaf = images.detach().requires_grad_()
    synthetic = augment(decode_canvases(leaf, objective.settings.partition), draw)
    labels = torch.arange(first_class, first_class + len(images), device=images.device)
    losses = objective.losses(real, synthetic, labels)
    total = objective.total(losses)
    (gradient,) = torch.autograd.grad(total, leaf)
    return gradient, {name: loss.detach() for name, loss in (*losses.items(), ("total", total))}


def _compute_custom_loss(name: str, real: Tensor, synthetic: Tensor) -> Tensor:
    loss = import_object(name)(real, synthetic)
    if not isinstance(loss, Tensor) or loss.dim():
        what = (
            f"shape {tuple(loss.shape)}"
            if isinstance(loss, Tensor)
            else f"type {type(loss).__name__}"
        )
        raise SettingsError(
            f"loss {name!r} returned something of {what}; it has to be a tensor without dimensions"
        )
    return loss


def decode_canvases(images: Tensor, factor: int) -> Tensor:
    """Return the training images of stored images, class by class: (K, M, C, H, W) to (K,
    factor²·M, C, H, W).
    """
    if factor == 1:
        return images
    cells = partition(images.flatten(0, 1), factor).unflatten(0, (factor**2, *images.shape[:2]))
    by_class: Tensor = cells.transpose(0, 1).flatten(1, 2)
    return by_class


def split_classes(classes: int, size: int) -> Iterator[slice]:
    """Cut range(classes) into slices of at most `size`."""
    return (slice(start, min(start + size, classes)) for start in range(0, classes, size))
