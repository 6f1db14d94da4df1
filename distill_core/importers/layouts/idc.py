"""IDC, DREAM and DANCE: torch.save of `[images, labels]`, canvases of pixels in [0, 1].

The factor of the canvases is not stored. Decoding cuts a canvas into factor × factor tiles and
upsamples each bilinearly to full size, as `partition` does. Their tiles are ordered by row, which
only changes the order of training images. If the side is not a multiple of the factor, they pad it,
which is not supported here.
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
