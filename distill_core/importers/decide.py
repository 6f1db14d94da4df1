"""Deciding how a stored set is read, from what its layout says, its pixels and the user."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch

from distill_core.datasets.info import DatasetInfo
from distill_core.datasets.load import Dataset
from distill_core.importers.choose_sets import find_hard_labels, join_sets
from distill_core.importers.class_names import choose_classes
from distill_core.importers.evidence import find_factor
from distill_core.importers.labels import convert_labels
from distill_core.importers.pixels import PixelStatistics, match_channels
from distill_core.importers.raw_set import (
    Answer,
    FoundSets,
    ImportQuestionError,
    ImportSetError,
    RawSet,
)
from distill_core.importers.reading import Reading, ReadingOptions, SoftLabels
from distill_core.importers.whitening import name_whitening
from distill_core.synthetic_set import to_normalized, to_pixels


class _PixelSpace(NamedTuple):
    """How images are stored; None where that is open."""

    whitened: bool | None
    normalized: bool | None
    doubted: bool = False
    """Whether the layout says that they are not whitened, and the pixels say that they are."""


class _LikelySpace(NamedTuple):
    """How images are stored, or what they look like."""

    whitened: bool
    normalized: bool | None
    mean: tuple[float, ...]
    """Of the normalization; empty for that of the data set."""
    std: tuple[float, ...]


class _Question(NamedTuple):
    """What is open, in a sentence, and the answers."""

    text: str
    answers: tuple[Answer, ...] = ()


def decide_reading(
    found: FoundSets,
    number: int,
    options: ReadingOptions,
    dataset: Dataset | None = None,
    *,
    joined: tuple[int, ...] = (),
) -> Reading:
    """Combine what the layout says about one of its sets with the options; the options win.

    Args:
        found: all sets of a file.
        number: which of them.
        options: what the user says.
        dataset: the data set that the set stands for; its training images tell canvases from whole
            images. None leaves this evidence out.
        joined: numbers of the sets that are parts of this one.

    Raises:
        ImportSetError: something is still open, or the pixels contradict the layout; the message
            asks for the option and describes the pixels.
    """
    info = None if dataset is None else dataset.info
    raw = join_sets(found, joined or (number,))
    if raw.native is not None:
        return Reading(layout="own", number=number, partition=raw.native.partition)
    classes = _decide_classes(raw, found, joined, options, info)
    if classes and joined:
        raw = join_sets(found, joined, classes=len(classes))
    raw = raw if info is None else match_channels(raw, info)
    statistics = PixelStatistics.measure(raw.images, info)
    space = _decide_space(raw, options, statistics)
    soft = _decide_soft_labels(raw, options.soft_labels)
    seen = None
    if options.partition is None:
        likely = _complete(space, options, statistics)
        seen = _look_for_canvases(raw, likely, soft, classes, options, dataset)
    tiles = options.partition or raw.partition
    questions = []
    if space.doubted:
        questions.append(_ask_about_whitening(statistics))
    elif None in space or tiles is None:
        questions.append(_ask_about_images(space, tiles, seen, statistics))
    if options.partition is None and raw.partition and seen not in (None, raw.partition):
        questions.append(_ask_about_factor(raw.partition, seen))
    if soft == "open":
        questions.append(_ask_for_soft_labels(raw))
    if questions:
        text = ". Besides, ".join(question.text for question in questions)
        raise ImportQuestionError(f"{raw.where}: {text}", _combine_answers(questions))
    # Nothing is open any more; these conditions tell so to the type checker.
    assert space.whitened is not None and space.normalized is not None
    assert tiles is not None and soft != "open"
    given = options.mean, options.std
    if options.normalized is None and not options.mean:
        given = raw.mean, raw.std
    if info is not None and given == (info.mean, info.std):
        given = (), ()
    return Reading(
        layout=found.layout,
        number=number,
        normalised=space.normalized,
        mean=given[0],
        std=given[1],
        zca=name_whitening(space.whitened, options.zca_path),
        zca_path=options.zca_path if space.whitened else None,
        partition=tiles,
        soft_labels=soft,
        classes=classes,
        joined=joined,
        labels_path=options.labels_path,
    )


def _decide_space(raw: RawSet, options: ReadingOptions, statistics: PixelStatistics) -> _PixelSpace:
    whitened = raw.zca if options.zca is None else options.zca
    supposed = raw.zca is False and options.zca is None and not raw.trusted
    if supposed and statistics.zca == "yes" and options.check:
        return _PixelSpace(None, None, doubted=True)
    if options.normalized is not None:
        return _PixelSpace(whitened, options.normalized)
    # Sets are whitened from pixels. What the layout says about normalization does not apply to
    # whitened images, so only the options can say that they are normalized too.
    return _PixelSpace(whitened, False if whitened else raw.normalized)


def _complete(
    space: _PixelSpace, options: ReadingOptions, statistics: PixelStatistics
) -> _LikelySpace:
    """Return the space as it is known, or as the pixels suggest where something is open."""
    whitened, normalized, _ = space
    if whitened is None:
        whitened = statistics.zca != "no"
    if normalized is not None or statistics.normalized is None:
        return _LikelySpace(whitened, normalized, options.mean, options.std)
    mean, _, std = statistics.normalized.partition(",")
    numbers = ((float(mean),), (float(std),)) if std else ((), ())
    return _LikelySpace(whitened, mean != "no", *numbers)


def _ask_about_images(
    space: _PixelSpace, tiles: int | None, seen: int | None, statistics: PixelStatistics
) -> _Question:
    """Ask for what the file does not say, in one sentence."""
    open_ = []
    if space.whitened is None:
        open_.append("whether they are ZCA-whitened (--zca yes or no)")
    if space.normalized is None:
        open_.append("whether they are normalized (--normalised yes, no or MEANS,STDS)")
    if tiles is None:
        open_.append("into how many tiles per side an image is cut (--factor 1, 2, …)")
    text = f"the file does not say about its images {', nor '.join(open_)}"
    suggested: list[str] = []
    if space.whitened is None or space.normalized is None:
        suggested = _suggest_space(statistics, space)
        text += f". They have {statistics}: this looks like {statistics.description}"
    meaning = [statistics.description] if suggested else []
    if tiles is None and seen is not None:
        text += f"{', and' if meaning else '. They look'} like {_describe_factor(seen)}"
        likely = [*suggested, "--factor", str(seen)]
        other = [*suggested, "--factor", "2" if seen == 1 else "1"]
        answers = (
            Answer(", ".join([*meaning, _describe_factor(seen)]), tuple(likely)),
            Answer(", ".join([*meaning, _describe_factor(int(other[-1]))]), tuple(other)),
        )
        return _Question(f"{text}; pass {' '.join(likely)}", answers)
    if not suggested:
        return _Question(text)
    return _Question(
        f"{text}; pass {' '.join(suggested)}",
        (Answer(statistics.description, tuple(suggested)),) if tiles is not None else (),
    )


def _ask_about_whitening(statistics: PixelStatistics) -> _Question:
    return _Question(
        f"its layout stands for images that are not whitened, but these have {statistics}: this"
        " looks like ZCA-whitened images; pass --zca yes --normalised no",
        (
            Answer("ZCA-whitened pixels", ("--zca", "yes", "--normalised", "no")),
            Answer("normalized after all", ("--zca", "no", "--normalised", "yes", "--no-check")),
        ),
    )


def _suggest_space(statistics: PixelStatistics, space: _PixelSpace) -> list[str]:
    """Return options for what is still open."""
    if space.whitened is False and statistics.zca == "yes":
        # The pixels contradict what was said, so they suggest nothing about the rest.
        return []
    if space.whitened is None and statistics.zca == "yes":
        # Sets are whitened from pixels, whatever was said about normalization.
        return ["--zca", "yes", "--normalised", "no"]
    suggested = []
    if space.whitened is None and statistics.zca:
        suggested += ["--zca", statistics.zca]
    if space.normalized is None and statistics.normalized:
        suggested += ["--normalised", statistics.normalized]
    return suggested


def _ask_about_factor(supposed: int, seen: int) -> _Question:
    whose = ", as the final results of IDM and of IID with IDM are" if seen == 2 else ""
    text = (
        f"its layout stands for {_describe_factor(supposed)}, but the pixels look like"
        f" {_describe_factor(seen)}{whose}; pass --factor {seen}, or --factor {supposed} if that is"
        " wrong"
    )
    answers = tuple(
        Answer(_describe_factor(factor), ("--factor", str(factor))) for factor in (seen, supposed)
    )
    return _Question(text, answers)


def _look_for_canvases(
    raw: RawSet,
    space: _LikelySpace,
    soft: SoftLabels | Literal["open"] | None,
    classes: tuple[int, ...],
    options: ReadingOptions,
    dataset: Dataset | None,
) -> int | None:
    """Return the factor that the pixels speak for; None if nothing can be said."""
    if dataset is None or raw.trusted or not options.check or space.whitened:
        return None
    images, info = raw.images, dataset.info
    if images.shape[1] != info.channels or space.normalized is None:
        return None
    if space.mean:
        images = to_pixels(images, *_expand(space, info.channels))
    if space.mean or not space.normalized:
        images = to_normalized(images, info.mean, info.std)
    labels = find_hard_labels(raw)
    if raw.labels is None or raw.class_folders or raw.class_names or classes:
        kind = None if soft == "open" else soft
        labels = convert_labels(raw, kind, info, classes=classes).classes
    if labels is not None and not 0 <= int(labels.min()) <= int(labels.max()) < len(info.classes):
        labels = None
    return find_factor(images, labels, dataset.train, raw.partition or 1)


def _expand(space: _LikelySpace, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if len(space.mean) == 1:
        return space.mean * channels, space.std * channels
    if len(space.mean) != channels:
        raise ImportSetError(f"--normalised has {len(space.mean)} means for {channels} channels")
    return space.mean, space.std


def _describe_factor(factor: int) -> str:
    return "whole images" if factor == 1 else f"canvases of {factor} × {factor} images"


def _decide_soft_labels(
    raw: RawSet, requested: SoftLabels | None
) -> SoftLabels | Literal["open"] | None:
    """Return what soft labels are; None for classes, "open" if neither numbers nor options say."""
    if raw.labels is None or raw.labels.dim() == 1:
        return None
    if requested is not None:
        return requested
    if raw.soft_kind is not None:
        return raw.soft_kind
    sums = raw.labels.double().sum(1)
    if bool((raw.labels >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all()):
        return "probabilities"
    return "open"


def _decide_classes(
    raw: RawSet,
    found: FoundSets,
    joined: Sequence[int],
    options: ReadingOptions,
    info: DatasetInfo | None,
) -> tuple[int, ...]:
    """Return the class of each stored one as the user says; empty where names or numbers tell."""
    if not options.classes or info is None:
        if info is not None and joined:
            _require_distinct(found, joined, info)
        return ()
    stored = raw.class_folders or raw.class_names
    if not stored:
        stored = tuple(map(str, range(len(info.classes))))
    return choose_classes(options.classes, stored, info, raw.where).classes


def _require_distinct(found: FoundSets, joined: Sequence[int], info: DatasetInfo) -> None:
    """Raise ImportSetError where parts each number their own classes from 0."""
    parts = [found.sets[number] for number in joined]
    labels = [find_hard_labels(part) for part in parts]
    present = [set(each.tolist()) for each in labels if each is not None]
    together = set().union(*present)
    if together == set(range(len(info.classes))) or len(present) < len(parts):
        return
    numbered = sum(max(each) + 1 for each in present)
    if numbered == len(info.classes):
        raise ImportQuestionError(
            f"{parts[0].where}: the parts to join number their classes from 0 each, so they do not"
            " say which classes they are; name the class of every number, part by part, with"
            " --classes A,B,…; --classes order takes the order of the data set",
            [
                Answer("the order of the data set", ("--classes", "order")),
                Answer("another order", ("--classes", f"{info.classes[-1]},…")),
            ],
        )


def _ask_for_soft_labels(raw: RawSet) -> _Question:
    labels = torch.as_tensor(raw.labels)
    between = f"{float(labels.min()):.2f} and {float(labels.max()):.2f}".replace("-", "−")
    return _Question(
        f"the labels are numbers for each class between {between} that do not sum to 1; pass"
        " --soft-labels logits (DATM) or --soft-labels probabilities (negative ones become 0, and"
        " those of each image are scaled to sum to 1)",
        (
            Answer("logits", ("--soft-labels", "logits")),
            Answer("probabilities", ("--soft-labels", "probabilities")),
        ),
    )


def _combine_answers(questions: Sequence[_Question]) -> list[Answer]:
    """Return commands that answer everything: each answer to one question, the first to the rest.

    The first answer of each question is the likely one.
    """
    if not all(question.answers for question in questions):
        return []
    first = [question.answers[0] for question in questions]
    combined: list[Answer] = []
    for place, question in enumerate(questions):
        for answer in question.answers:
            chosen = [*first[:place], answer, *first[place + 1 :]]
            options = tuple(option for each in chosen for option in each.options)
            meaning = ", ".join(each.meaning for each in chosen)
            combined.append(Answer(meaning, options))
    return list(dict.fromkeys(combined))
