"""IDM and the IDM variant of the IID release: a plain pickle of `(images, labels)`, normalised, 2 ×
2 canvases.
"""

from distill_core.importers.raw import Content, Found, RawSet, images_of, labels_of, pair_of


def find(content: Content) -> Found | None:
    """Read the layout; None if it is another, ImportSetError if a part does not fit."""
    pair = pair_of(content.value)
    if not content.pickled or pair is None:
        return None
    where = str(content.path)
    images = images_of(pair[0], where)
    labels = labels_of(pair[1], len(images), where)
    found = RawSet(
        where=where, images=images, labels=labels, normalised=True, zca=False, partition=2
    )
    kind = "a pickle of (images, labels): IDM, stored normalised as 2 × 2 canvases"
    reason = f"{kind} (--factor 1 if these are whole images)"
    return Found(layout="idm", reason=reason, sets=(found,), files=(content.path,))
