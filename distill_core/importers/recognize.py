"""Recognizing the layout of a path by its structure."""

from pathlib import Path

from distill_core.importers.layouts import dc, ddranking, idc, idm, imagefolder, mtt, native, ncfm
from distill_core.importers.raw_set import FileContent, FoundSets, ImportSetError, is_images
from distill_core.importers.safe_loading import detect_file_kind, load_objects
from distill_core.paths import check_path, show_path

LAYOUTS = (dc.find, idm.find, idc.find, ncfm.find, mtt.find, ddranking.find)
"""Layouts of single files; the first one that fits is used."""
IMAGES = ("images_best.pt", "images.pt", "data.pt")
"""Files that stand for the folder that contains them."""
SUFFIXES = (".pt", ".pth", ".pkl", ".pickle")
"""Suffixes of a file that stands for its folder if it is the only one."""


def recognize(path: Path, *, allow_pickle: bool = False) -> FoundSets:
    """Read the sets at a path, in any known layout.

    Raises:
        PathError: it is a pipe, a device or a socket, or the system cannot look there.
        ImportSetError: there is nothing, it is damaged, or it has no known layout; the message says
            what was found.
    """
    check_path(path)
    try:
        if path.is_dir():
            return _recognize_folder(path, allow_pickle)
        if not path.exists():
            raise ImportSetError(f"there is no file or folder {show_path(path)}")
    except OSError as error:
        raise ImportSetError(f"{path} cannot be read: {error.strerror}") from error
    if detect_file_kind(path) == "safetensors":
        return native.find([path])
    content = load_objects(path, allow_pickle=allow_pickle)
    for find in LAYOUTS:
        if (found := find(content)) is not None:
            return found
    raise ImportSetError(f"{path} has no known layout: it holds {_describe_content(content)}")


def _recognize_folder(folder: Path, allow_pickle: bool) -> FoundSets:
    if files := sorted(folder.glob("[!.]*.safetensors")):
        return native.find(files)
    for name in IMAGES:
        if (folder / name).is_file():
            return recognize(folder / name, allow_pickle=allow_pickle)
    if (found := imagefolder.find(folder)) is not None:
        return found
    if len(files := [path for path in folder.glob("[!.]*") if path.suffix in SUFFIXES]) == 1:
        return recognize(files[0], allow_pickle=allow_pickle)
    names = sorted(path.name for path in folder.iterdir())
    listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    raise ImportSetError(
        f"{folder} has no known layout: neither safetensors files, nor {', '.join(IMAGES)},"
        " nor a folder of images per class, nor a single file of torch.save; it holds"
        f" {listed or 'nothing'}"
    )


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
    shape = getattr(value, "shape", None)
    name = "images" if is_images(value) else type(value).__name__
    return name if shape is None else f"{name} {tuple(shape)}"
