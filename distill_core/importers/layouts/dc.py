"""DC, DSA, DM and IID: `{"data": [[images, labels], …], "accs_all_exps": …}`.

Images are normalized, unless the program whitened them. IDM and IID's IDM variant save their final
result so too, and theirs are canvases. A file has one pair of images and labels for each run of the
method, or for each snapshot of one run, or for each step of class-incremental learning.
"""

from distill_core.importers.raw_set import (
    FileContent,
    FoundSets,
    ImportSetError,
    RawSet,
    read_entries,
    read_images,
    read_labels,
)


def find(content: FileContent) -> FoundSets | None:
    """Read the layout; None if it is another.

    Raises:
        ImportSetError: it is this layout, but a part does not fit.
    """
    data = read_entries(content.value).get("data")
    if not isinstance(data, list | tuple):
        return None
    if not data:
        raise ImportSetError(
            f"{content.path}: 'data' is an empty list; the method had not finished a run"
        )
    sets = tuple(_read_set(pair, f"{content.path}, data[{i}]") for i, pair in enumerate(data))
    reason = (
        f"a dictionary whose 'data' lists {len(sets)} × [images, labels]: DC, DSA or DM, stored"
        " normalized (--factor 2 for IDM)"
    )
    return FoundSets(layout="dc", reason=reason, sets=sets, files=(content.path,))


def _read_set(pair: object, where: str) -> RawSet:
    if not isinstance(pair, list | tuple) or len(pair) < 2:
        raise ImportSetError(f"{where}: expected [images, labels], found {type(pair).__name__}")
    images = read_images(pair[0], where)
    labels = read_labels(pair[1], len(images), where)
    return RawSet(
        where=where, images=images, labels=labels, normalized=True, zca=False, partition=1
    )
