"""Folders of image files: their splits, their classes, and what is passed over in them.

Nothing is opened here. Names are compared in NFC, as macOS decomposes them and Linux does not.
"""

import itertools
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill_core.datasets.info import DatasetError
from distill_core.datasets.record import Skipped, list_some
from distill_core.paths import PathError, check_tree_file

TRAIN_NAMES = ("train", "training")
"""Names of the training split, in any case."""
TEST_NAMES = ("test", "testing", "validation", "valid", "val", "evaluation", "eval")
"""Names of a test split, in any case; the first one with labels is used."""
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp"))
"""Image files; others are passed over and counted."""

TABLES = (".csv", ".tsv")
"""Files that may say the labels of images."""

_SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")
_DEEPEST = 3
"""Folders within folders that are opened to find the one with the data set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Splits:
    """The folders of a data set's splits."""

    root: Path
    """The folder that has the splits, or the class folders where there are none."""
    train: Path
    tests: tuple[Path, ...] = ()
    """The other splits, in the order of `TEST_NAMES`."""
    others: tuple[str, ...] = ()
    """Folders that are no split."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a folder, sorted."""

    images: tuple[Path, ...]
    skipped: tuple[Skipped, ...]


def compose(name: str) -> str:
    """Return a name in NFC, in which equal names have equal characters."""
    return unicodedata.normalize("NFC", name)


def show(name: str) -> str:
    """Return a name that can be printed and stored: odd bytes and control characters escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    shown = []
    for letter in compose(text):
        hidden = unicodedata.category(letter) in ("Cc", "Cf", "Cs")
        shown.append(letter.encode("unicode_escape").decode() if hidden else letter)
    return "".join(shown)


_SPLITS_OR_CLASSES = (
    "If they are splits, rename them to train and test; if they are classes, move all classes into"
    " a folder train; if one is enough, name it as path"
)


def find_splits(folder: Path) -> Splits | None:
    """Find the splits of a folder: train and test, or class folders, or images with labels beside.

    A folder that holds nothing but another folder stands for that one.

    Raises:
        DatasetError: there is a test split without a training split, or two training splits.
    """
    for _ in range(_DEEPEST):
        folders = list_folders(folder)
        named = {compose(path.name).casefold(): path for path in folders}
        trains = [path for path in folders if _split_of(path) in TRAIN_NAMES]
        if len(trains) > 1:
            raise DatasetError(
                f"{folder}: has {list_some([path.name for path in trains])}; keep one training"
                " split"
            )
        if trains:
            tests = [named[name] for name in TEST_NAMES if name in named]
            others = [path.name for path in folders if path not in (*trains, *tests)]
            return Splits(
                root=folder, train=_unwrap(trains[0]), tests=tuple(tests), others=tuple(others)
            )
        _refuse_open_splits(folder, folders)
        if len(folders) != 1 or has_images(folder):
            break
        inner = folders[0]
        if not list_folders(inner) or (has_table(folder) and not _has_splits(inner)):
            break
        folder = inner
    if not folder.is_dir() or not (list_folders(folder) or has_images(folder)):
        return None
    return Splits(root=folder, train=folder)


def _refuse_open_splits(folder: Path, folders: Sequence[Path]) -> None:
    """Refuse folders that look like splits but are not named like them.

    Read as classes, they would give a data set that can be trained on and means nothing.
    """
    tests = [path for path in folders if _split_of(path) in TEST_NAMES]
    if tests:
        raise DatasetError(
            f"{folder}: has {tests[0].name}, but no folder train; rename the folder with the"
            " training images to train"
        )
    inner = {path: {_split_of(each) for each in list_folders(path)} for path in folders}
    for first, second in itertools.permutations(folders, 2):
        # As where a split has no labels, or labels in a table.
        if len(inner[first]) > 1 and not inner[second]:
            listed = list_some(sorted(map(show, inner[first])))
            raise DatasetError(
                f"{folder}: {show(first.name)} has folders {listed}"
                f" and {show(second.name)} has none. {_SPLITS_OR_CLASSES}"
            )
    for first, second in itertools.combinations(folders, 2):
        shared = sorted(inner[first] & inner[second])
        sizes = sorted((len(inner[first]), len(inner[second])))
        # Or all that one has is in the other, as where a split lacks a class.
        if len(shared) > 1 or (shared and len(shared) == sizes[0] < sizes[1]):
            names = f"{show(first.name)} and {show(second.name)}"
            raise DatasetError(
                f"{folder}: {names} both have folders {list_some([show(name) for name in shared])}."
                f" {_SPLITS_OR_CLASSES}"
            )


def has_table(folder: Path) -> bool:
    """Whether a file that could say labels lies directly in a folder."""
    return any(
        path.suffix.lower() in TABLES and not _is_hidden(path.name) for path in folder.iterdir()
    )


def _has_splits(folder: Path) -> bool:
    return any(_split_of(path) in (*TRAIN_NAMES, *TEST_NAMES) for path in list_folders(folder))


def _split_of(path: Path) -> str:
    return compose(path.name).casefold()


def _unwrap(train: Path) -> Path:
    """Return the folder with the class folders: archives often repeat a name (train/train)."""
    folders = list_folders(train)
    if len(folders) == 1 and not has_images(train) and len(list_folders(folders[0])) > 1:
        return folders[0]
    return train


def list_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that a user sees, sorted by name.

    Links are among them, except those to the folder itself or to one above.
    """
    if not folder.is_dir():
        return []
    whole = folder.resolve()
    above = (whole, *whole.parents)
    found = []
    for path in folder.iterdir():
        if _is_hidden(path.name) or not path.is_dir():
            continue
        if not (path.is_symlink() and path.resolve() in above):
            found.append(path)
    return sorted(found, key=lambda path: compose(path.name))


def has_images(folder: Path) -> bool:
    """Whether image files lie directly in a folder."""
    if not folder.is_dir():
        return False
    return any(is_image_name(path.name) and not path.is_dir() for path in folder.iterdir())


def holds_images(folder: Path) -> bool:
    """Whether there is an image file anywhere below a folder."""
    return any(is_image_name(path.name) for path in walk(folder))


def is_image_name(name: str) -> bool:
    """Whether a file is read as an image, by its name."""
    return Path(name).suffix.lower() in SUFFIXES and not _is_hidden(name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _SYSTEM_FOLDERS


def list_images(folder: Path, *, recursive: bool = True) -> Listing:
    """List the image files below a folder; links are followed.

    What is named like an image but is no regular file stays in the list, so that it is named when
    images are read.
    """
    images: list[Path] = []
    skipped: dict[str, list[Path]] = {}
    for path in walk(folder, recursive=recursive):
        if any(_is_hidden(part) for part in path.relative_to(folder).parts):
            skipped.setdefault("that are hidden", []).append(path)
        elif is_image_name(path.name):
            images.append(path)
        else:
            kind = f"of type {show(path.suffix.lower())}" if path.suffix else "without a type"
            skipped.setdefault(kind, []).append(path)
    order = sorted(images, key=lambda path: [compose(part) for part in path.parts])
    reasons = sorted(skipped)
    return Listing(
        tuple(order),
        tuple(Skipped(why, len(skipped[why]), show(str(min(skipped[why])))) for why in reasons),
    )


def walk(folder: Path, *, recursive: bool = True) -> Iterator[Path]:
    """Yield everything below a folder that is no folder; a link to a folder above is not followed.

    Raises:
        OSError: a folder cannot be read.
    """
    # Those of the path as it is written too: a linked folder may have a link back.
    parents = {*folder.resolve().parents, *folder.absolute().parents}
    above = [parent.stat() for parent in parents]
    yield from _walk(folder, [(each.st_dev, each.st_ino) for each in above], recursive)


def _walk(folder: Path, above: Sequence[tuple[int, int]], recursive: bool) -> Iterator[Path]:
    status = folder.stat()
    place = (status.st_dev, status.st_ino)
    if place in above:
        return
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if not _is_folder(entry):
            yield Path(entry.path)
        elif recursive:
            yield from _walk(Path(entry.path), (*above, place), recursive)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def require_regular(path: Path) -> None:
    """Refuse a pipe, a device or a socket, whose reading may never end.

    Raises:
        DatasetError: it is there, but no regular file.
    """
    try:
        check_tree_file(path)
    except PathError as error:
        raise DatasetError(str(error)) from error
