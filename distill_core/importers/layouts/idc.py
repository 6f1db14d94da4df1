"""IDC, DREAM and DANCE: torch.save of `[images, labels]`, pixels in [0, 1], canvases of a factor
that is not stored.

Their decoding cuts a canvas into factor × factor cells and upsamples each bilinearly to full size,
as `partition` does; the cells come row by row there, which changes nothing but the order of
training images. Where the side is not a multiple of the factor they pad, which is not supported
here.
"""

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
    if content.pickled or pair is None:
        return None
    where = str(content.path)
    images = read_images(pair[0], where)
    labels = read_labels(pair[1], len(images), where)
    found = RawSet(
        where=where, images=images, labels=labels, normalized=False, zca=False, partition=None
    )
    reason = "[images, labels] of torch.save: IDC, DREAM, DANCE or NCFM, stored as pixels"
    return FoundSets(layout="idc", reason=reason, sets=(found,), files=(content.path,))
