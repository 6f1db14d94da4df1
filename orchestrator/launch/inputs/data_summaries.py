"""What data sets hold, read once and remembered for as long as their files do not change.

Workers read the images for themselves. This process only has to know that they can, and what they
will find. The memory is a folder of the user's cache (`XDG_CACHE_HOME`); nothing depends on it.
"""

import dataclasses
import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill_core.datasets.files import list_files, locate
from distill_core.settings import DatasetRef, is_custom
from orchestrator.errors import StoreError
from orchestrator.store.atomic_files import to_json_bytes, write

if TYPE_CHECKING:
    from distill_core.datasets.load import Dataset

_log = logging.getLogger(__name__)

READING = 1
"""Raised when data are read differently, so that what was remembered is read again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSummary:
    """What a data set holds, as it was read."""

    fingerprint: str
    classes: tuple[str, ...]
    train: tuple[int, ...]
    """Training images of each class."""
    test: tuple[int, ...]
    """Test images of each class."""
    channels: int
    image_size: int
    lines: tuple[str, ...]
    """What was mapped, assumed, passed over and changed, a line each."""

    def describe(self) -> str:
        """Return what there is, in one line."""
        color = {1: "gray", 3: "RGB"}.get(self.channels, f"{self.channels} channels")
        return (
            f"{sum(self.train):,} training and {sum(self.test):,} test images of"
            f" {len(self.classes)} classes, {color} {self.image_size}×{self.image_size}"
        )


def summarize_dataset(ref: DatasetRef, root: Path, *, download: bool = False) -> DataSummary:
    """Read a data set, or return what is remembered of it.

    Raises:
        DatasetError: it is missing or cannot be read.
    """
    ref = dataclasses.replace(ref, classes=())
    place = _find_memory(ref, root)
    remembered = None if place is None else _recall(place)
    if remembered is not None:
        return remembered
    from distill_core.datasets.load import load_dataset

    summary = build_summary(load_dataset(ref, root, download=download))
    place = place or _find_memory(ref, root)
    if place is not None:
        _remember(place, summary)
    return summary


def is_remembered(ref: DatasetRef, root: Path) -> bool:
    """Whether `summarize_dataset` needs not read a data set."""
    place = _find_memory(dataclasses.replace(ref, classes=()), root)
    return place is not None and place.exists()


def build_summary(data: "Dataset") -> DataSummary:
    """Return what a data set holds that was just read whole."""
    record, changed = data.record, []
    for split, traits in (("training", record.train), ("test", record.test)):
        if traits is not None:
            changed += [f"{split} images: {line}" for line in traits.list_lines()]
    return DataSummary(
        fingerprint=data.fingerprint,
        classes=data.info.classes,
        train=data.train.counts,
        test=data.test.counts,
        channels=data.info.channels,
        image_size=data.info.image_size,
        lines=(*record.list_lines(), *changed),
    )


def _find_memory(ref: DatasetRef, root: Path) -> Path | None:
    """Return the file that remembers a data set as its files are now; None if none can."""
    if ref.format is not None and is_custom(ref.format):
        return None  # its reader may have changed, or read files elsewhere
    try:
        if locate(ref, root) is None:
            return None
        files = []
        for path in list_files(ref, root):
            status = path.stat()
            files.append([str(path), status.st_size, status.st_mtime_ns, status.st_ino])
        identity = [READING, str(root.resolve()), dataclasses.asdict(ref), files]
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        _log.info("data set %s is not remembered: %s", ref.name, error)
        return None
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
    return cache / "iid-orchestrator" / "summaries" / f"{digest}.json"


def _recall(place: Path) -> DataSummary | None:
    try:
        content: dict[str, Any] = json.loads(place.read_bytes())
        lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
        return DataSummary(**{**content, **lists})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.info("%s is read again: %s", place, error)
        return None


def _remember(place: Path, summary: DataSummary) -> None:
    try:
        write(place, to_json_bytes(dataclasses.asdict(summary)))
    except StoreError as error:  # a full or read-only home costs time, and no result
        _log.info("%s is not written: %s", place, error)
