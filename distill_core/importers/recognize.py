"""Recognizing the layout of a path by its structure."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from distill_core.importers.described import FILE as METADATA
from distill_core.importers.described import NAMES, apply_description, read_description
from distill_core.importers.files.companions import is_image_file, list_files
from distill_core.importers.files.file_kinds import detect_file_kind
from distill_core.importers.files.safe_loading import load_objects
from distill_core.importers.layouts import (
    dc,
    dd,
    ddranking,
    hf,
    idc,
    idm,
    imagefolder,
    mtt,
    native,
    ncfm,
)
from distill_core.importers.names import clean_name
from distill_core.importers.raw_set import (
    Answer,
    FileContent,
    FoundSets,
    ImportQuestionError,
    ImportSetError,
    is_images,
)
from distill_core.paths import check_path, show_path

LAYOUTS = (dc.find, idm.find, idc.find, dd.find, ncfm.find, mtt.find, ddranking.find)
"""Layouts of single files; the first one that fits is used."""
IMAGES = ("images_best.pt", "images.pt", "data.pt")
"""Files that stand for the folder that contains them."""
SUFFIXES = (".pt", ".pth", ".tar", ".pkl", ".pickle", ".npz", ".npy")
"""Suffixes of a file that stands for its folder if it is the only one."""
_MAX_EXPORTS = 1000


def recognize(
    path: Path, *, allow_pickle: bool = False, labels_path: str | None = None
) -> FoundSets:
    """Read the sets at a path, in any known layout.

    Args:
        path: a file or a folder.
        allow_pickle: whether a pickle may be opened.
        labels_path: file of the labels, "none" to do without, or None to look for one.

    Raises:
        PathError: it is a pipe, a device or a socket, or the system cannot look there.
        ImportSetError: there is nothing, it is damaged, or it has no known layout; the message says
            what was found.
    """
    check_path(path)
    try:
        if path.is_dir():
            return _recognize_folder(path, allow_pickle, labels_path)
        if not path.exists():
            raise ImportSetError(f"there is no file or folder {show_path(path)}")
        found = _recognize_file(path, allow_pickle, labels_path)
        description = read_description(path.parent)
    except OSError as error:
        raise ImportSetError(f"{path} cannot be read: {error.strerror}") from error
    if description is not None and NAMES.get(description.kind) == path.name:
        return apply_description(found, description)
    return found


def recognize_all(
    paths: Sequence[Path], *, allow_pickle: bool = False, labels_path: str | None = None
) -> FoundSets:
    """Read the sets at several paths, which are parts of one set, in their order.

    Raises:
        ImportSetError: as `recognize`.
    """
    parts = [recognize(path, allow_pickle=allow_pickle, labels_path=labels_path) for path in paths]
    if len(parts) == 1:
        return parts[0]
    sets = [raw for part in parts for raw in part.sets]
    files = [path for part in parts for path in part.files]
    return replace(parts[0], sets=tuple(sets), files=tuple(files))


def _recognize_file(path: Path, allow_pickle: bool, labels_path: str | None) -> FoundSets:
    kind = detect_file_kind(path)
    if kind == "safetensors":
        return native.find([path])
    if kind == "parquet":
        return hf.find([path])
    content = replace(load_objects(path, allow_pickle=allow_pickle), labels_path=labels_path)
    for find in LAYOUTS:
        if (found := find(content)) is not None:
            return found
    raise ImportSetError(f"{path} has no known layout: it holds {_describe_content(content)}")


def _recognize_folder(folder: Path, allow_pickle: bool, labels_path: str | None) -> FoundSets:
    description = read_description(folder)
    found = _find_in_folder(folder, allow_pickle, labels_path)
    if description is not None and found.layout != "own":
        found = apply_description(found, description)
    return _tell_left_out(found, folder)


def _find_in_folder(folder: Path, allow_pickle: bool, labels_path: str | None) -> FoundSets:
    if files := sorted(folder.glob("[!.]*.safetensors")):
        return native.find(files)
    for name in IMAGES:
        if (folder / name).is_file():
            return _recognize_file(folder / name, allow_pickle, labels_path)
    if files := hf.list_parquet(folder):
        return hf.find(files)
    images = [path for path in list_files(folder) if is_image_file(path)]
    if len(images) == 1:
        return _recognize_file(images[0], allow_pickle, labels_path)
    if (found := imagefolder.find(folder, labels_path)) is not None:
        return found
    files = [path for path in folder.glob("[!.]*") if path.suffix.lower() in SUFFIXES]
    if len(files) == 1:
        return _recognize_file(files[0], allow_pickle, labels_path)
    if choices := sorted(images or files)[:8]:
        raise ImportQuestionError(
            f"{folder} holds {len(images or files)} files that may be sets; name one of them",
            [Answer(path.name, place=f"/{path.name}") for path in choices],
        )
    if exported := _list_exports(folder):
        raise ImportQuestionError(
            f"{folder} holds an export of {len(exported)} sets; name one of them",
            [Answer(place, place=f"/{place}") for place in exported[:8]],
        )
    names = sorted(clean_name(path.name, 40) for path in folder.iterdir())
    listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    raise ImportSetError(
        f"{folder} has no known layout: neither safetensors files, nor {', '.join(IMAGES)},"
        " nor a folder of images per class, nor Parquet files, nor a single file of torch.save or"
        f" NumPy; it holds {listed or 'nothing'}"
    )


def _list_exports(folder: Path) -> list[str]:
    """Return the folders below that have an export of ours, at most _MAX_EXPORTS."""
    found = itertools.islice(folder.rglob(METADATA), _MAX_EXPORTS)
    places = [path.parent.relative_to(folder).as_posix() for path in found]
    return sorted(place for place in places if not place.startswith("."))


def _tell_left_out(found: FoundSets, folder: Path) -> FoundSets:
    """Add a note on files of the folder that may be sets and were not read."""
    suffixes = (*SUFFIXES, ".parquet")
    others = []
    for path in [*folder.glob("[!.]*"), *folder.glob("data/[!.]*.parquet")]:
        if path.suffix.lower() in suffixes and path not in found.files:
            others.append(clean_name(path.name, 40))
    if not others or found.layout == "imagefolder":  # which tells itself
        return found
    more = ", …" if len(others) > 3 else ""
    note = f"{len(others)} files not read: {', '.join(sorted(others)[:3])}{more}"
    return replace(found, sets=tuple(replace(raw, notes=(*raw.notes, note)) for raw in found.sets))


def _describe_content(content: FileContent) -> str:
    """Describe an object in a few words."""
    value = content.value
    if isinstance(value, dict):
        keys = ", ".join(f"{key!r}"[:40] for key in list(value)[:8])
        return f"a dictionary of {keys or 'nothing'}"
    if isinstance(value, list | tuple):
        items = ", ".join(_describe_type(item) for item in value[:4])
        return f"a {type(value).__name__} of {len(value)}: {items}"
    return _describe_type(value)


def _describe_type(value: object) -> str:
    name = "images" if is_images(value) else type(value).__name__
    try:
        shape = getattr(value, "shape", None)
    except RuntimeError:  # nested tensors have none
        shape = None
    return name if shape is None else f"{name} {tuple(shape)}"
