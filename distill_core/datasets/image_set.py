"""Images as uint8 on a device, grouped by class and normalized when they are read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

from distill_core.datasets.info import DatasetError
from distill_core.seeds import to_device


@dataclass(frozen=True, slots=True)
class Restriction:
    """The whole set that some classes were taken from; needed to repeat splits of the whole set."""

    counts: tuple[int, ...]
    """Number of images of each class of the whole set."""
    classes: tuple[int, ...]
    """Classes of the whole set that were kept, in their new order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """Labeled images sorted by class; within a class in the order in which they were read.

    Example: `ImageSet.build(images, labels, classes=10, name="digits", mean=(0.3,), std=(0.3,))`.
    """

    name: str
    """Name of the data set."""
    images: Tensor
    """uint8 (N, C, H, W), sorted by class."""
    labels: Tensor
    """int64 (N,), ascending, on the device of the images."""
    counts: tuple[int, ...]
    """Number of images of each class."""
    mean: tuple[float, ...]
    """Mean of each channel, pixels in [0, 1]."""
    std: tuple[float, ...]
    """Standard deviation of each channel, pixels in [0, 1]."""
    restriction: Restriction | None = None
    """The whole set, if `keep_classes` made this one."""

    @classmethod
    def build(
        cls,
        images: Tensor,
        labels: Tensor,
        *,
        classes: int,
        name: str,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device | str = "cpu",
    ) -> "ImageSet":
        """Sort images by class and move them to a device.

        Args:
            images: uint8 (N, C, H, W).
            labels: int64 (N,) in 0 … classes − 1.
            classes: number of classes; some may have no image.
            name: name of the data set.
            mean: mean of each channel, pixels in [0, 1].
            std: standard deviation of each channel, pixels in [0, 1].
            device: where the images are kept.

        Raises:
            DatasetError: shapes, types or labels do not fit together.
        """
        if images.dtype != torch.uint8 or images.dim() != 4 or labels.shape != images.shape[:1]:
            raise DatasetError(
                f"{name}: needs uint8 images (N, C, H, W) and N labels, "
                f"not {images.dtype} {tuple(images.shape)} and {tuple(labels.shape)}"
            )
        if len(mean) != images.shape[1] or len(std) != images.shape[1]:
            raise DatasetError(
                f"{name}: mean {tuple(mean)} and std {tuple(std)} need one value for each of"
                f" {images.shape[1]} channels"
            )
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise DatasetError(f"{name}: labels must be in 0 … {classes - 1}")
        labels, order = labels.long().sort(stable=True)
        return cls(
            name=name,
            images=images[order].to(device),
            labels=labels.to(device),
            counts=tuple(labels.bincount(minlength=classes).tolist()),
            mean=tuple(mean),
            std=tuple(std),
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.counts)

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return self.images.shape[1]

    @property
    def image_size(self) -> int:
        """Height of an image in pixels."""
        return self.images.shape[2]

    @property
    def device(self) -> torch.device:
        """The device that holds the images."""
        return self.images.device

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Index of the first image of each class."""
        return tuple(accumulate(self.counts, initial=0))[:-1]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the content: see `compute_fingerprint`."""
        return compute_fingerprint(self)

    def normalize(self, images: Tensor) -> Tensor:
        """Convert uint8 images (…, C, H, W) to float32 (pixel/255 − mean)/std."""
        return images.to(torch.float32).div_(255).sub_(self._mean).div_(self._std)

    def normalized(self, indices: Tensor) -> Tensor:
        """Return the images at int64 indices (…) as normalized float32 (…, C, H, W)."""
        return self.normalize(self.images[indices])

    def images_of_class(self, label: int) -> Tensor:
        """Return all uint8 images (N_c, C, H, W) of a class."""
        return self.images[self.offsets[label] : self.offsets[label] + self.counts[label]]

    def draw(self, generator: torch.Generator, n: int) -> Tensor:
        """Draw images of every class, uniformly and in random order.

        Args:
            generator: a CPU generator; equal seeds give equal draws on every device.
            n: images per class. They are distinct; a smaller class repeats its images.

        Returns:
            int64 indices (K, m), row c of class c, m = min(n, largest class).

        Raises:
            DatasetError: a class has no image.
        """
        m = min(n, max(self.counts))
        if m < 1 or not all(self.counts):
            raise DatasetError(
                f"{self.name}: cannot draw {n} images of class"
                f" {self.counts.index(min(self.counts))}"
            )
        keys = torch.rand(self.classes, max(self.counts), generator=generator)
        chosen = keys.masked_fill_(self._absent, -1).topk(m, dim=1).indices
        if m > min(self.counts):
            chosen = chosen.gather(1, torch.arange(m) % torch.tensor(self.counts)[:, None])
        return to_device(chosen + torch.tensor(self.offsets)[:, None], self.device)

    def draw_batch(self, generator: torch.Generator, n: int) -> Tensor:
        """Draw int64 indices of min(n, N) distinct images of the set, from a CPU generator."""
        return to_device(torch.randperm(len(self), generator=generator)[:n], self.device)

    def subset(self, indices: Tensor) -> "ImageSet":
        """Return the images at int64 indices (M,) as a set with the same classes and statistics."""
        return ImageSet.build(
            self.images[indices],
            self.labels[indices],
            classes=self.classes,
            name=self.name,
            mean=self.mean,
            std=self.std,
            device=self.device,
        )

    def keep_classes(self, classes: Sequence[int]) -> "ImageSet":
        """Return all images of some classes, which become classes 0, 1, …, in the order given.

        Raises:
            DatasetError: no class is given, one is given twice, or one does not exist.
        """
        unknown = [c for c in classes if not 0 <= c < self.classes]
        if unknown:
            raise DatasetError(
                f"{self.name} has no class {unknown[0]}; its classes are 0 … {self.classes - 1}"
            )
        if not classes or len(set(classes)) != len(classes):
            raise DatasetError(
                f"{self.name}: classes {tuple(classes)} must be at least one, each given once"
            )
        whole = self.restriction or Restriction(self.counts, tuple(range(self.classes)))
        counts = tuple(self.counts[c] for c in classes)
        return replace(
            self,
            images=torch.cat([self.images_of_class(c) for c in classes]),
            labels=torch.arange(len(counts))
            .repeat_interleave(torch.tensor(counts))
            .to(self.device),
            counts=counts,
            restriction=Restriction(whole.counts, tuple(whole.classes[c] for c in classes)),
        )

    @cached_property
    def _mean(self) -> Tensor:
        return torch.tensor(self.mean, device=self.device)[:, None, None]

    @cached_property
    def _std(self) -> Tensor:
        return torch.tensor(self.std, device=self.device)[:, None, None]

    @cached_property
    def _absent(self) -> Tensor:
        """Places (K, largest class) after the last image of a class."""
        return torch.arange(max(self.counts)) >= torch.tensor(self.counts)[:, None]


def compute_fingerprint(*sets: ImageSet) -> str:
    """Return 16 hex digits of SHA-256 over shapes, pixels and labels; the same on every device."""
    digest = hashlib.sha256()
    for images in sets:
        digest.update(repr(tuple(images.images.shape)).encode())
        digest.update(images.images.cpu().contiguous().numpy().data)
        digest.update(images.labels.cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()[:16]
