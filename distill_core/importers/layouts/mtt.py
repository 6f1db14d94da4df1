"""MTT, TESLA, FTD and DATM: `images_best.pt` and `labels_best.pt` beside it, perhaps `lr_best.pt`.

DD-Ranking's `images.pt` with `labels.pt` beside it is the same.

Labels are classes, probabilities, or logits (DATM). Images are normalised, or ZCA-whitened pixels:
the file does not say which. `images_zca_….pt` holds pixels whose whitening was undone already.
"""

from pathlib import Path

from distill_core.importers.files import load
from distill_core.importers.raw import (
    Content,
    Found,
    RawSet,
    images_of,
    is_images,
    labels_of,
    rate_of,
)


def find(content: Content) -> Found | None:
    """Read the layout; None if it is another, ImportSetError if a part does not fit."""
    labels_path = companion(content.path, "labels")
    if not is_images(content.value) or labels_path is None:
        return None
    images = images_of(content.value, str(content.path))
    labels = load(labels_path, allow_pickle=False).value
    rate_path = companion(content.path, "lr") or companion(content.path, "syn_lr")
    pixels = "zca" in content.path.stem
    found = RawSet(
        where=str(content.path),
        images=images,
        labels=labels_of(labels, len(images), str(labels_path)),
        normalised=False if pixels else None,
        zca=False if pixels else None,
        partition=1,
        lr_net=None
        if rate_path is None
        else rate_of(load(rate_path, allow_pickle=False).value, str(rate_path)),
    )
    source = "DD-Ranking" if content.path.name == "images.pt" else "MTT, TESLA, FTD or DATM"
    reason = f"a tensor of images with {labels_path.name} beside it: {source}"
    files = tuple(path for path in (content.path, labels_path, rate_path) if path is not None)
    return Found(layout="mtt", reason=reason, sets=(found,), files=files)


def companion(images: Path, what: str) -> Path | None:
    """Return the file beside `images_….pt` that holds something else of the same set; None if there
    is none.
    """
    if not images.name.startswith("images"):
        return None
    rest = images.name.removeprefix("images").removeprefix("_zca")
    path = images.with_name(f"{what}{rest}")
    return path if path.is_file() else None
