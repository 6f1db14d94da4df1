"""Dataset Distillation (Wang et al. 2018): a list of `(images, labels, learning rate)` by step.

MTT-like programs also save `[images, labels, lr]` in one file. The file does not say whether images
are normalized.
"""

from distill_core.importers.raw_set import (
    FileContent,
    FoundSets,
    RawSet,
    is_images,
    read_images,
    read_labels,
    read_learning_rate,
)


def find(content: FileContent) -> FoundSets | None:
    """Read the layout; None if it is another, ImportSetError if a part does not fit."""
    value = content.value
    if _is_step(value):
        return _build(content, [value])
    if isinstance(value, list | tuple) and value and all(_is_step(step) for step in value):
        return _build(content, list(value))
    return None


def _is_step(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and is_images(value[0])


def _build(content: FileContent, steps: list[object]) -> FoundSets:
    sets = []
    for number, step in enumerate(steps):
        where = f"{content.path}, [{number}]" if len(steps) > 1 else str(content.path)
        assert isinstance(step, list | tuple)  # as `_is_step` found; tells the type checker
        images = read_images(step[0], where)
        sets.append(
            RawSet(
                where=where,
                images=images,
                labels=read_labels(step[1], len(images), where),
                normalized=None,
                zca=None,
                partition=1,
                lr_net=read_learning_rate(step[2], where),
            )
        )
    reason = f"{len(sets)} × (images, labels, learning rate): Dataset Distillation and the like"
    return FoundSets(layout="dd", reason=reason, sets=tuple(sets), files=(content.path,))
