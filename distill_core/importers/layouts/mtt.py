"""MTT, TESLA, FTD and DATM: `images_best.pt`, `labels_best.pt`, and optionally `lr_best.pt`.

DD-Ranking's `images.pt` together with `labels.pt` is the same layout.

Labels are classes, probabilities, or logits (DATM). Images are either normalized or ZCA-whitened
pixels; the file does not say which. `images_zca_….pt` holds pixels whose whitening is already
undone.
"""

from pathlib import Path

from distill_core.importers.raw_set import (
    FileContent,
    FoundSets,
    RawSet,
    is_images,
    read_images,
    read_labels,
    read_learning_rate,
)
from distill_core.importers.safe_loading import load_objects


def find(content: FileContent) -> FoundSets | None:
    """Read the layout; None if it is another, ImportSetError if a part does not fit."""
    labels_path = find_companion(content.path, "labels")
    if not is_images(content.value) or labels_path is None:
        return None
    images = read_images(content.value, str(content.path))
    labels = load_objects(labels_path, allow_pickle=False).value
    rate_path = find_companion(content.path, "lr") or find_companion(content.path, "syn_lr")
    pixels = "zca" in content.path.stem
    found = RawSet(
        where=str(content.path),
        images=images,
        labels=read_labels(labels, len(images), str(labels_path)),
        normalized=False if pixels else None,
        zca=False if pixels else None,
        partition=1,
        lr_net=None
        if rate_path is None
        else read_learning_rate(load_objects(rate_path, allow_pickle=False).value, str(rate_path)),
    )
    source = "DD-Ranking" if content.path.name == "images.pt" else "MTT, TESLA, FTD or DATM"
    reason = f"a tensor of images with {labels_path.name} next to it: {source}"
    files = tuple(path for path in (content.path, labels_path, rate_path) if path is not None)
    return FoundSets(layout="mtt", reason=reason, sets=(found,), files=files)


def find_companion(images: Path, what: str) -> Path | None:
    """Return another file of the same set next to `images_….pt`; None if there is none."""
    if not images.name.startswith("images"):
        return None
    rest = images.name.removeprefix("images").removeprefix("_zca")
    path = images.with_name(f"{what}{rest}")
    return path if path.is_file() else None
