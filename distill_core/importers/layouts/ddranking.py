"""DD-Ranking: `images.pt`, one tensor with the images of class 0, then those of class 1, …"""

from distill_core.importers.files.companions import is_label_file
from distill_core.importers.raw_set import FileContent, FoundSets, RawSet, is_images, read_images


def find(content: FileContent) -> FoundSets | None:
    """Read the layout; None if it is another, ImportSetError if the images do not fit."""
    if not is_images(content.value) or is_label_file(content.path):
        return None
    images = read_images(content.value, str(content.path))
    pixels = "zca" in content.path.stem
    found = RawSet(
        where=str(content.path),
        images=images,
        labels=None,
        normalized=False if pixels else None,
        zca=False if pixels else None,
        partition=1,
        notes=("no file of labels: taken as class by class, in equal numbers",),
    )
    reason = "a tensor of images without labels: DD-Ranking, class by class"
    return FoundSets(layout="ddranking", reason=reason, sets=(found,), files=(content.path,))
