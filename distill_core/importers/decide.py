"""Deciding how a stored set is read, from what its layout says and what the user says."""

from typing import Literal, NamedTuple

import torch

from distill_core.importers.pixels import PixelStatistics
from distill_core.importers.raw_set import FoundSets, ImportSetError, RawSet
from distill_core.importers.reading import Reading, ReadingOptions, SoftLabels
from distill_core.importers.whitening import name_whitening


def decide_reading(found: FoundSets, number: int, options: ReadingOptions) -> Reading:
    """Combine what the layout says about one of its sets with the options; the options win.

    Raises:
        ImportSetError: something is still open; the message asks for the option and describes the
            pixels.
    """
    raw = found.sets[number]
    if raw.native is not None:
        return Reading(layout="own", number=number, partition=raw.native.partition)
    space = _decide_space(raw, options)
    tiles = options.partition or raw.partition
    soft = _decide_soft_labels(raw, options.soft_labels)
    problems = _describe_open_questions(raw, space, tiles, soft)
    if problems:
        raise ImportSetError(f"{raw.where}: {'. Besides, '.join(problems)}")
    # Nothing is open any more; these conditions tell so to the type checker.
    assert space.whitened is not None and space.normalized is not None
    assert tiles is not None and soft != "open"
    return Reading(
        layout=found.layout,
        number=number,
        normalised=space.normalized,
        mean=options.mean,
        std=options.std,
        zca=name_whitening(space.whitened, options.zca_path),
        zca_path=options.zca_path if space.whitened else None,
        partition=tiles,
        soft_labels=soft,
    )


class _PixelSpace(NamedTuple):
    """How images are stored; None where that is open."""

    whitened: bool | None
    normalized: bool | None


def _decide_space(raw: RawSet, options: ReadingOptions) -> _PixelSpace:
    whitened = raw.zca if options.zca is None else options.zca
    if options.normalized is not None:
        return _PixelSpace(whitened, options.normalized)
    # Sets are whitened from pixels. What the layout says about normalization does not apply to
    # whitened images, so only the options can say that they are normalized too.
    return _PixelSpace(whitened, False if whitened else raw.normalized)


def _decide_soft_labels(
    raw: RawSet, requested: SoftLabels | None
) -> SoftLabels | Literal["open"] | None:
    """Return what soft labels are; None for classes, "open" if neither numbers nor options say."""
    if raw.labels is None or raw.labels.dim() == 1:
        return None
    if requested is not None:
        return requested
    sums = raw.labels.double().sum(1)
    if bool((raw.labels >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all()):
        return "probabilities"
    return "open"


def _describe_open_questions(
    raw: RawSet, space: _PixelSpace, tiles: int | None, soft: str | None
) -> list[str]:
    """Return a sentence on images and one on labels, as far as something is open."""
    questions = []
    if space.whitened is None:
        questions.append("whether they are ZCA-whitened (--zca yes or no)")
    if space.normalized is None:
        questions.append("whether they are normalized (--normalised yes, no or MEANS,STDS)")
    if tiles is None:
        questions.append("into how many tiles per side an image is cut (--factor 1, 2, …)")
    sentences = []
    if questions:
        sentence = f"the file does not say about its images {', nor '.join(questions)}"
        if None in space:
            sentence += f". They have {_suggest_space(PixelStatistics.measure(raw.images), space)}"
        sentences.append(sentence)
    if soft == "open":
        sentences.append(_ask_for_soft_labels(raw))
    return sentences


def _suggest_space(statistics: PixelStatistics, space: _PixelSpace) -> str:
    """Describe images, and suggest options for what is still open."""
    suggested = []
    if space.whitened is None and statistics.zca:
        suggested.append(f"--zca {statistics.zca}")
    if space.normalized is None and statistics.normalized:
        suggested.append(f"--normalised {statistics.normalized}")
    if space.whitened is False and statistics.zca == "yes":
        # The pixels contradict what was said, so they suggest nothing about the rest.
        suggested = []
    text = f"{statistics}: this looks like {statistics.description}"
    return f"{text}; pass {' '.join(suggested)}" if suggested else text


def _ask_for_soft_labels(raw: RawSet) -> str:
    labels = torch.as_tensor(raw.labels)
    between = f"{float(labels.min()):.2f} and {float(labels.max()):.2f}".replace("-", "−")
    return (
        f"the labels are numbers for each class between {between} that do not sum to 1; pass"
        " --soft-labels logits (DATM) or --soft-labels probabilities (negative ones become 0, and"
        " those of each image are scaled to sum to 1)"
    )
