"""NCFM and others: data and labels by name, in a file of torch.save or a `.npz` of NumPy.

NCFM's are canvases of pixels in [0, 1], and the factor of the canvases is not stored. Files without
names, `[data, labels]`, look like those of IDC and are read as such.
"""

from collections.abc import Mapping

from torch.utils.data import TensorDataset

from distill_core.importers.files.companions import find_labels
from distill_core.importers.files.safe_loading import load_single
from distill_core.importers.layouts.centered import find_centered_classes
from distill_core.importers.raw_set import (
    FileContent,
    FoundSets,
    ImportSetError,
    RawSet,
    is_images,
    read_entries,
    read_images,
    read_labels,
    read_learning_rate,
)

IMAGES = (
    "data", "images", "image", "x", "image_syn", "images_syn", "syn_images", "syn_data",
    "image_train", "images_train", "img", "imgs", "x_train", "x_syn", "x_proto", "arr_0",
)  # fmt: skip
LABELS = (
    "labels", "targets", "label", "target", "y", "label_syn", "labels_syn", "syn_labels",
    "syn_label", "labels_train", "label_train", "y_train", "y_syn", "y_proto", "arr_1",
    "soft_labels", "soft_label",
)  # fmt: skip
RATES = ("lr", "syn_lr", "learning_rate")


def find(content: FileContent) -> FoundSets | None:
    """Read the layout; None if it is another, ImportSetError if a part does not fit."""
    entries = {name.lower(): value for name, value in _read_named(content.value).items()}
    data = next((name for name in IMAGES if is_images(entries.get(name))), None)
    if data is None:
        return None
    present = [name for name in LABELS if entries.get(name) is not None]
    where = str(content.path)
    images = read_images(entries[data], f"{where}, {data!r}")
    files = [content.path]
    if present:
        label = present[0]
        stored = read_labels(entries[label], len(images), f"{where}, {label!r}")
    else:
        path = find_labels(content.path, content.labels_path)
        if path is None:
            raise ImportSetError(
                f"{where} holds images ({data!r}) and no labels; name their file with --labels"
            )
        label, stored = path.name, read_labels(load_single(path), len(images), str(path))
        files.append(path)
    labels, notes = find_centered_classes(stored)
    rate = next((name for name in RATES if name in entries), None)
    left_out = sorted(set(entries) - {data, label, rate})
    if left_out:
        notes = (*notes, f"left out: {', '.join(name[:40] for name in left_out[:5])}")
    found = RawSet(
        where=where,
        images=images,
        labels=labels,
        normalized=None,
        zca=False,
        partition=None,
        lr_net=None if rate is None else read_learning_rate(entries[rate], f"{where}, {rate!r}"),
        notes=notes,
    )
    archive = content.path.suffix.lower() == ".npz"
    kind = "arrays of NumPy" if archive else "a dictionary"
    maker = "KIP and the like" if archive else "NCFM and the like"
    return FoundSets(
        layout="npz" if archive else "ncfm",
        reason=f"{kind} of images ({data!r}) and labels ({label!r}): {maker}",
        sets=(found,),
        files=tuple(files),
    )


def _read_named(value: object) -> Mapping[str, object]:
    if isinstance(value, TensorDataset):
        tensors = getattr(value, "tensors", ())
        names = ("data", "targets")
        return dict(zip(names, tensors, strict=False)) if isinstance(tensors, tuple) else {}
    return read_entries(value)
