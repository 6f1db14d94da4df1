"""How a file's numbers are read: decided once, part of an imported set's identity. Plain data, no
torch.
"""

from dataclasses import dataclass, field
from typing import Literal

from distill_core.settings import LOCATION, SettingsError

Layout = Literal["dc", "idm", "mtt", "idc", "ncfm", "imagefolder", "ddranking", "own"]
SoftLabels = Literal["probabilities", "logits"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Everything about a set that its file may leave open, as it was decided."""

    layout: Layout
    number: int = 0
    """Place of the set among those of the file."""
    # The spelling is part of the keys of imported sets: another name would orphan stored results.
    normalised: bool = False
    """Whether the images are stored as (pixel − mean) / std."""
    mean: tuple[float, ...] = ()
    """Of that normalization, per channel in [0, 1]; empty for the data set's own."""
    std: tuple[float, ...] = ()
    zca: str = "no"
    """"no"; "real data" to undo a ZCA whitening with statistics of the real training images; or the
    SHA-256 of a file that holds the statistics."""
    zca_path: str | None = field(default=None, metadata=LOCATION)
    """That file."""
    partition: int = 1
    """Cells a side into which each stored image is cut for training."""
    soft_labels: SoftLabels | None = None
    """What the labels are if they are not classes."""

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or any(not value > 0 for value in self.std):
            raise SettingsError(
                f"normalization with mean {self.mean} and std {self.std}: give one mean and one"
                " positive std a channel"
            )
        if self.number < 0 or self.partition < 1:
            raise SettingsError(
                f"number is {self.number} and partition {self.partition}; they start at 0 and 1"
            )

    def __str__(self) -> str:
        """Say in words what was decided."""
        own = (
            f"mean {_format_numbers(self.mean)} and std {_format_numbers(self.std)}"
            if self.mean
            else "the data set's mean and std"
        )
        parts = [f"normalized by {own}" if self.normalised else "pixels in [0, 1]"]
        if self.zca != "no":
            parts.append(
                "ZCA undone with statistics of "
                + ("real images" if self.zca == "real data" else "a file")
            )
        if self.partition > 1:
            parts.append(f"each cut into {self.partition} × {self.partition} images")
        if self.soft_labels is not None:
            parts.append(f"soft labels ({self.soft_labels})")
        return ", ".join(parts)


def _format_numbers(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingOptions:
    """What a user says about files; None where the file is to decide."""

    normalized: bool | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    zca: bool | None = None
    zca_path: str | None = None
    partition: int | None = None
    soft_labels: SoftLabels | None = None
    check: bool = True
    """Whether pixel statistics that contradict the reading are an error."""
