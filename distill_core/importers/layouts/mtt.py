"""MTT, TESLA, FTD, DATM and many others: images in one file, their labels in another.

The files are `images_best.pt`, `labels_best.pt` and optionally `lr_best.pt`, or
`CIFAR10_IPC10_images.pt` and `CIFAR10_IPC10_labels.pt`, or `images.npy` and `labels.npy`.

Labels are classes, probabilities, or logits (DATM). Images are either normalized or ZCA-whitened
pixels; the file does not say which. `images_zca_….pt` holds pixels whose whitening is already
undone.
"""

from distill_core.importers.files.companions import find_labels, find_rate
from distill_core.importers.files.safe_loading import load_single
from distill_core.importers.layouts.centered import find_centered_classes
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
    if not is_images(content.value):
        return None
    labels_path = find_labels(content.path, content.labels_path)
    if labels_path is None:
        return None
    images = read_images(content.value, str(content.path))
    value = load_single(labels_path)
    labels, notes = find_centered_classes(read_labels(value, len(images), str(labels_path)))
    rate_path = find_rate(content.path)
    rate = None
    if rate_path is not None:
        stored = load_single(rate_path)
        rate = read_learning_rate(stored, str(rate_path))
    pixels = "zca" in content.path.stem
    found = RawSet(
        where=str(content.path),
        images=images,
        labels=labels,
        normalized=False if pixels else None,
        zca=False if pixels else None,
        partition=1,
        lr_net=rate,
        notes=(f"labels: {labels_path.name}", *notes),
    )
    source = {
        "images.pt": "DD-Ranking",
        "images_best.pt": "MTT, TESLA, FTD or DATM",
    }.get(content.path.name, "as of MTT, DataDAM or DD-Ranking")
    reason = f"a tensor of images with {labels_path.name} next to it: {source}"
    files = tuple(path for path in (content.path, labels_path, rate_path) if path is not None)
    return FoundSets(layout="mtt", reason=reason, sets=(found,), files=files)
