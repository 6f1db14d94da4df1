"""The objective of IID, L = L_base + λ_CC·L_CC + λ_CM·L_CM, and its gradient on the images.

It is computed on one batch of classes. Sets of one cohort differ in the weights; they match the
same real images in the same network.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_core.augmentation import Draw, augment
from distill_core.distillation.custom_loss import CustomLoss
from distill_core.distillation.execution_modes import Embedding, FeatureMap
from distill_core.distillation.losses import (
    class_centralization,
    global_covariance_matching,
    local_covariance,
    squared_distance,
)
from distill_core.distillation.view import Features, View, pass_with_blocks
from distill_core.networks import Network, uses_batch_statistics
from distill_core.partition import partition
from distill_core.runtime.execution import ExecutionMode, eager_mode
from distill_core.runtime.precision import autocast, forward_in_parts
from distill_core.seeds import generator, use_global_seed
from distill_core.settings import DistillationSettings

PLAIN_MODE = eager_mode("the readable path")


class DrawIdentity(NamedTuple):
    """What the draws of an iteration depend on, besides their purpose."""

    dataset: str
    seed: int
    iteration: int

    def build_generator(self, purpose: str) -> torch.Generator:
        """Return a CPU generator for a purpose of a custom loss."""
        return generator("custom loss", purpose, *self)


@dataclass(frozen=True, eq=False)
class RealFeatures:
    """Features of real images of some classes, and their moments, computed once for all sets."""

    maps: Tensor
    """(K, N, C, H, W), float32, without gradient."""
    images: Tensor
    """(K, N, channels, size, size), augmented."""
    blocks: tuple[Tensor, ...] = ()
    """Maps of the network's blocks, where a loss needs them."""

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
    """The losses of one set in one iteration.

    The images of a class contribute to the losses of that class alone, which allows chunks of
    classes.
    """

    network: Network
    """Matching network φ, frozen."""
    extractor: Network | None
    """Feature extractor ψ of class centralization; None where λ_CC is 0."""
    settings: DistillationSettings
    ce_weight: float | Tensor = 0.0
    """Weight of the cross entropy in this iteration: IDM's ce_weight · running accuracy in %."""
    forward_images: int | None = None
    """Real images in one pass through φ, None for all; ignored where φ uses batch statistics."""
    mode: ExecutionMode = PLAIN_MODE
    """How φ is run."""
    extractor_mode: ExecutionMode = PLAIN_MODE
    """How ψ is run."""
    losses: Sequence[CustomLoss] = ()
    """Custom losses of the set."""
    classes: int = 0
    """Of the data set, for custom losses."""
    draws: DrawIdentity | None = None
    """What seeds the generators of custom losses."""

    @property
    def batch_statistics(self) -> bool:
        """Whether features depend on the other images of a pass: batch norm in train mode (DM)."""
        return self.network.training and uses_batch_statistics(self.network)

    @property
    def needs_blocks(self) -> bool:
        """Whether a loss needs the maps of the network's blocks."""
        return any(loss.needs_blocks for loss in self.losses)

    @torch.no_grad()
    def compute_real_features(self, real: Tensor, *, blocks: bool = False) -> RealFeatures:
        """Pass real images (K, N, C, H, W), augmented, through φ; with maps of blocks if asked."""
        size = None if self.batch_statistics else self.forward_images
        if not blocks:
            forward = forward_in_parts(self._feature_map, size)
            return RealFeatures(self._compute_features(forward, real), real)
        maps, *of_blocks = self._pass_with_blocks(real, size)
        if not self.mode.is_eager:
            # As for sets without such a loss, with which these maps are shared.
            maps = self._compute_features(forward_in_parts(self._feature_map, size), real)
        return RealFeatures(maps, real, tuple(of_blocks))

    def compute_losses(
        self, real: RealFeatures, synthetic: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Compute the losses, summed over classes and unweighted; those of weight 0 are left out.

        Args:
            real: features of the real images.
            synthetic: (K, M, C, H, W) augmented synthetic images.
            labels: (K,) the classes.
        """
        blocks: list[Tensor] = []
        if self.needs_blocks:
            maps, *blocks = self._pass_with_blocks(synthetic, None)
        else:
            maps = self._compute_features(self._feature_map, synthetic)
        losses: dict[str, Tensor] = {}
        if self.settings.lambda_mean:
            losses["mean"] = squared_distance(real.mean, maps.flatten(2).mean(dim=1))
        if self.settings.lambda_cc and self.extractor is not None:
            features = self._embed(synthetic)
            losses["cc"] = class_centralization(
                features, alpha=self.settings.cc_alpha, beta=self.settings.cc_beta
            )
        if self.settings.lambda_cm:
            losses["cm"] = self._compute_covariance_loss(real, maps)
        if self.losses:
            seen = Features(synthetic, maps, tuple(blocks), self.network)
            view = self._build_view(real, seen, labels)
            for loss in self.losses:
                losses[loss.term.label] = loss.compute(view)
        if isinstance(self.ce_weight, Tensor) or self.ce_weight:
            logits = self.network.logits(maps.flatten(0, 1))
            targets = labels.repeat_interleave(synthetic.shape[1])
            # The mean over the images of a class, summed over classes like the other losses.
            losses["ce"] = F.cross_entropy(logits, targets, reduction="sum") / synthetic.shape[1]
        return losses

    def _build_view(self, real: RealFeatures, synthetic: Features, labels: Tensor) -> View:
        """Build what custom losses see."""
        identity = self.draws or DrawIdentity("", 0, 0)
        return View(
            real=Features(real.images, real.maps, real.blocks, self.network),
            synthetic=synthetic,
            labels=labels,
            classes=self.classes or len(labels),
            extractor=self.extractor if self.settings.lambda_cc else None,
            iteration=identity.iteration,
            iterations=self.settings.iterations,
            draw=identity.build_generator,
        )

    def _pass_with_blocks(self, images: Tensor, size: int | None) -> list[Tensor]:
        """Return feature map and maps of blocks (K, N, …), float32; hooks need an eager pass."""
        flat = images.flatten(0, 1)
        with autocast(self.settings.precision, images.device):
            parts = [pass_with_blocks(self.network, part) for part in flat.split(size or len(flat))]
        joined = [
            parts[0][i] if len(parts) == 1 else torch.cat(maps)
            for i, maps in enumerate(zip(*parts, strict=True))
        ]
        return [maps.float().unflatten(0, tuple(images.shape[:2])) for maps in joined]

    def _feature_map(self, images: Tensor) -> Tensor:
        return self.mode.run(FeatureMap(self.network), images)

    def _embed(self, synthetic: Tensor) -> Tensor:
        """Return the features (K, M, D) of class centralization."""
        # A single image is its own mean in any features, so its pixels serve as well.
        if synthetic.shape[1] == 1 or self.extractor is None:
            return synthetic.flatten(2)
        extractor = partial(self.extractor_mode.run, Embedding(self.extractor))
        return self._compute_features(extractor, synthetic)

    def _compute_covariance_loss(self, real: RealFeatures, synthetic: Tensor) -> Tensor:
        if self.settings.covariance == "global":
            return global_covariance_matching(real.maps.flatten(2), synthetic.flatten(2))
        return squared_distance(real.covariance, local_covariance(synthetic.flatten(3)))

    def _compute_features(self, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Map images (K, N, C, H, W) to float32 features (K, N, …)."""
        with autocast(self.settings.precision, images.device):
            features = network(images.flatten(0, 1))
        by_class: Tensor = features.float().unflatten(0, tuple(images.shape[:2]))
        return by_class

    def sum_weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of `losses`."""
        weights: dict[str, float | Tensor] = {
            "mean": self.settings.lambda_mean,
            "cc": self.settings.lambda_cc,
            "cm": self.settings.lambda_cm,
            "ce": self.ce_weight,
        }
        weights |= {loss.term.label: loss.term.weight for loss in self.losses}
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


Losses = dict[str, Tensor]
"""Detached losses by name, with their weighted sum as "total"."""


class SetGradient(NamedTuple):
    """The gradient of one set."""

    gradient: Tensor
    """(K, M, C, H, W)."""
    losses: Losses


def compute_gradients(
    objectives: Sequence[Objective],
    images: Sequence[Tensor],
    real: Callable[[slice], Tensor],
    draw: Draw | None,
    *,
    class_chunk: int,
    seed: int | None = None,
) -> list[SetGradient]:
    """Compute the gradient of each objective on its synthetic images, and the losses.

    The objectives share φ and the real images, whose features are computed once for all of them.

    Args:
        objectives: one per set.
        images: (K, M, C, H, W) stored synthetic images of each set, normalized.
        real: returns the normalized real images (k, N, C, H, W) of some of the classes.
        draw: Siamese augmentation, one operation per class, or None.
        class_chunk: classes in memory at once; it changes only rounding. It is ignored where φ uses
            batch statistics, which span all classes.
        seed: of the global generators in each pass, so that dropout is the same for a set alone and
            in a cohort; None where nothing draws from them.

    Returns:
        Gradient and losses of each set.
    """
    first, classes = objectives[0], len(images[0])
    results = [SetGradient(torch.empty_like(stored), {}) for stored in images]
    with_blocks = any(objective.needs_blocks for objective in objectives)
    for part in split_classes(classes, classes if first.batch_statistics else class_chunk):
        augmentation = None if draw is None else draw.select(part)
        with nullcontext() if seed is None else use_global_seed(seed):
            features = first.compute_real_features(
                augment(real(part), augmentation), blocks=with_blocks
            )
        for objective, stored, result in zip(objectives, images, results, strict=True):
            with nullcontext() if seed is None else use_global_seed(seed):
                gradient, losses = _compute_gradient(
                    objective, stored[part], features, augmentation, part.start
                )
            result.gradient[part] = gradient
            _add_losses(result.losses, losses)
    return results


def _add_losses(sums: Losses, losses: Losses) -> None:
    """Add the losses of some classes to those of the classes before."""
    for name, loss in losses.items():
        sums[name] = sums[name] + loss if name in sums else loss


def _compute_gradient(
    objective: Objective, images: Tensor, real: RealFeatures, draw: Draw | None, first_class: int
) -> SetGradient:
    """Compute gradient and losses of images (k, M, C, H, W) of classes from `first_class` on."""
    leaf = images.detach().requires_grad_()
    synthetic = augment(decode_canvases(leaf, objective.settings.partition), draw)
    labels = torch.arange(first_class, first_class + len(images), device=images.device)
    losses = objective.compute_losses(real, synthetic, labels)
    losses["total"] = objective.sum_weighted(losses)
    (gradient,) = torch.autograd.grad(losses["total"], leaf)
    return SetGradient(gradient, {name: loss.detach() for name, loss in losses.items()})


def decode_canvases(images: Tensor, factor: int) -> Tensor:
    """Cut canvases (K, M, C, H, W) into training images (K, factor²·M, C, H, W), class by class."""
    if factor == 1:
        return images
    tiles = partition(images.flatten(0, 1), factor).unflatten(0, (factor**2, *images.shape[:2]))
    by_class: Tensor = tiles.transpose(0, 1).flatten(1, 2)
    return by_class


def split_classes(classes: int, size: int) -> Iterator[slice]:
    """Cut range(classes) into slices of at most `size`."""
    return (slice(start, min(start + size, classes)) for start in range(0, classes, size))
