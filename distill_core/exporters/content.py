"""What all formats write, and the interface of a format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill_core.settings import SettingsError
from distill_core.synthetic_set import SyntheticSet, to_pixels

ROUNDING = 1e-6
"""Pixels outside [0, 1] by less than this come from rounding and do not count as clipped."""


class ExportError(SettingsError):
    """A set cannot be exported as requested; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Accuracy of networks trained on the set, as recorded in the store."""

    network: str
    protocol: str
    split: str
    accuracies: tuple[float, ...]
    """Fractions, one per network."""
    mean: float
    std: float
    """Population standard deviation over the networks."""
    interval: tuple[float, float] | None
    """95 % interval of the mean over networks; None with a single network."""
    settings: Mapping[str, Any]
    """The training schedule."""


@dataclass(frozen=True, kw_only=True)
class PixelLoss:
    """What storing pixels in 8 bits loses; pixels range from 0 to 1."""

    largest: float
    """Largest absolute difference."""
    mean: float
    """Mean absolute difference."""
    clipped: float
    """Share of values outside [0, 1], which 8 bits cannot hold."""


@dataclass(frozen=True, kw_only=True)
class ExportContent:
    """A set as training images: cut by its partition, sorted by class if the format requires it."""

    source: SyntheticSet
    images: Tensor
    """float32 (N, C, H, W), normalized."""
    labels: Tensor
    """int64 (N,)."""
    soft_labels: Tensor | None
    """float32 (N, K), probabilities of the classes; None if the set has none."""
    accuracies: tuple[Accuracy, ...]

    @classmethod
    def from_set(
        cls, source: SyntheticSet, accuracies: tuple[Accuracy, ...] = (), *, by_class: bool = False
    ) -> "ExportContent":
        """Decode a set; `by_class` sorts it unless it has soft labels."""
        images, targets = source.training_images()
        soft = None if source.soft_labels is None else targets
        labels = targets if soft is None else source.labels.repeat(source.partition**2)
        if by_class and soft is None:
            order = labels.argsort(stable=True)
            images, labels = images[order], labels[order]
        return cls(
            source=source, images=images, labels=labels, soft_labels=soft, accuracies=accuracies
        )

    def count_by_class(self) -> list[int]:
        """Count the images of each class.

        Raises:
            ExportError: a class has none, which layouts without labels cannot express.
        """
        counts: list[int] = self.labels.bincount(minlength=len(self.source.class_names)).tolist()
        if 0 in counts:
            raise ExportError(
                f"class {self.source.class_names[counts.index(0)]!r} has no image, which this"
                " format cannot express; choose mtt, dc, hf or safetensors"
            )
        return counts

    @property
    def targets(self) -> Tensor:
        """The training targets: soft labels if there are any, otherwise classes."""
        return self.labels if self.soft_labels is None else self.soft_labels

    @property
    def pixels(self) -> Tensor:
        """The images in pixel space, nominally [0, 1]."""
        return to_pixels(self.images, self.source.mean, self.source.std)

    def to_bytes(self) -> Tensor:
        """Return the pixels in 8 bits, uint8 (N, C, H, W): clipped to [0, 1] and rounded."""
        return (self.pixels.clamp(0, 1) * 255).round().to(torch.uint8)

    def measure_pixel_loss(self) -> PixelLoss:
        """Measure what `to_bytes` loses."""
        difference = (self.pixels - self.to_bytes().float() / 255).abs()
        outside = (self.pixels < -ROUNDING) | (self.pixels > 1 + ROUNDING)
        return PixelLoss(
            largest=float(difference.max()),
            mean=float(difference.mean()),
            clipped=float(outside.float().mean()),
        )


@dataclass(frozen=True, kw_only=True)
class Format:
    """One layout for exported sets."""

    name: str
    about: str
    """What the files are and who reads them, in one sentence."""
    write: Callable[[ExportContent, Path], None]
    """Writes the files into an empty folder."""
    read: Callable[[Path, SyntheticSet], tuple[Tensor, Tensor]]
    """Reads the folder with the library that its users have. Returns normalized images (N, C, H, W)
    and targets: classes, int64 (N,), or probabilities, float32 (N, K). The set provides mean and
    standard deviation."""
    build_loading_code: Callable[[ExportContent], str]
    """Returns lines of Python that do the same in a script: they define `images` and `labels`."""
    decoded: bool = True
    """Whether it has training images, for readers that do not know partitions, or canvases."""
    by_class: bool = False
    """Whether images with hard labels are in the order of their classes."""
    eight_bits: bool = False
    """Whether pixels are stored in 8 bits."""
    soft_labels: bool = True
    """Whether it supports soft labels."""


def build_tensor_line(name: str, values: tuple[float, ...]) -> str:
    """Return a line of Python that builds a tensor of one value per channel, (C, 1, 1)."""
    return f"{name} = torch.tensor({list(values)}).view(-1, 1, 1)"
