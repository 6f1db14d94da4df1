"""Telling the formats of files apart by their first bytes."""

import shlex
import zipfile
from pathlib import Path
from typing import Literal

from distill_core.importers.raw_set import ImportSetError
from distill_core.paths import check_tree_file

FileKind = Literal["safetensors", "torch", "pickle", "npy", "npz", "parquet"]

_LEGACY_TORCH = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""Magic number of torch.save before it wrote zip files."""
_ARCHIVES = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}
_OTHERS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file; save its arrays images and labels with numpy.savez",
    b"\x89PNG": "one image; name the folder of class folders that it belongs to",
    b"\xff\xd8\xff": "one image; name the folder of class folders that it belongs to",
    b"MATLAB 5.0": "a MATLAB file; save its arrays images and labels with numpy.savez",
    b"version https://git-lfs": (
        "a pointer of Git LFS, not the file itself; fetch it with git lfs pull"
    ),
    b"<!DOCTYPE": "a web page, not a set; open the address in a browser and download the file",
    b"<html": "a web page, not a set; open the address in a browser and download the file",
}
MAX_RATIO = 200
"""Largest ratio of claimed to stored bytes of a compressed array; noise and images do not compress
so well, zip bombs do."""
MAX_ARRAY_BYTES = 16 * 2**30


def detect_file_kind(path: Path) -> FileKind:
    """Return the format of a file.

    Raises:
        ImportSetError: it cannot be read, is not a regular file, or has another format.
    """
    check_tree_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImportSetError(f"{path} cannot be read: {reason}") from error
    if head.startswith(b"PK\x03\x04"):
        return _detect_zip_kind(path)
    if head[2:14] == _LEGACY_TORCH:
        return "torch"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PAR1"):
        return "parquet"
    _refuse_known(path, head)
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        return "safetensors"
    if _is_msgpack(head) and path.suffix not in (".pkl", ".pickle"):
        raise ImportSetError(
            f"{path} is a msgpack file, such as a checkpoint of Flax (RCIG, FRePo); save its images"
            " and labels as NumPy arrays where it was made,"
            ' numpy.savez("set.npz", images=…, labels=…), and name that file'
        )
    if head.startswith(b"\x80") or path.suffix in (".pkl", ".pickle"):
        return "pickle"
    raise ImportSetError(
        f"{path} is neither a file of torch.save nor a pickle nor safetensors nor arrays of NumPy;"
        " save its images and labels with torch.save or numpy.savez"
    )


def _detect_zip_kind(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ImportSetError(f"{path} cannot be read safely, or is damaged: {error}") from error
    names = [entry.filename for entry in entries]
    if any(name.rsplit("/")[-1] == "data.pkl" for name in names):
        return "torch"
    if names and all(name.endswith(".npy") for name in names):
        claimed = sum(entry.file_size for entry in entries)
        if claimed > min(MAX_ARRAY_BYTES, MAX_RATIO * max(path.stat().st_size, 4096)):
            raise ImportSetError(
                f"{path}: its arrays claim {claimed:,} bytes, too many for a set of images"
            )
        return "npz"
    target = shlex.quote(str(path.with_suffix("")))
    command = f"python -m zipfile -e {shlex.quote(str(path))} {target}"
    raise ImportSetError(
        f"{path} is a zip archive of {len(names)} files ({', '.join(names[:3])}"
        f"{', …' if len(names) > 3 else ''}); unpack it and name the folder: {command}"
    )


def _refuse_known(path: Path, head: bytes) -> None:
    """Raise ImportSetError where the bytes are those of a format that cannot be a set."""
    quoted = shlex.quote(str(path))
    for magic, name in _ARCHIVES.items():
        if head.startswith(magic):
            raise ImportSetError(
                f"{path} is a {name} archive; unpack it (such as tar -xf {quoted}) and name what is"
                " in it"
            )
    if head[257:262] == b"ustar":
        raise ImportSetError(f"{path} is a tar archive; unpack it: tar -xf {quoted}")
    for magic, advice in _OTHERS.items():
        if head.startswith(magic):
            raise ImportSetError(f"{path} is {advice}")


def _is_msgpack(head: bytes) -> bool:
    """Return whether a file begins with a map of msgpack whose first key is a text."""
    if not head:
        return False
    after = {0xDE: 3, 0xDF: 5}.get(head[0], 1 if 0x81 <= head[0] <= 0x8F else 0)
    first = head[after : after + 1]
    return bool(after and first and (0xA0 <= first[0] <= 0xBF or first[0] in (0xD9, 0xDA, 0xDB)))
