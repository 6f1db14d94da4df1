"""DD-Ranking: `images.pt`, one tensor with the images of class 0 first, then those of class 1, and
so on.
"""

from distill_core.importers.raw import Content, Found, RawSet, images_of, is_images


def find(content: Content) -> Found | None:
    """Read the layout; None if it is another, ImportSetError if the images do not fit."""
    if not is_images(content.value):
        return None
    images = images_of(content.value, str(content.path))
    found = RawSet(
        where=str(content.path), images=images, labels=None, normalised=None, zca=None, partition=1
    )
    reason = "a tensor of images without labels: DD-Ranking, class by class"
    return Found(layout="ddranking", reason=reason, sets=(found,), files=(content.path,))
