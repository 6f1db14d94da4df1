"""What every format gets to write, and what its reader gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill_core.settings import SettingsError
from distill_core.synthetic_set import SyntheticSet, to_pixels

ROUNDING = 1e-6
"""Pixels this little outside [0, 1] are rounding of the normalization, not values that clipping
loses.
"""


class ExportError(SettingsError):
    """A set cannot be exported as asked; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """What networks trained on the set reached, as the store has it."""

    network: str
    protocol: str
    split: str
    accuracies: tuple[float, ...]
    """Fractions, one a network."""
    mean: float
    std: float
    """Population standard deviation over the networks."""
    interval: tuple[float, float] | None
    """95 % interval of the mean over networks; None with a single network."""
    settings: Mapping[str, Any]
    """The training schedule."""


@dataclass(frozen=True, kw_only=True)
class PixelLoss:
    """What storing pixels in 8 bits loses; pixels count from 0 to 1."""

    largest: float
    """Largest absolute difference."""
    mean: float
    """Mean absolute difference."""
    clipped: float
    """Share of values outside [0, 1], which 8 bits cannot hold."""


@dataclass(frozen=True, kw_only=True)
class ExportContent:
    """A set as training images: partition decoded, sorted by class if the format needs that."""

    source: SyntheticSet
    images: Tensor
    """float32 (N, C, H, W), normalized."""
    labels: Tensor
    """int64 (N,)."""
    soft_labels: Tensor | None
    """float32 (N, K), probabilities of the classes, where the set has them."""
    accuracies: tuple[Accuracy, ...]

    @classmethod
    def of(
        cls, source: SyntheticSet, accuracies: tuple[Accuracy, ...] = (), *, by_class: bool = False
    ) -> "ExportContent":
        """Decode a set; `by_class` sorts it, unless soft labels say of each image what it is."""
        images, targets = source.training_images()
        soft = None if source.soft_labels is None else targets
        labels = targets if soft is None else source.labels.repeat(source.partition**2)
        if by_class and soft is None:
            order = labels.argsort(stable=True)
            images, labels = images[order], labels[order]
        return cls(
            source=source, images=images, labels=labels, soft_labels=soft, accuracies=accuracies
        )

    def counts(self) -> list[int]:
        """Return the images of each class.

        Raises:
            ExportError: a class has none, which layouts without labels of their own cannot say.
        """
        counts: list[int] = self.labels.bincount(minlength=len(self.source.class_names)).tolist()
        if 0 in counts:
            raise ExportError(
                f"class {self.source.class_names[counts.index(0)]!r} has no image, which this"
                " format cannot say; choose mtt, dc, hf or safetensors"
            )
        return counts

    @property
    def targets(self) -> Tensor:
        """What a network is trained to say: the soft labels where there are some, the classes
        otherwise.
        """
        return self.labels if self.soft_labels is None else self.soft_labels

    @property
    def pixels(self) -> Tensor:
        """The images in pixel space, nominally [0, 1]."""
        return to_pixels(self.images, self.source.mean, self.source.std)

    def bytes(self) -> Tensor:
        """Return the pixels in 8 bits, uint8 (N, C, H, W): clipped to [0, 1] and rounded."""
        return (self.pixels.clamp(0, 1) * 255).round().to(torch.uint8)

    def pixel_loss(self) -> PixelLoss:
        """Measure what `bytes` loses."""
        difference = (self.pixels - self.bytes().float() / 255).abs()
        outside = (self.pixels < -ROUNDING) | (self.pixels > 1 + ROUNDING)
        return PixelLoss(
            largest=float(difference.max()),
            mean=float(difference.mean()),
            clipped=float(outside.float().mean()),
        )


@dataclass(frozen=True, kw_only=True)
class Format:
    """One layout in which a set can leave the house."""

    name: str
    about: str
    """Who reads it and what the files are, a sentence."""
    write: Callable[[ExportContent, Path], None]
    """Writes the files into an empty folder."""
    read: Callable[[Path, SyntheticSet], tuple[Tensor, Tensor]]
    """Reads the folder with the library that its users read it with. Returns what a network trains
    on: normalized images (N, C, H, W), and classes, int64 (N,), or probabilities, float32 (N, K).
    The set says the normalization."""
    loading: Callable[[ExportContent], str]
    """Lines of Python that do the same in a script; they define `images` and `labels` and may use
    torch.
    """
    decoded: bool = True
    """Whether it holds training images, because its readers know no partition factor, or
    canvases.
    """
    by_class: bool = False
    """Whether images with hard labels are in the order of their classes."""
    eight_bits: bool = False
    """Whether pixels are stored in 8 bits."""
    soft_labels: bool = True
    """Whether it can hold soft labels."""


def build_tensor_line(name: str, values: tuple[float, ...]) -> str:
    """Return the line of Python that makes a tensor of one value a channel, (C, 1, 1)."""
    return f"{name} = torch.tensor({list(values)}).view(-1, 1, 1)"
