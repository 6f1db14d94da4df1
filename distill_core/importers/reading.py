"""How the numbers of a file are read: decided once, and part of the key of an imported set.

Plain data without torch.
"""

from dataclasses import dataclass, field
from typing import Literal

from distill_core.settings import ADDED, LOCATION, SettingsError

Layout = Literal[
    "dc", "idm", "mtt", "idc", "ncfm", "imagefolder", "ddranking", "own", "npz", "hf", "dd"
]
SoftLabels = Literal["probabilities", "logits"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The decisions about everything that the file of a set may leave open."""

    layout: Layout
    number: int = 0
    """Number of the set among those of the file."""
    # The spelling is part of the keys of imported sets: another name would orphan stored results.
    normalised: bool = False
    """Whether the images are stored as (pixel − mean) / std."""
    mean: tuple[float, ...] = ()
    """Mean per channel in [0, 1] of that normalization; empty for the mean of the data set."""
    std: tuple[float, ...] = ()
    zca: str = "no"
    """"no", "real data" to undo a ZCA whitening with statistics of the real training images, or the
    SHA-256 of a file with the statistics."""
    zca_path: str | None = field(default=None, metadata=LOCATION)
    """That file."""
    partition: int = 1
    """Tiles per side into which each stored image is cut for training."""
    soft_labels: SoftLabels | None = None
    """What the labels are; None for classes."""
    classes: tuple[int, ...] = field(default=(), metadata=ADDED)
    """Class of each class folder, or of each number that labels have; empty where names or numbers
    say it."""
    joined: tuple[int, ...] = field(default=(), metadata=ADDED)
    """Numbers of the sets of the file that are parts of one set; empty where `number` is the set.
    """
    labels_path: str | None = field(default=None, metadata=LOCATION)
    """File of labels that the user named, or "none"; its content is part of what was read."""

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or any(not value > 0 for value in self.std):
            raise SettingsError(
                f"normalization with mean {self.mean} and std {self.std}: give one mean and one"
                " positive std per channel"
            )
        if self.number < 0 or self.partition < 1:
            raise SettingsError(
                f"number is {self.number} and partition {self.partition}; they start at 0 and 1"
            )

    def __str__(self) -> str:
        """Describe the decisions."""
        statistics = "the data set's mean and std"
        if self.mean:
            statistics = f"mean {_format_numbers(self.mean)} and std {_format_numbers(self.std)}"
        parts = [f"normalized by {statistics}" if self.normalised else "pixels in [0, 1]"]
        if self.zca != "no":
            source = "real images" if self.zca == "real data" else "a file"
            parts.append(f"ZCA undone with statistics of {source}")
        if self.partition > 1:
            parts.append(f"each cut into {self.partition} × {self.partition} images")
        if self.soft_labels is not None:
            parts.append(f"soft labels ({self.soft_labels})")
        if self.joined:
            parts.append(f"{len(self.joined)} parts joined")
        return ", ".join(parts)


def _format_numbers(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingOptions:
    """Options of the user about files; None lets the file decide."""

    normalized: bool | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    zca: bool | None = None
    zca_path: str | None = None
    partition: int | None = None
    soft_labels: SoftLabels | None = None
    classes: tuple[str, ...] = ()
    """Class, or `stored=class`, of each class folder or number; `("order",)` for the order."""
    labels_path: str | None = None
    """File of the labels, or "none" to do without the one that lies there."""
    join: bool = False
    """Whether the sets of a file are parts of one set."""
    check: bool = True
    """Whether pixels that contradict the reading are an error."""
