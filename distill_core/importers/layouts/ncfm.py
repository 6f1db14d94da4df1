"""NCFM: torch.save of data and labels by name, canvases of pixels in [0, 1].

The factor of the canvases is not stored. Files without names, `[data, labels]`, look like those of
IDC and are read as such.
"""

from distill_core.importers.raw_set import (
    FileContent,
    FoundSets,
    RawSet,
    is_images,
    read_entries,
    read_images,
    read_labels,
)

IMAGES = ("data", "images", "image", "x")
LABELS = ("labels", "targets", "label", "target", "y")


def find(content: FileContent) -> FoundSets | None:
    """Read the layout; None if it is another, ImportSetError if a part does not fit."""
    entries = read_entries(content.value)
    data = next((name for name in IMAGES if is_images(entries.get(name))), None)
    labels = next((name for name in LABELS if name in entries), None)
    if data is None or labels is None:
        return None
    where = str(content.path)
    images = read_images(entries[data], f"{where}, {data!r}")
    found = RawSet(
        where=where,
        images=images,
        labels=read_labels(entries[labels], len(images), f"{where}, {labels!r}"),
        normalized=None,
        zca=False,
        partition=None,
    )
    reason = f"a dictionary of images ({data!r}) and labels ({labels!r}): NCFM and the like"
    return FoundSets(layout="ncfm", reason=reason, sets=(found,), files=(content.path,))
