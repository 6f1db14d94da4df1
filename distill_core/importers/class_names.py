"""Matching the names of stored classes or folders with the classes of a data set."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from distill_core.datasets.info import DatasetInfo
from distill_core.importers.names import clean_name, fold_name
from distill_core.importers.raw_set import Answer, ImportQuestionError, ImportSetError

IN_ORDER = "order"
"""The answer that stored classes are in the order of the data set's classes."""
_SHOWN = 3


class ClassMapping(NamedTuple):
    """The class of the data set for each stored class, and how it was found."""

    classes: tuple[int, ...]
    note: str


def match_classes(stored: Sequence[str], info: DatasetInfo, where: str) -> ClassMapping:
    """Return the class of each stored name: by name, or by a number in it.

    Numbers count where all names are numbers from 0 or have one, such as `new000` or `class3`.

    Raises:
        ImportQuestionError: neither fits, so nothing but the order is left.
        ImportSetError: the numbers of names and classes differ.
    """
    if len(stored) != len(info.classes):
        raise ImportSetError(
            f"{where}: {len(stored)} class folders, {info.name} has {len(info.classes)} classes"
        )
    by_name = _match_names(stored, info.classes)
    if None not in by_name and len(set(by_name)) == len(stored):
        classes = tuple(label for label in by_name if label is not None)
        return ClassMapping(classes, f"classes by name: {describe(stored, classes, info)}")
    numbers = _read_numbers(stored)
    if numbers is not None and sorted(numbers) == list(range(len(stored))):
        return ClassMapping(numbers, f"classes by number: {describe(stored, numbers, info)}")
    raise _ask(stored, by_name, info, where)


def choose_classes(
    answer: Sequence[str], stored: Sequence[str], info: DatasetInfo, where: str
) -> ClassMapping:
    """Return the class of each stored name as the user says.

    Args:
        answer: `("order",)`, a class for each stored name in their order, or `stored=class` entries
            for the names that match no class.
        stored: names of the stored classes.
        info: the data set.
        where: file or folder, for messages.

    Raises:
        ImportSetError: the answer does not name each class once.
    """
    if tuple(answer) == (IN_ORDER,) and len(stored) == len(info.classes):
        classes = tuple(range(len(info.classes)))
        return ClassMapping(classes, f"classes by order: {describe(stored, classes, info)}")
    folded = {fold_name(name): label for label, name in enumerate(info.classes)}
    folded |= {str(label): label for label in range(len(info.classes)) if str(label) not in folded}
    chosen: dict[str, int] = {}
    names = list(stored)
    for position, entry in enumerate(answer):
        left, is_pair, right = entry.rpartition("=")
        name = _find_stored(left, names, where) if is_pair else None
        if not is_pair:
            if position >= len(names) or len(answer) != len(names):
                raise ImportSetError(
                    f"{where}: --classes names {len(answer)} classes for {len(names)} stored ones"
                    f" ({', '.join(map(clean_name, names[:5]))}…); give one for each, or"
                    " stored=class entries"
                )
            name = names[position]
        label = folded.get(fold_name(right))
        if label is None or name is None:
            raise ImportSetError(
                f"{where}: --classes {entry}: {info.name} has no class {right!r}; it has"
                f" {', '.join(info.classes[:5])}…"
            )
        chosen[name] = label
    for name, label in zip(names, _match_names(names, info.classes), strict=True):
        if label is not None:
            chosen.setdefault(name, label)
    lacking = [clean_name(name) for name in names if name not in chosen]
    if lacking or len(set(chosen.values())) != len(names):
        problem = f"{lacking[0]} has no class" if lacking else "a class is named twice"
        raise ImportSetError(f"{where}: --classes: {problem}; name each class once")
    classes = tuple(chosen[name] for name in names)
    return ClassMapping(classes, f"classes as given: {describe(stored, classes, info)}")


def describe(stored: Sequence[str], classes: Sequence[int], info: DatasetInfo) -> str:
    """Describe a mapping; those that change nothing in one word."""
    pairs = [
        f"{clean_name(name, 30)} → {info.classes[label]}"
        for name, label in zip(stored, classes, strict=True)
    ]
    if all(name == info.classes[label] for name, label in zip(stored, classes, strict=True)):
        return "all equal"
    return ", ".join(pairs) if len(pairs) <= 2 * _SHOWN else f"{', '.join(pairs[:_SHOWN])}, …"


def _find_stored(text: str, names: Sequence[str], where: str) -> str:
    found = [name for name in names if fold_name(name) == fold_name(text)]
    if len(found) != 1:
        raise ImportSetError(
            f"{where}: --classes: no stored class is called {text!r}; there are"
            f" {', '.join(clean_name(name, 30) for name in names[:5])}…"
        )
    return found[0]


def _match_names(stored: Sequence[str], classes: Sequence[str]) -> list[int | None]:
    """Return the class of each name, None where none has it, or several of one spelling do."""
    folded = [fold_name(name) for name in classes]
    exact = {name: label for label, name in enumerate(classes)}
    found: list[int | None] = []
    for name in stored:
        keys = [fold_name(name)]
        # Our own folders, 03_cat, and those of others that put a number before the name.
        if rest := re.fullmatch(r"[0-9]+[-_. ]+(.+)", name):
            keys.append(fold_name(rest[1]))
        if keys[0].isdecimal() and keys[0].isascii():
            keys.append(str(int(keys[0])))  # 00 for the class "0"
        label = exact.get(name)
        for key in keys:
            if label is None and folded.count(key) == 1:
                label = folded.index(key)
        found.append(label)
    return found


def _read_numbers(stored: Sequence[str]) -> tuple[int, ...] | None:
    """Return the numbers of names that are one, or have one behind a prefix that all share."""
    matches = [re.fullmatch(r"([^0-9]*)([0-9]{1,6})", name) for name in stored]
    found = [match for match in matches if match is not None]
    if len(found) < len(stored) or len({match[1].casefold() for match in found}) != 1:
        return None
    # The first prefix is that of WordNet's synsets, whose numbers are not those of classes.
    return None if found[0][1] == "n" else tuple(int(match[2]) for match in found)


def _ask(
    stored: Sequence[str], by_name: Sequence[int | None], info: DatasetInfo, where: str
) -> ImportQuestionError:
    known = {label for label in by_name if label is not None}
    unknown = [name for name, label in zip(stored, by_name, strict=True) if label is None]
    free = [label for label in range(len(info.classes)) if label not in known]
    if known and unknown:
        problem = (
            f"{len(known)} class folders have names of classes of {info.name}, but"
            f" {clean_name(unknown[0])!r} does not, and there is none for"
            f" {info.classes[free[0]]!r}; give every folder the name or the number of its class"
        )
        pairs = ",".join(
            f"{clean_name(name)}={info.classes[label]}"
            for name, label in zip(unknown, free, strict=False)
        )
        answer = Answer("these pairs, if they are right", ("--classes", pairs))
        return ImportQuestionError(f"{where}: {problem}, or say --classes FOLDER=CLASS,…", [answer])
    order = tuple(range(len(stored)))
    return ImportQuestionError(
        f"{where}: no class folder has the name or the number of a class of {info.name}"
        f" ({', '.join(clean_name(name, 30) for name in stored[:_SHOWN])}, … against"
        f" {', '.join(info.classes[:_SHOWN])}, …); say which is which with --classes"
        " FOLDER=CLASS,…, or rename the folders. --classes order takes them in order:"
        f" {describe(stored, order, info)}",
        [
            Answer("the order is right", ("--classes", IN_ORDER)),
            Answer("another mapping", ("--classes", f"{clean_name(stored[0], 30)}=CLASS,…")),
        ],
    )
