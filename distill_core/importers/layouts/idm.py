"""IDM and IID's IDM variant: a plain pickle of `(images, labels)`, normalized 2 × 2 canvases."""

from distill_core.importers.raw_set import (
    FileContent,
    FoundSets,
    RawSet,
    find_pair,
    read_images,
    read_labels,
)


def find(content: FileContent) -> FoundSets | None:
    """Read the layout; None if it is another, ImportSetError if a part does not fit."""
    pair = find_pair(content.value)
    if not content.pickled or pair is None:
        return None
    where = str(content.path)
    images = read_images(pair[0], where)
    labels = read_labels(pair[1], len(images), where)
    found = RawSet(
        where=where, images=images, labels=labels, normalized=True, zca=False, partition=2
    )
    kind = "a pickle of (images, labels): IDM, stored normalized as 2 × 2 canvases"
    reason = f"{kind} (--factor 1 if these are whole images)"
    return FoundSets(layout="idm", reason=reason, sets=(found,), files=(content.path,))
