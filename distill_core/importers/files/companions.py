"""Files that belong together: images, their labels, and a learning rate."""

import re
from pathlib import Path

from distill_core.importers.raw_set import Answer, ImportQuestionError

SUFFIXES = (".pt", ".pth", ".npy", ".npz")
"""Of files that may hold labels."""
NO_LABELS = "none"
_IMAGE = r"images?|imgs?|pics?|data|x|inputs?"
_LABEL = r"labels?|targets?|lab|y|logits"
_RATE = r"lr|syn_lr|learning_rate"
_CLEARLY_LABELS = r"labels?|targets?|logits"
"""Words that stand for labels in a file of any type."""
_EDGES = r"(?<![a-z]){}(?![a-z])"


def find_labels(images: Path, chosen: str | None) -> Path | None:
    """Return the file with the labels of a file of images; None if there is none.

    `CIFAR10_IPC10_images.pt` belongs to `CIFAR10_IPC10_labels.pt`, `images_best.pt` to
    `labels_best.pt`, `x_train.npy` to `y_train.npy`, `images/ipc10.pt` to `labels/ipc10.pt`.

    Args:
        images: the file of images.
        chosen: a file that the user named, "none" to do without labels, or None.

    Raises:
        ImportQuestionError: several files may be meant, or one has labels of unknown images.
    """
    if chosen is not None:
        return None if chosen == NO_LABELS else Path(chosen)
    mine = _reduce_all(images, _IMAGE)
    label_files = [path for path in list_files(images.parent) if is_label_file(path)]
    found = [path for path in label_files if mine & _reduce_all(path, _LABEL)]
    if len(found) > 1:
        # The same labels may lie there as .npy too.
        found = [path for path in found if path.suffix == images.suffix] or found
    if len(found) > 1:
        raise _ask(images, found, "several files may have its labels")
    if found:
        return found[0]
    if (twin := _find_twin(images)) is not None:
        return twin
    claimed: set[Path] = set()
    for other in list_files(images.parent):
        if other != images and not is_label_file(other):
            reduced = _reduce_all(other, _IMAGE)
            claimed |= {path for path in label_files if reduced & _reduce_all(path, _LABEL)}
    if free := [path for path in label_files if path not in claimed]:
        raise _ask(images, free, "labels lie beside it under another name")
    if others := _list_other_labels(images):
        raise ImportQuestionError(
            f"{images}: labels may lie beside it in a form that is not read: {others[0].name}; save"
            ' them with numpy.save("labels.npy", …), or say --labels none if the images are in the'
            " order of the classes",
            [Answer("class by class, without the labels there", ("--labels", NO_LABELS))],
        )
    return None


def _find_twin(images: Path) -> Path | None:
    """Return the file of the same name in a folder of labels beside the folder of images."""
    if not _matches(images.parent, _IMAGE):
        return None
    mine = _reduce_all(images.parent, _IMAGE)
    found = []
    for folder in _list_all(images.parent.parent):
        if _matches(folder, _CLEARLY_LABELS) and mine & _reduce_all(folder, _LABEL):
            found += [path for path in list_files(folder) if path.stem == images.stem]
    return found[0] if len(found) == 1 else None


def _list_other_labels(images: Path) -> list[Path]:
    """Return what may be labels beside a file, and is no file of tensors or arrays."""
    known = list_files(images.parent)
    others = [path for path in _list_all(images.parent) if path not in known and path != images]
    return [path for path in others if _matches(path, _CLEARLY_LABELS)]


def _list_all(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def find_rate(images: Path) -> Path | None:
    """Return the file with the learning rate of a file of images; None if there is none."""
    mine = _reduce_all(images, _IMAGE)
    for path in list_files(images.parent):
        if _matches(path, _RATE) and mine & _reduce_all(path, _RATE):
            return path
    return None


def is_image_file(path: Path) -> bool:
    """Return whether a file is one of images by its name."""
    return _matches(path, r"images?|imgs?|x|pics?") and not is_label_file(path)


def is_label_file(path: Path) -> bool:
    """Return whether a file is one of labels by its name."""
    return _matches(path, _LABEL)


def list_files(folder: Path) -> list[Path]:
    """Return the files of a folder that may hold tensors or arrays, sorted, without hidden ones."""
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    except OSError:
        return []  # a file may be readable in a folder that is not
    return sorted(path for path in found if not path.name.startswith(".") and path.is_file())


def _ask(images: Path, found: list[Path], problem: str) -> ImportQuestionError:
    names = ", ".join(path.name for path in found[:5])
    answers = [Answer(f"labels of {path.name}", ("--labels", str(path))) for path in found[:5]]
    answers.append(Answer("class by class, without a file of labels", ("--labels", NO_LABELS)))
    return ImportQuestionError(
        f"{images}: {problem}: {names}; say which with --labels FILE, or --labels none if the"
        " images are in the order of the classes",
        answers,
    )


def _matches(path: Path, words: str) -> bool:
    return re.search(_EDGES.format(f"(?:{words})"), path.stem.lower()) is not None


def _reduce_all(path: Path, words: str) -> set[str]:
    """Return the name of a file without each word of a kind, so that names can be compared."""
    # MTT names images whose whitening is undone images_zca_….
    stem = path.stem.lower()
    found = set()
    for match in re.finditer(_EDGES.format(f"(?:{words})"), stem):
        rest = f"{stem[: match.start()]}@{stem[match.end() :]}"
        found |= {rest, rest.replace("@_zca", "@"), re.sub(r"(soft|hard|syn)[_-]?@", "@", rest)}
    return found
