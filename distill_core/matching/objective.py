"""The objective of IID on one batch of classes: L = L_base + λ_CC·L_CC + λ_CM·L_CM, and its gradient on the images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_core.augment import Draw, augment
from distill_core.extensions import find
from distill_core.losses import (
    class_centralization,
    covariance_matching,
    global_covariance_matching,
    mean_matching,
)
from distill_core.networks import Network, uses_batch_statistics
from distill_core.partition import partition
from distill_core.precision import autocast, forward_only
from distill_core.settings import DistillationSettings, SettingsError


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is matched in one iteration.

    The images of every class contribute to the losses of that class alone, which is what allows chunks of classes.
    """

    network: Network
    """Matching network φ, frozen."""
    extractor: Network | None
    """Feature extractor ψ of class centralization; None where λ_CC is 0."""
    settings: DistillationSettings
    ce_weight: float = 0.0
    """Weight of the cross entropy in this iteration: IDM's ce_weight · running accuracy in percent."""
    forward_images: int | None = None
    """Real images in one pass through φ, None for all; ignored where φ uses batch statistics."""

    @property
    def batch_statistics(self) -> bool:
        """Whether features depend on the other images of a pass: batch norm in train mode, as DM has it."""
        return self.network.training and uses_batch_statistics(self.network)

    def losses(self, real: Tensor, synthetic: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the losses, summed over classes, before their weights; those with weight 0 are left out.

        Args:
            real: (K, N, C, H, W) augmented real images.
            synthetic: (K, M, C, H, W) augmented synthetic images.
            labels: (K,) the classes.
        """
        with torch.no_grad():
            real_map = self._features(
                forward_only(self.network.feature_map, None if self.batch_statistics else self.forward_images), real
            )
        synthetic_map = self._features(self.network.feature_map, synthetic)
        losses = {"mean": mean_matching(real_map.flatten(2), synthetic_map.flatten(2))}
        if self.settings.lambda_cc and self.extractor is not None:
            features = self._features(self.extractor.embed, synthetic)
            losses["cc"] = class_centralization(features, alpha=self.settings.cc_alpha, beta=self.settings.cc_beta)
        if self.settings.lambda_cm:
            losses["cm"] = self._covariance_loss(real_map, synthetic_map)
        if self.settings.loss is not None:
            losses["own"] = _own_loss(self.settings.loss, real_map, synthetic_map)
        if self.ce_weight:
            logits = self.network.logits(synthetic_map.flatten(0, 1))
            targets = labels.repeat_interleave(synthetic.shape[1])
            # A class's cross entropy is the mean over its images; classes are summed like the other losses.
            losses["ce"] = F.cross_entropy(logits, targets, reduction="sum") / synthetic.shape[1]
        return losses

    def _covariance_loss(self, real_map: Tensor, synthetic_map: Tensor) -> Tensor:
        if self.settings.covariance == "global":
            return global_covariance_matching(real_map.flatten(2), synthetic_map.flatten(2))
        return covariance_matching(real_map.flatten(3), synthetic_map.flatten(3))

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

    def gradient(
        self, images: Tensor, real: Callable[[slice], Tensor], draw: Draw | None, *, class_chunk: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the gradient of the total on the synthetic images, and the losses.

        Args:
            images: (K, M, C, H, W) stored synthetic images, normalised.
            real: gives the normalised real images (k, N, C, H, W) of some of the classes.
            draw: Siamese augmentation, one operation a class, or None.
            class_chunk: classes in memory at once; it changes nothing but rounding. It is ignored where φ uses batch
                statistics, which span all classes.

        Returns:
            Gradient (K, M, C, H, W), and the detached losses by name with their weighted sum as "total".
        """
        if self.batch_statistics:
            class_chunk = len(images)
        gradient = torch.empty_like(images)
        sums: dict[str, Tensor] = {}
        for classes in chunks(len(images), class_chunk):
            leaf = images[classes].detach().requires_grad_()
            part = None if draw is None else draw.of(classes)
            synthetic = augment(decode(leaf, self.settings.partition), part)
            labels = torch.arange(classes.start, classes.stop, device=images.device)
            losses = self.losses(augment(real(classes), part), synthetic, labels)
            total = self.total(losses)
            (gradient[classes],) = torch.autograd.grad(total, leaf)
            for name, loss in (*losses.items(), ("total", total)):
                sums[name] = sums.get(name, torch.zeros_like(loss)) + loss.detach()
        return gradient, sums


def _own_loss(name: str, real: Tensor, synthetic: Tensor) -> Tensor:
    loss = find(name)(real, synthetic)
    if not isinstance(loss, Tensor) or loss.dim():
        what = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"type {type(loss).__name__}"
        raise SettingsError(f"loss {name!r} returned something of {what}; it has to be a tensor without dimensions")
    return loss


def decode(images: Tensor, factor: int) -> Tensor:
    """Return the training images of stored images, class by class: (K, M, C, H, W) to (K, factor²·M, C, H, W)."""
    if factor == 1:
        return images
    cells = partition(images.flatten(0, 1), factor).unflatten(0, (factor**2, *images.shape[:2]))
    by_class: Tensor = cells.transpose(0, 1).flatten(1, 2)
    return by_class


def chunks(classes: int, size: int) -> Iterator[slice]:
    """Cut range(classes) into slices of at most `size`."""
    return (slice(start, min(start + size, classes)) for start in range(0, classes, size))
