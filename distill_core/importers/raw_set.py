"""What an importer reads from a file: numbers as they are stored, and what the layout says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill_core.importers.reading import Layout, SoftLabels
from distill_core.synthetic_set import SyntheticSet, SyntheticSetError

MAX_LABEL = 2**31
_MAX_REPEATED = 2**26
"""Most bytes of a tensor that is stored in fewer, as views that repeat numbers are."""
_IMAGE_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8)
_LABEL_TYPES = (
    *_IMAGE_TYPES,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
)


class ImportSetError(SyntheticSetError):
    """A file cannot be read as a distilled set; the message says where and what to do."""


class Answer(NamedTuple):
    """One answer to what is asked about a set."""

    meaning: str
    options: tuple[str, ...] = ()
    """What it adds to the command line."""
    place: str = ""
    """What it adds to the path."""


class ImportQuestionError(ImportSetError):
    """A file leaves something open, or its pixels contradict its layout; answers are known.

    Args:
        message: what is open.
        answers: what can be said.
    """

    def __init__(self, message: str, answers: Sequence[Answer]) -> None:
        super().__init__(message)
        self.answers = tuple(answers)


@dataclass(frozen=True, kw_only=True)
class RawSet:
    """One set as it is stored; None for what the layout leaves open."""

    where: str
    """File and place in it, for messages."""
    images: Tensor
    """float32 (N, C, H, W), finite, as stored."""
    labels: Tensor | None
    """int64 (N,), or float32 (N, K); None if images are stored class by class."""
    normalized: bool | None
    zca: bool | None
    partition: int | None
    image_files: bool = False
    """Whether images come from image files, of which gray ones may have one channel or three."""
    class_folders: tuple[str, ...] = ()
    """Names of the folders that the labels number, in layouts with a folder per class."""
    folder_labels: Tensor | None = None
    """int64 (N,), folder of each image, where the labels come from elsewhere."""
    class_names: tuple[str, ...] = ()
    """Names of the classes that the labels number, where metadata has them."""
    soft_kind: SoftLabels | None = None
    """What labels of two dimensions are, where the layout says so."""
    mean: tuple[float, ...] = ()
    """Mean of the normalization, where metadata has it; empty for that of the data set."""
    std: tuple[float, ...] = ()
    trusted: bool = False
    """Whether metadata says how images are stored, so that pixels prove nothing."""
    method: str | None = None
    """Name of the method, where metadata has it."""
    made_for: str | None = None
    """Name of the data set, where metadata has it."""
    spec: Mapping[str, object] = field(default_factory=dict)
    """How the set was made, where metadata has it."""
    notes: tuple[str, ...] = ()
    """What was assumed, mapped or left out in reading it."""
    lr_net: float | None = None
    """Learning rate that was learned together with the set."""
    native: SyntheticSet | None = None
    """The set itself, if the file has our format."""


@dataclass(frozen=True, kw_only=True)
class FoundSets:
    """The sets that were found at a path."""

    layout: Layout
    reason: str
    """How the layout was recognized."""
    sets: tuple[RawSet, ...]
    files: tuple[Path, ...]
    """All files that were read."""
    chosen: tuple[int, ...] | None = None
    """Numbers of the sets that were chosen; None for all of them."""


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """The content of a file of Python objects."""

    path: Path
    value: object
    pickled: bool
    """Whether the file is a plain pickle, not one of torch.save."""
    labels_path: str | None = None
    """File of labels that the user named, or "none" to do without."""


def find_pair(value: object) -> tuple[object, object] | None:
    """Return images and labels if the value is a pair of them."""
    if isinstance(value, list | tuple) and len(value) == 2 and is_images(value[0]):
        return value[0], value[1]
    return None


def is_images(value: object) -> bool:
    """Return whether this is a tensor or an array with four dimensions."""
    # Nested tensors have no shape.
    return (
        isinstance(value, Tensor | np.ndarray)
        and not (isinstance(value, Tensor) and value.is_nested)
        and value.ndim == 4
    )


def read_images(value: object, where: str) -> Tensor:
    """Return images as float32 (N, C, H, W); bytes become values in [0, 1].

    Raises:
        ImportSetError: it is something else.
    """
    if isinstance(value, np.ndarray):
        value = move_channels(value)
    tensor = _read_tensor(value, where, "images")
    if tensor.dim() != 4 or 0 in tensor.shape:
        raise ImportSetError(f"{where}: images of shape {tuple(tensor.shape)}, not (N, C, H, W)")
    if tensor.shape[1] not in (1, 3) and tensor.shape[3] in (1, 3):
        raise ImportSetError(
            f"{where}: images of shape {tuple(tensor.shape)} have their channels last; permute them"
        )
    if tensor.shape[2] != tensor.shape[3]:
        raise ImportSetError(
            f"{where}: images of {tensor.shape[2]} × {tensor.shape[3]} pixels are not square"
        )
    if tensor.dtype == torch.uint8:
        return tensor.float() / 255
    if tensor.dtype not in _IMAGE_TYPES:
        raise ImportSetError(f"{where}: images of type {tensor.dtype}; expected float or uint8")
    tensor = tensor.float().contiguous()  # float64 may hold what float32 does not
    if not tensor.isfinite().all():
        raise ImportSetError(f"{where}: images hold NaN or infinity")
    return tensor


def move_channels(array: np.ndarray) -> np.ndarray:
    """Return an array with channels first, if they are last as in NumPy and JAX."""
    if array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        return array.transpose(0, 3, 1, 2)
    return array


def read_labels(value: object, count: int, where: str) -> Tensor:
    """Return labels of `count` images: int64 classes (N,), or float32 numbers per class (N, K).

    Raises:
        ImportSetError: it is something else.
    """
    if (
        isinstance(value, Sequence)
        and not isinstance(value, str | bytes)
        and all(isinstance(v, int) for v in value)
    ):
        if any(
            abs(v) > MAX_LABEL for v in value
        ):  # an int of Python may be larger than those of numpy
            raise ImportSetError(
                f"{where}: labels hold a number beyond ±{MAX_LABEL}, which is not a class"
            )
        value = np.array(value, dtype=np.int64)
    tensor = _read_tensor(value, where, "labels")
    if tensor.dim() == 2 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    if tensor.dim() not in (1, 2) or len(tensor) != count:
        raise ImportSetError(f"{where}: labels of shape {tuple(tensor.shape)} for {count} images")
    if tensor.dtype not in _LABEL_TYPES:
        raise ImportSetError(f"{where}: labels of type {tensor.dtype}")
    if 0 in tensor.shape:
        raise ImportSetError(f"{where}: labels of shape {tuple(tensor.shape)} are empty")
    if not tensor.double().isfinite().all():
        raise ImportSetError(f"{where}: labels hold NaN or infinity")
    if tensor.dim() == 2:
        return tensor.float()
    if (
        not torch.equal(tensor.double(), tensor.double().round())
        or int(tensor.double().abs().max()) > MAX_LABEL
    ):
        raise ImportSetError(f"{where}: labels are not whole numbers")
    return tensor.long()


def read_learning_rate(value: object, where: str) -> float:
    """Return a learning rate; ImportSetError if it is not a positive number."""
    if isinstance(value, Tensor | np.ndarray | np.generic) and np.prod(value.shape) == 1:
        value = value.item()
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 < value < float("inf")
    ):
        raise ImportSetError(f"{where}: a learning rate must be one positive number")
    return float(value)


def read_entries(value: object) -> Mapping[str, object]:
    """Return the entries of a dictionary with string keys; empty for anything else."""
    return value if isinstance(value, dict) and all(isinstance(key, str) for key in value) else {}


def _read_tensor(value: object, where: str, what: str) -> Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.dtype.isnative:
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, np.ndarray):
        raise ImportSetError(
            f"{where}: {what} are an array of {value.dtype}, which is not read; save"
            f" {'numbers of classes, from 0' if what == 'labels' else 'float32 or uint8'}"
        )
    if not isinstance(value, Tensor):
        raise ImportSetError(f"{where}: expected {what} as a tensor, found {type(value).__name__}")
    if (
        value.layout != torch.strided
        or value.is_nested
        or value.is_quantized
        or value.device.type != "cpu"
    ):
        raise ImportSetError(
            f"{where}: {what} are not a plain tensor ({value.layout}, {value.device.type})"
        )
    size = value.numel() * value.element_size()
    # Repeated views are stored once. Few of them are harmless, such as one channel as three.
    if size > max(value.untyped_storage().nbytes(), _MAX_REPEATED):
        raise ImportSetError(f"{where}: {what} claim more numbers than the file holds")
    return value.detach()
