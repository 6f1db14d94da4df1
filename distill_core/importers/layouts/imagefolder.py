"""SRe2L, RDED and similar methods: a folder of image files for each class, perhaps soft labels."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from distill_core.datasets.folders import SUFFIXES
from distill_core.importers.files.companions import NO_LABELS, list_files
from distill_core.importers.files.image_files import ImageSource, read_stacked
from distill_core.importers.files.safe_loading import load_single
from distill_core.importers.names import clean_name
from distill_core.importers.raw_set import (
    Answer,
    FoundSets,
    ImportQuestionError,
    ImportSetError,
    RawSet,
    read_labels,
)

HARD = (
    "no soft labels: networks train on classes; published figures of SRe2L, RDED and the like come"
    " from soft labels"
)


@dataclass(frozen=True, slots=True)
class _Listing:
    """Class folders in natural order, and their images."""

    classes: tuple[Path, ...]
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    others: tuple[Path, ...]
    """Files that are no images."""


def find(folder: Path, labels_path: str | None = None) -> FoundSets | None:
    """Read the layout; None if there are no folders with images.

    Args:
        folder: where the class folders are.
        labels_path: file of soft labels, "none" to do without, or None to look for one.

    Raises:
        ImportSetError: a folder has no images, a file is damaged, or images differ in size.
    """
    listing = _list_classes(folder)
    if not listing.files:
        inner = [path for path in _list_folders(folder) if _list_classes(path).files]
        if len(inner) > 1:
            raise ImportQuestionError(
                f"{folder} holds {len(inner)} folders of class folders; name the one that is the"
                " set",
                [Answer(path.name, place=f"/{path.name}") for path in inner[:8]],
            )
        return find(inner[0], labels_path) if inner else None
    soft_file = _find_soft_labels(folder, listing, labels_path)
    soft, notes = None, [HARD]
    if soft_file is not None:
        soft = _read_soft_labels(soft_file, listing)
        notes = [f"labels: {soft_file.name}, rows in the order of torchvision's ImageFolder"]
    if skipped := [path for path in listing.others if path != soft_file]:
        names = ", ".join(clean_name(path.name, 30) for path in skipped[:3])
        more = ", …" if len(skipped) > 3 else ""
        notes.append(f"{len(skipped)} files that are no images were passed over: {names}{more}")
    numbers = torch.tensor(listing.labels)
    found = RawSet(
        where=str(folder),
        images=read_stacked([ImageSource(path, str(path)) for path in listing.files]),
        labels=numbers if soft is None else soft,
        normalized=False,
        zca=False,
        partition=1,
        image_files=True,
        class_folders=tuple(path.name for path in listing.classes),
        folder_labels=None if soft is None else numbers,
        notes=tuple(notes),
    )
    reason = f"{len(listing.classes)} folders of image files: an ImageFolder, as of SRe2L or RDED"
    files = listing.files if soft_file is None else (*listing.files, soft_file)
    return FoundSets(layout="imagefolder", reason=reason, sets=(found,), files=files)


def _list_folders(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"]
    return sorted(found, key=lambda path: _natural_key(path.name))


def _list_classes(folder: Path) -> _Listing:
    """List the class folders of a folder and their images."""
    listed = {path: _list_images(path) for path in _list_folders(folder)}
    with_images = {path: images for path, images in listed.items() if images}
    for path, images in listed.items():
        if with_images and not images and not _is_of_labels(path):
            raise ImportSetError(
                f"{path}: there are no images in this class folder; add some, or remove it"
            )
    files: list[Path] = []
    labels: list[int] = []
    for label, images in enumerate(with_images.values()):
        files += images
        labels += [label] * len(images)
    chosen = set(files)
    others = [path for path in folder.iterdir() if not path.is_dir()]
    for place in with_images:
        others += [path for path in place.iterdir() if path not in chosen]
    shown = sorted(path for path in others if not path.name.startswith("."))
    return _Listing(tuple(with_images), tuple(files), tuple(labels), tuple(shown))


def _list_images(folder: Path) -> list[Path]:
    files = []
    for path in folder.iterdir():
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            files.append(path)
    return sorted(files, key=lambda path: _natural_key(path.name))


def _is_of_labels(path: Path) -> bool:
    words = r"label|logit|target|(?<![a-z])(soft|fkd)(?![a-z])"
    return re.search(words, path.stem.lower()) is not None


def _find_soft_labels(folder: Path, listing: _Listing, chosen: str | None) -> Path | None:
    """Return the file of soft labels in a folder or beside it.

    Raises:
        ImportQuestionError: there are several, or labels of a form that is not known.
    """
    if chosen is not None:
        return None if chosen == NO_LABELS else Path(chosen)
    others = [path for path in folder.iterdir() if path not in listing.classes]
    inside = [path for path in others if _is_of_labels(path)]
    siblings = [path for path in folder.parent.iterdir() if path != folder]
    is_alone = not any(path.is_dir() and not _is_of_labels(path) for path in siblings)
    beside = []
    for path in siblings:
        if _is_of_labels(path) and (is_alone or folder.name in path.name):
            beside.append(path)
    found = inside or beside
    known = [path for path in found if path in list_files(path.parent)]
    if not found:
        return None
    if len(found) == len(known) == 1:
        return known[0]
    names = ", ".join(clean_name(path.name, 40) for path in sorted(found)[:5])
    raise ImportQuestionError(
        f"{folder}: labels lie there ({names}), and it is not clear how to read them; name a file"
        " of one row for each image with --labels FILE, or leave them out with --labels none",
        [
            *(Answer(f"soft labels of {path.name}", ("--labels", str(path))) for path in known[:5]),
            Answer("classes of the folders, without soft labels", ("--labels", NO_LABELS)),
        ],
    )


def _read_soft_labels(file: Path, listing: _Listing) -> Tensor:
    """Read labels whose rows are in the order of torchvision's ImageFolder."""
    value = load_single(file)
    try:
        stored = read_labels(value, len(listing.files), str(file))
    except ImportSetError as error:
        raise ImportQuestionError(
            f"{error}; name another file with --labels FILE, or leave it out with --labels none",
            [Answer("classes of the folders, without soft labels", ("--labels", NO_LABELS))],
        ) from error
    order = sorted(range(len(listing.files)), key=lambda i: _sort_plainly(listing.files[i]))
    labels = torch.empty_like(stored)
    labels[torch.tensor(order)] = stored
    return labels


def _sort_plainly(path: Path) -> tuple[str, str]:
    return path.parent.name, path.name


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by value: 2 before 10."""
    key = []
    for part in re.split(r"([0-9]+)", name):
        if part:
            key.append((int(part), "") if re.fullmatch(r"[0-9]+", part) else (-1, part))
    return key
