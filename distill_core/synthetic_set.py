"""The synthetic set: a few images per class, with everything that is needed to train on them.

One safetensors file holds the images in pixel space (nominally [0, 1], nothing is clipped) and the
labels. Its header holds, as JSON, the data set, class names, normalization, IPC, partition factor,
method and full spec.
"""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from distill_core.partition import partition
from distill_core.tensor_files import write_tensors

HEADER = "iid"
FORMAT_VERSION = 2
"""Of files with soft labels; others are written as version 1, so that older programs read them."""
TENSORS = ("images", "labels", "soft_labels")


class SyntheticSetError(ValueError):
    """A file is not a synthetic set or is damaged; the message names the file."""


@dataclass(frozen=True, kw_only=True)
class SyntheticSet:
    """Synthetic images, their labels, and how to read them.

    Raises:
        SyntheticSetError: shapes, labels and metadata do not fit together.
    """

    images: Tensor
    """float32 (N, C, H, W) in pixel space, nominally [0, 1]."""
    labels: Tensor
    """int64 (N,); in a set with soft labels the most likely classes."""
    soft_labels: Tensor | None = None
    """float32 (N, K), probabilities of the classes; None if the set has none."""
    dataset: str
    dataset_version: int = 1
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    """Per channel, in pixel space; training images are normalized with it."""
    std: tuple[float, ...]
    """Per channel."""
    ipc: int
    """Stored images per class."""
    partition: int = 1
    """Tiles per side into which each stored image is cut for training."""
    method: str
    """Name of the method, such as "DM+IID"."""
    spec: dict[str, Any] = field(default_factory=dict)
    """Every setting of the distillation."""
    key: str | None = None
    """Key of the unit that produced it."""

    def __post_init__(self) -> None:
        if self.images.dim() != 4 or self.labels.shape != self.images.shape[:1]:
            raise SyntheticSetError(
                f"images {tuple(self.images.shape)} and labels {tuple(self.labels.shape)} are not"
                " (N, C, H, W) and (N,)"
            )
        channels = self.images.shape[1]
        if not len(self.mean) == len(self.std) == channels:
            raise SyntheticSetError(
                f"{channels} channels, but {len(self.mean)} means and {len(self.std)} deviations"
            )
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(
            self.class_names
        ):
            raise SyntheticSetError(
                f"labels must be in 0…{len(self.class_names) - 1}, one for each class name"
            )
        soft = self.soft_labels
        if soft is not None and soft.shape != (len(self.labels), len(self.class_names)):
            raise SyntheticSetError(
                f"soft labels {tuple(soft.shape)} are not ({len(self.labels)},"
                f" {len(self.class_names)}): a probability of each class for each image"
            )
        if self.partition < 1 or self.images.shape[-1] % self.partition:
            raise SyntheticSetError(
                f"partition {self.partition} does not divide {self.images.shape[-1]} pixels"
            )

    def training_images(self) -> tuple[Tensor, Tensor]:
        """Return normalized images (N', C, H, W), cut by the partition, and their labels.

        Labels are classes, int64 (N',), or in a set with soft labels probabilities, float32
        (N', K).
        """
        images = partition(to_normalized(self.images, self.mean, self.std), self.partition)
        labels = self.labels if self.soft_labels is None else self.soft_labels
        return images, labels.repeat(self.partition**2, *[1] * (labels.dim() - 1))

    def save(self, path: Path) -> None:
        """Write the set as one safetensors file."""
        metadata = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in TENSORS}
        version = 1 if self.soft_labels is None else FORMAT_VERSION
        header = {HEADER: json.dumps({"format": version, **metadata}, allow_nan=False)}
        tensors = {name: value for name in TENSORS if (value := getattr(self, name)) is not None}
        write_tensors(tensors, path, metadata=header)

    @classmethod
    def load(cls, path: Path) -> "SyntheticSet":
        """Read a set that `save` wrote to the CPU.

        Raises:
            SyntheticSetError: the file is missing, damaged, or not a synthetic set.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = json.loads((file.metadata() or {})[HEADER])
                tensors = {name: file.get_tensor(name) for name in TENSORS if name in file.keys()}  # noqa: SIM118
            images, labels, soft = tensors["images"], tensors["labels"], tensors.get("soft_labels")
            if metadata.pop("format") > FORMAT_VERSION:
                raise SyntheticSetError("a newer version of this program wrote it; update")
            for name in ("class_names", "mean", "std"):
                metadata[name] = tuple(metadata[name])
            soft = None if soft is None else soft.float()
            return cls(images=images.float(), labels=labels.long(), soft_labels=soft, **metadata)
        except (
            *(OSError, SafetensorError, KeyError, TypeError, ValueError),
            *(AttributeError, RuntimeError),  # a header of null, or nested a thousand times
        ) as error:
            raise SyntheticSetError(f"{path} is not a synthetic set: {error}") from error


def to_normalized(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Map images (…, C, H, W) from pixel space to normalized space: (x − mean) / std."""
    return (images - _per_channel(mean, images)) / _per_channel(std, images)


def to_pixels(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Map images (…, C, H, W) from normalized space to pixel space: x · std + mean."""
    return images * _per_channel(std, images) + _per_channel(mean, images)


def _per_channel(values: tuple[float, ...], images: Tensor) -> Tensor:
    return torch.tensor(values, dtype=images.dtype, device=images.device).view(-1, 1, 1)
