"""What reading a data set involved: what was mapped, assumed and left out, and how images look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SHOWN = 10
"""Names that a message gives; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Files that were passed over, all for one reason."""

    reason: str
    """Follows a number, such as "hidden" or "of type .gif"."""
    count: int
    example: str
    """One of them."""

    def __str__(self) -> str:
        files = "file" if self.count == 1 else "files"
        return f"{self.count:,} {files} {self.reason} passed over, such as {self.example}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTraits:
    """How many images of a split have which form, before they are resized and converted."""

    formats: Mapping[str, int] = field(default_factory=dict)
    """By format of the bytes, whatever a file's name says."""
    modes: Mapping[str, int] = field(default_factory=dict)
    """By color mode."""
    sizes: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """By width and height in pixels."""
    resized: int = 0
    """Images that were resized."""
    cropped: int = 0
    """Images that are not square, so their longer side was cropped at the center."""
    transparent: int = 0
    """Images with transparency, which is dropped."""
    rotated: int = 0
    """Images with an EXIF orientation, which is not applied."""
    animated: int = 0
    """Images with several frames, of which the first is used."""

    def list_lines(self) -> list[str]:
        """Return a sentence about each form that changes what networks see."""
        counts = (
            (self.resized, "resized (bilinear)"),
            (self.cropped, "not square: the longer side is cropped at the center"),
            (self.transparent, "with transparency, which is dropped"),
            (self.rotated, "with an EXIF rotation, which is not applied"),
            (self.animated, "with several frames, of which the first is used"),
        )
        return [f"{count:,} {what}" for count, what in counts if count]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataRecord:
    """How a data set was read."""

    layout: str = ""
    """What was found, such as "class folders in train and test"."""
    notes: tuple[str, ...] = ()
    """What was mapped or assumed, a sentence each."""
    skipped: tuple[Skipped, ...] = ()
    train: ImageTraits | None = None
    """Forms of the training images; None where nothing was decoded."""
    test: ImageTraits | None = None

    def list_lines(self) -> list[str]:
        """Return what a user should know, a line each."""
        return [*self.notes, *map(str, self.skipped)]


NOTHING = DataRecord()
"""Of data that were not read from files."""


def merge_skipped(parts: Sequence[Sequence[Skipped]]) -> tuple[Skipped, ...]:
    """Add up files that were passed over for the same reason."""
    merged: dict[str, Skipped] = {}
    for part in parts:
        for each in part:
            known = merged.get(each.reason, Skipped(each.reason, 0, each.example))
            merged[each.reason] = Skipped(each.reason, known.count + each.count, known.example)
    return tuple(merged[reason] for reason in sorted(merged))


def list_some(names: Sequence[str], shown: int = SHOWN) -> str:
    """Join the first names with commas, and count the others."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
