"""Reading files of Python objects without executing code in them.

`torch.load` loads weights only. A plain pickle is read only if the caller allows it, and even then
by an unpickler that accepts tensors, arrays and plain containers and rejects every other name.
"""

import argparse
import codecs
import collections
import hashlib
import io
import pickle
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import TensorDataset

from distill_core._compat import rebuild_parameter, rebuild_tensor
from distill_core.importers.files.file_kinds import MAX_ARRAY_BYTES, detect_file_kind
from distill_core.importers.raw_set import FileContent, ImportSetError


def load_objects(path: Path, *, allow_pickle: bool) -> FileContent:
    """Read a file of torch.save or NumPy, or a pickle if that is allowed.

    Raises:
        ImportSetError: the file is damaged, holds more than tensors and containers, or is a pickle
            that is not allowed.
    """
    kind = detect_file_kind(path)
    if kind in ("safetensors", "parquet"):
        raise ImportSetError(f"{path} is a {kind} file; expected one of torch.save or NumPy")
    readers = {"torch": _load_torch, "npy": _load_array, "npz": _load_arrays}
    if kind in readers:
        value = _read_safely(path, lambda: readers[kind](path))
        return FileContent(path=path, value=value, pickled=False)
    if not allow_pickle:
        raise ImportSetError(
            f"{path} is a pickle. A pickle can run any code on this machine when it is read; if you"
            " trust its source, pass --allow-pickle. Even then, only tensors, arrays and plain"
            " containers are accepted"
        )
    return FileContent(
        path=path, value=_read_safely(path, lambda: _load_pickle(path)), pickled=True
    )


def load_single(path: Path) -> object:
    """Read a file that holds one thing; of a dictionary or an archive with one entry, the entry.

    Raises:
        ImportSetError: as `load_objects`, without pickles.
    """
    value = load_objects(path, allow_pickle=False).value
    return next(iter(value.values())) if isinstance(value, dict) and len(value) == 1 else value


def compute_digest(files: Sequence[Path], root: Path) -> str:
    """Return the SHA-256 of a file's bytes, or of the names (in `root`) and bytes of several files.

    Raises:
        ImportSetError: a file cannot be read.
    """
    try:
        digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    except OSError as error:
        raise ImportSetError(f"{error.filename} cannot be read: {error.strerror}") from error
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = sorted(
        # Labels that the user named may be elsewhere.
        f"{path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name} {digest}"
        for path, digest in digests.items()
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read_safely(path: Path, read: Callable[[], object]) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except ImportSetError as error:
        raise ImportSetError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ImportSetError(f"{path} is damaged: it is nested too deeply") from error
    except Exception as error:  # on damaged bytes an unpickler may raise anything
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        line = str(error).strip().partition("\n")[0]
        reason = re.split(r"(?<=\w)\. ", line)[0][:200] or type(error).__name__
        name = name or re.search(r"nsupported (?:class|global):? ?(?:GLOBAL )?([\w.]+)", str(error))
        if "allow_pickle=False" in line:
            reason = "it holds Python objects, not numbers; save plain arrays"
        elif name is not None:
            reason = f"it names {name[1]}, which is not part of a set of images"
        elif "weights_only" in line:
            # The rest of torch's message recommends what must not be done.
            reason = "it holds more than tensors, numbers and containers"
        raise ImportSetError(f"{path} cannot be read safely, or is damaged: {reason}") from error


def _load_array(path: Path) -> Any:
    # A map takes no memory, so a header that claims too much is found before anything is made.
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.array(array)


def _load_arrays(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as archive:
        return {name: _check_array(archive, name) for name in archive.files}


def _check_array(archive: Any, name: str) -> Any:
    """Read one array of an archive, after its header was compared with the bytes that it has."""
    entry = name if name in archive.zip.namelist() else f"{name}.npy"
    with archive.zip.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
    claimed = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
    if claimed > min(MAX_ARRAY_BYTES, archive.zip.getinfo(entry).file_size):
        raise ImportSetError(f"array {name!r} claims more numbers than the file holds")
    return archive[name]


def _load_torch(file: Path | io.BytesIO) -> Any:
    with torch.serialization.safe_globals(_TORCH_GLOBALS):
        return torch.load(file, map_location="cpu", weights_only=True)


_NUMPY: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}
"""Names in pickles of numpy's numbers and arrays; released files store accuracies as such."""

# The module was renamed in numpy 2.
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _NUMPY[_module, "scalar"] = np.float64(0).__reduce__()[0]
    _NUMPY[_module, "_reconstruct"] = np.zeros(0).__reduce__()[0]

_TORCH_GLOBALS: list[Any] = [
    *((value, ".".join(name)) for name, value in _NUMPY.items()),
    *{type(np.dtype(code)) for code in "?bBhHiIlLqQefd"},
    TensorDataset,
    argparse.Namespace,  # settings that training scripts save next to parameters
    collections.defaultdict,
]

_PICKLE_GLOBALS: dict[tuple[str, str], Any] = {
    **_NUMPY,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("torch.storage", "_load_from_bytes"): lambda content: _load_torch(io.BytesIO(content)),
}


class _Unpickler(pickle.Unpickler):
    """Accepts the names of tensors and arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _PICKLE_GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which is not part of a set of images"
            ) from None


def _load_pickle(path: Path) -> object:
    with path.open("rb") as file:
        return _Unpickler(file).load()
