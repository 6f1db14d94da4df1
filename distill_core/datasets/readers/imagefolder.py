"""Image files in class folders, or in one folder with a file of labels beside it.

`docs/data.md` shows every form. Class folders are in `train/` or lie directly in the data set's
folder; without a labeled test split, a fifth of the images is held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill_core.datasets.folders import (
    Listing,
    Splits,
    compose,
    find_splits,
    has_images,
    has_table,
    holds_images,
    list_folders,
    list_images,
    show,
)
from distill_core.datasets.info import DatasetError
from distill_core.datasets.raw import EncodedData, EncodedImage, EncodedSplit
from distill_core.datasets.readers.label_files import Labeled, find_labels
from distill_core.datasets.readers.options import Columns, name_classes
from distill_core.datasets.record import DataRecord, Skipped, list_some, merge_skipped
from distill_core.datasets.splits import split_off_test


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """Labeled images of a split."""

    images: tuple[Path, ...]
    labels: tuple[str, ...]
    """Class name of each."""
    classes: tuple[str, ...]
    """In order; some may have no image."""
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = "class folders"
    file: Path | None = None
    """The file with the labels, if there is one."""


def read_imagefolder(
    folder: Path, name: str, columns: Columns | None = None, *, test_split: str | None = None
) -> EncodedData:
    """List the images of a folder; classes are in alphabetical order.

    Args:
        folder: where the files are.
        name: name of the data set; it seeds the test split if there is none.
        columns: columns of a file with labels.
        test_split: folder of the test split; by default the first of `TEST_NAMES` with labels.

    Raises:
        DatasetError: a split has no images, or the test folder has a class that is missing in the
            training folder.
    """
    splits = find_splits(folder)
    if splits is None:
        raise DatasetError(f"{folder}: has neither class folders nor images")
    columns = columns or Columns()
    train = _find_split(splits.train, splits, columns)
    if train is None or not train.images:
        raise DatasetError(_describe_empty(splits.train, train))
    test, notes = _choose_test(splits, train, columns, test_split)
    notes = [*_describe_root(folder, splits), *train.notes, *notes, *(test.notes if test else ())]
    found = [train] if test is None else [train, test]
    record = DataRecord(
        layout=f"{train.source} in {_name_splits(splits, test)}",
        notes=tuple(notes),
        skipped=merge_skipped([_list_outside(splits), *(each.skipped for each in found)]),
    )
    classes = tuple(map(show, train.classes))
    if test is None:
        parts = split_off_test(_encode(train, train), name, classes)
        return EncodedData(parts[0], parts[1], classes, record)
    return EncodedData(_encode(train, train), _encode(test, train), classes, record)


def _encode(found: _Found, train: _Found) -> EncodedSplit:
    numbers = {label: number for number, label in enumerate(train.classes)}
    images = [EncodedImage(path, show(str(path))) for path in found.images]
    return EncodedSplit(images, np.array([numbers[label] for label in found.labels], np.int64))


def _find_split(folder: Path, splits: Splits, columns: Columns) -> _Found | None:
    """List a split by its class folders, or by a file of labels; None if nothing labels it."""
    classes = [path for path in list_folders(folder) if holds_images(path)]
    if has_images(folder) and (not classes or _has_label_file(folder, splits, columns)):
        return _list_labeled(folder, splits, columns)
    if not classes:
        return None
    if not has_images(folder) and len(classes) == 1:
        for place in (classes[0], folder):
            labeled = _list_labeled(place, splits, columns)
            if labeled is not None:
                return labeled
        if has_table(folder) and list_folders(classes[0]):  # a folder around all class folders
            return _list_class_folders(classes[0])
    return _choose_labels(folder, splits, columns)


def _choose_labels(folder: Path, splits: Splits, columns: Columns) -> _Found:
    """List class folders, unless a file there says other labels and the user chooses that.

    Raises:
        DatasetError: a file says other labels, and nobody has chosen.
    """
    found = _list_class_folders(folder)
    try:
        labeled = find_labels(folder, splits.root, found.images, columns)
    except DatasetError as error:
        raise DatasetError(
            f"{error}, or move the file elsewhere: then the class folders are the labels"
        ) from error
    if labeled is None:
        return found
    if columns.label is not None:
        return _list_labeled(folder, splits, columns) or found
    said = dict(zip(labeled.images, labeled.labels, strict=True))
    own = zip(found.images, found.labels, strict=True)
    other = [(image, label, said[image]) for image, label in own if said.get(image, label) != label]
    if not other or not labeled.are_labels:
        return found
    image, label, told = other[0]
    raise DatasetError(
        f"{labeled.file}: says other labels than the class folders in {folder}, such as"
        f" {show(told)!r} for {show(image.name)} of {show(label)}; give label_column:"
        f" {labeled.label_column} to take those of the file, or move the file elsewhere"
    )


def _has_label_file(folder: Path, splits: Splits, columns: Columns) -> bool:
    direct = list_images(folder, recursive=False)
    return find_labels(folder, splits.root, direct.images, columns) is not None


def _list_class_folders(folder: Path) -> _Found:
    images: list[Path] = []
    labels: list[str] = []
    classes: dict[str, Path] = {}
    skipped = [_list_beside(folder, "outside the class folders")]
    nested = []
    for path in list_folders(folder):
        label = compose(path.name)
        if label in classes:
            raise DatasetError(
                f"{show(str(path))}: {show(classes[label].name)} is there twice, in two encodings"
                " of its letters; merge the two folders"
            )
        classes[label] = path
        listing = list_images(path)
        images += listing.images
        labels += [label] * len(listing.images)
        inner = {image.relative_to(path).parts[0] for image in listing.images}
        if len(inner) > 1 and not has_images(path):
            nested.append(f"{show(label)} ({list_some([show(name) for name in sorted(inner)], 3)})")
        skipped.append(listing.skipped)
    return _Found(
        images=tuple(images),
        labels=tuple(labels),
        classes=tuple(classes),
        skipped=merge_skipped(skipped),
        notes=(f"folders within a class belong to it: {list_some(nested, 3)}",) if nested else (),
    )


def _list_outside(splits: Splits) -> tuple[Skipped, ...]:
    """Return the images that lie beside the folders of the splits."""
    if splits.train == splits.root:
        return ()
    return _list_beside(splits.root, "outside the splits")


def _list_beside(folder: Path, where: str) -> tuple[Skipped, ...]:
    """Return what lies beside folders; a text file there is usual, an image is not."""
    listing = list_images(folder, recursive=False)
    if not listing.images:
        return ()
    return (Skipped(where, len(listing.images), show(str(listing.images[0]))),)


def _list_labeled(
    folder: Path, splits: Splits, columns: Columns, of_train: Path | None = None
) -> _Found | None:
    listing = list_images(folder)
    labeled = find_labels(folder, splits.root, listing.images, columns, of_train=of_train)
    if labeled is None:
        return None
    return _Found(
        images=labeled.images,
        labels=labeled.labels,
        classes=name_classes(labeled.labels),
        skipped=merge_skipped([listing.skipped, labeled.skipped]),
        notes=_describe_labels(labeled),
        source=f"labels of {labeled.file.name}",
        file=labeled.file,
    )


def _describe_labels(labeled: Labeled) -> tuple[str, ...]:
    return (
        f"labels are column {labeled.label_column!r} of {show(str(labeled.file))}, images are named"
        f" by column {labeled.file_column!r}",
        *labeled.notes,
    )


def _choose_test(
    splits: Splits, train: _Found, columns: Columns, wanted: str | None
) -> tuple[_Found | None, list[str]]:
    """Return the labeled test split, None if there is none, and what to tell about that."""
    notes: list[str] = []
    tests = list(splits.tests)
    if wanted is not None:
        tests = [_find_wanted(splits, wanted)]
    for place, folder in enumerate(tests):
        found = _find_test(folder, splits, train, columns)
        if found is None:
            if wanted is not None:
                raise DatasetError(
                    f"{folder}: has no labels (test_split: {wanted}); name another split"
                )
            notes.append(f"{folder.name} has no labels and is not used")
            continue
        if tests[place + 1 :]:
            left = list_some([path.name for path in tests[place + 1 :]])
            notes.append(f"{folder.name} is the test split; {left} not used (test_split chooses)")
        elif notes:
            notes.append(f"{folder.name} is the test split")
        return found, notes
    notes.append("no test split with labels: a fifth of the images of each class is held out")
    return None, notes


def _find_wanted(splits: Splits, wanted: str) -> Path:
    names = {compose(path.name).casefold(): path for path in list_folders(splits.root)}
    found = names.get(compose(wanted).casefold())
    if found is None or splits.train in (found, splits.root):
        there = [path.name for path in (*splits.tests, *map(Path, splits.others))]
        raise DatasetError(
            f"{splits.root}: has no split {wanted!r} to test on (test_split); there"
            f" {'are ' + list_some(there) if there else 'is none'}"
        )
    return found


def _find_test(folder: Path, splits: Splits, train: _Found, columns: Columns) -> _Found | None:
    """List a test split with the classes of the training split; None if it has no labels."""
    known = _match_names(train.classes, [path.name for path in list_folders(folder)])
    folders = list_folders(folder)
    strange = [path for path in folders if compose(path.name) not in known]
    if not folders or (len(folders) == len(strange) <= 1):
        found = _list_labeled(folder, splits, columns, of_train=train.file)
        if found is None and (has_images(folder) or strange):
            return None
        if found is None:
            raise DatasetError(_describe_empty(folder, None))
        _check_labels(folder, found, train)
        return found
    if strange:
        raise DatasetError(
            f"{show(str(strange[0]))}: {splits.train} has no class of that name; rename or remove"
            f" it; classes are {list_some([show(label) for label in train.classes])}"
        )
    found = _list_class_folders(folder)
    if not found.images:
        raise DatasetError(_describe_empty(folder, found))
    other = [label for label in found.classes if label not in train.classes]
    notes = [f"class folder {folder.name}/{show(o)} is class {show(known[o])}" for o in other]
    labels = tuple(known[label] for label in found.labels)
    return _Found(
        images=found.images,
        labels=labels,
        classes=train.classes,
        skipped=found.skipped,
        notes=(*found.notes, *notes),
    )


def _match_names(classes: Sequence[str], folders: Sequence[str]) -> dict[str, str]:
    """Return the class of each folder that has one: of the same name, or of the same letters."""
    loose: dict[str, list[str]] = {}
    for label in classes:
        loose.setdefault(label.casefold(), []).append(label)
    matches = {}
    for name in map(compose, folders):
        alike = loose.get(name.casefold(), [])
        if name in alike:
            matches[name] = name
        elif len(alike) == 1:
            matches[name] = alike[0]
    return matches


def _check_labels(folder: Path, found: _Found, train: _Found) -> None:
    unknown = sorted(set(found.labels) - set(train.classes))
    if unknown:
        raise DatasetError(
            f"{folder}: label {unknown[0]!r} is no label of the training images; those are"
            f" {list_some(train.classes)}"
        )


def _describe_root(folder: Path, splits: Splits) -> list[str]:
    notes = []
    if splits.root != folder:
        notes.append(f"read from {show(str(splits.root))}, the only folder in {folder.name}")
    elif splits.train == splits.root:
        notes.append(f"no folder train: all images of {folder.name} are used")
    if splits.others:
        names = [show(name) for name in splits.others]
        notes.append(f"not used, as {splits.train.name} is there: {list_some(names)}")
    return notes


def _name_splits(splits: Splits, test: _Found | None) -> str:
    if splits.train == splits.root:
        return "one folder"
    return splits.train.name if test is None else f"{splits.train.name} and a test split"


def _describe_empty(folder: Path, found: _Found | None) -> str:
    """Say what lies in a folder in place of images."""
    if has_images(folder):
        return (
            f"{folder}: images lie directly in it, and no CSV file says their labels; sort them"
            " into a folder per class, or put labels.csv beside them (columns file and label)"
        )
    skipped = found.skipped if found else _list_skipped(folder)
    there = f"; there are {', '.join(map(str, skipped))}" if skipped else ""
    return (
        f"{folder}: no images in its class folders{there}; add some, or remove it if there is no"
        " such split"
    )


def _list_skipped(folder: Path) -> Sequence[Skipped]:
    listing: Listing = list_images(folder)
    return listing.skipped
