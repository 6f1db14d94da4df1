"""Reading files of Python objects without executing code in them.

`torch.load` loads weights only. A plain pickle is read only if the caller allows it, and even then
by an unpickler that accepts tensors, arrays and plain containers and rejects every other name.
"""

import codecs
import collections
import hashlib
import io
import pickle
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from distill_core._compat import rebuild_parameter, rebuild_tensor
from distill_core.importers.raw_set import FileContent, ImportSetError
from distill_core.paths import check_tree_file

_LEGACY_TORCH = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""Magic number of torch.save before it wrote zip files."""


def detect_file_kind(path: Path) -> Literal["safetensors", "torch", "pickle"]:
    """Return the format of a file.

    Raises:
        ImportSetError: it cannot be read, or has another format.
    """
    check_tree_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise ImportSetError(f"{path} cannot be read: {error.strerror}") from error
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        return "safetensors"
    if head.startswith(b"PK\x03\x04") or head[2:14] == _LEGACY_TORCH:
        return "torch"
    if head.startswith(b"\x80") or path.suffix in (".pkl", ".pickle"):
        return "pickle"
    raise ImportSetError(
        f"{path} is neither a file of torch.save nor a pickle nor safetensors; save its tensors"
        " with torch.save"
    )


def load_objects(path: Path, *, allow_pickle: bool) -> FileContent:
    """Read a file of torch.save, or a pickle if that is allowed.

    Raises:
        ImportSetError: the file is damaged, holds more than tensors and containers, or is a pickle
            that is not allowed.
    """
    if detect_file_kind(path) == "torch":
        return FileContent(
            path=path, value=_read_safely(path, lambda: _load_torch(path)), pickled=False
        )
    if not allow_pickle:
        raise ImportSetError(
            f"{path} is a pickle. A pickle can run any code on this machine when it is read; if you"
            " trust its source, pass --allow-pickle. Even then, only tensors, arrays and plain"
            " containers are accepted"
        )
    return FileContent(
        path=path, value=_read_safely(path, lambda: _load_pickle(path)), pickled=True
    )


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
        f"{path.relative_to(root).as_posix()} {digest}" for path, digest in digests.items()
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read_safely(path: Path, read: Callable[[], object]) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except ImportSetError:
        raise
    except Exception as error:  # on damaged bytes an unpickler may raise anything
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        line = str(error).strip().partition("\n")[0]
        reason = re.split(r"(?<=\w)\. ", line)[0][:200] or type(error).__name__
        if name is not None:
            reason = f"it names {name[1]}, which is not part of a set of images"
        elif "weights_only" in line:
            # The rest of torch's message recommends what must not be done.
            reason = "it holds more than tensors, numbers and containers"
        raise ImportSetError(f"{path} cannot be read safely, or is damaged: {reason}") from error


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
