"""The forms in which a known data set may lie in the data folder; `docs/data.md` shows each.

Folders are compared without case and punctuation, so `fashion-mnist` and `FashionMNIST` are one. A
data folder that is itself named like a data set is searched too.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from distill_core.datasets.folders import find_splits, is_image_name, require_regular, walk
from distill_core.datasets.info import LOSSLESS, DatasetError, find_registered
from distill_core.datasets.shards import find_parquet_shards

Form = Literal["original", "parquet", "images"]
"""The files of the makers; Parquet in the Hugging Face layout; image files in class folders."""


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """A folder in the data folder, and glob patterns of the files that must be in it."""

    folder: str
    files: tuple[str, ...]
    form: Form = "original"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a data set lies, and in what form."""

    folder: Path
    layout: FolderLayout

    def list_files(self) -> list[Path]:
        """Return the files of the data set, sorted."""
        files: set[Path] = set()
        for pattern in self.layout.files:
            for top in self.folder.glob(pattern):
                files.update(walk(top) if top.is_dir() else [top])
        return sorted(files)


def _build_layouts(folders: Sequence[str], files: tuple[str, ...]) -> tuple[FolderLayout, ...]:
    return tuple(FolderLayout(folder, files) for folder in folders)


def _build_hub_layouts(
    tops: Sequence[str], configurations: Sequence[str], test: str = "test"
) -> tuple[FolderLayout, ...]:
    """Build the places of a repository of the Hugging Face hub: downloaded, cloned or cached."""
    layouts = []
    for top in tops:
        for inner in (*configurations, "data", ""):
            folder = f"{top}/{inner}".rstrip("/")
            layouts.append(FolderLayout(folder, ("train*.parquet", f"{test}*.parquet"), "parquet"))
            layouts.append(FolderLayout(folder, ("train/*.parquet", f"{test}*/*"), "parquet"))
    return tuple(layouts)


def _name_repository(repository: str) -> tuple[str, str]:
    return repository, f"datasets--{repository.replace('/', '--')}/snapshots/*"


def _build_image_layouts(folders: Sequence[str]) -> tuple[FolderLayout, ...]:
    return tuple(FolderLayout(folder, ("[Tt]rain*", "[Tt]est*"), "images") for folder in folders)


_IDX_FILES = (
    "train-images-idx3-ubyte*",
    "train-labels-idx1-ubyte*",
    "t10k-images-idx3-ubyte*",
    "t10k-labels-idx1-ubyte*",
)
_CIFAR10_FILES = ("batches.meta", *(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
_TINY_FOLDERS = ("tiny-imagenet-200", "tinyimagenet/tiny-imagenet-200", "tinyimagenet")

LAYOUTS: dict[str, tuple[FolderLayout, ...]] = {
    "mnist": _build_layouts(("MNIST/raw", "mnist/MNIST/raw", "mnist"), _IDX_FILES),
    "fashionmnist": _build_layouts(
        ("FashionMNIST/raw", "fashionmnist/FashionMNIST/raw", "fashionmnist"), _IDX_FILES
    ),
    "svhn": _build_layouts(("", "svhn"), ("train_32x32.mat", "test_32x32.mat")),
    "cifar10": _build_layouts(
        ("cifar-10-batches-py", "cifar10/cifar-10-batches-py"), _CIFAR10_FILES
    ),
    "cifar10-jpeg": (FolderLayout("cifar10", ("train.parquet", "test.parquet"), "parquet"),),
    "cifar100": _build_layouts(
        ("cifar-100-python", "cifar100/cifar-100-python"), ("meta", "train", "test")
    ),
    "tinyimagenet": (
        *_build_layouts(_TINY_FOLDERS, ("train", "val/val_annotations.txt", "val/images")),
        *_build_layouts(("", "tinyimagenet"), ("tinyimagenet.pt",)),
    ),
}
"""The usual location of each data set, which messages name; the first complete one is read.

The digits are part of scikit-learn."""

_CIFAR10_TOPS = ("cifar10", *_name_repository("uoft-cs/cifar10"))
_CIFAR10_OTHERS = (
    *_build_hub_layouts(_CIFAR10_TOPS, ("plain_text",)),
    *_build_image_layouts(("cifar10",)),
)
OTHER_LAYOUTS: dict[str, tuple[FolderLayout, ...]] = {
    "mnist": (
        *_build_hub_layouts(("mnist", *_name_repository("ylecun/mnist")), ("mnist",)),
        *_build_image_layouts(("mnist", "mnist_png")),
    ),
    "fashionmnist": (
        *_build_hub_layouts(
            ("fashionmnist", *_name_repository("zalando-datasets/fashion_mnist")),
            ("fashion_mnist",),
        ),
        *_build_image_layouts(("fashionmnist", "fashion_mnist_png")),
    ),
    "svhn": (
        *_build_hub_layouts(
            ("svhn", *_name_repository("ufldl-stanford/svhn")), ("cropped_digits",)
        ),
        *_build_image_layouts(("svhn",)),
    ),
    "cifar10": _CIFAR10_OTHERS,
    "cifar10-jpeg": _CIFAR10_OTHERS,
    "cifar100": (
        *_build_hub_layouts(("cifar100", *_name_repository("uoft-cs/cifar100")), ("cifar100",)),
        *_build_image_layouts(("cifar100",)),
    ),
    "tinyimagenet": (
        *_build_layouts(_TINY_FOLDERS, ("train", "val/n*")),
        *_build_hub_layouts(
            ("tinyimagenet", *_name_repository("zh-plus/tiny-imagenet")), ("default",), "val"
        ),
    ),
}
"""Further forms, searched after the usual ones."""


def find_place(name: str, root: Path) -> Place | None:
    """Return where a known data set other than the digits lies; None where files are missing.

    Files are listed. One image is looked at where PNG and JPEG make two data sets.
    """
    for layout in (*LAYOUTS.get(name, ()), *OTHER_LAYOUTS.get(name, ())):
        for folder in _expand(root, layout.folder):
            place = Place(folder, layout)
            if _is_complete(place) and _has_right_images(name, place):
                return place
    return None


def find_missing_files(folder: Path, layout: FolderLayout) -> list[str]:
    """Return which files of a layout are not in a folder."""
    return [pattern.rstrip("*") for pattern in layout.files if not any(folder.glob(pattern))]


def _is_complete(place: Place) -> bool:
    if not place.folder.is_dir() or find_missing_files(place.folder, place.layout):
        return False
    if place.layout.form != "images":
        return True
    try:
        splits = find_splits(place.folder)
    except DatasetError:  # two training splits, for example: no data set that is known
        return False
    return splits is not None and splits.train.is_dir() and bool(splits.tests)


def _expand(root: Path, folder: str) -> Iterator[Path]:
    """Yield the folder itself, then those whose names differ in case and punctuation only."""
    parts = Path(folder).parts
    if "*" not in folder:
        yield root / folder
    seen = {root / folder}
    starts = [(root, parts)]
    if parts and _squash(root.resolve().name) == _squash(parts[0]):
        starts.append((root, parts[1:]))
    for start, names in starts:
        for found in _descend(start, names):
            if found not in seen:
                seen.add(found)
                yield found


def _descend(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    if not names:
        yield folder
        return
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if (names[0] == "*" or _squash(path.name) == _squash(names[0])) and path.is_dir():
            yield from _descend(path, names[1:])


def _squash(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _has_right_images(name: str, place: Place) -> bool:
    """Whether images have a format of the data set, where the format tells two apart."""
    if name not in ("cifar10", "cifar10-jpeg") or place.layout.form == "original":
        return True
    found = find_first_format(place)
    if found is None:  # damaged: reading it says how
        return name == "cifar10-jpeg"
    return (found in LOSSLESS) == (find_registered(name).formats == LOSSLESS)


def find_first_format(place: Place) -> str | None:
    """Return the format of one image of a data set, by its bytes; None if it is unreadable."""
    try:
        start = _read_start(place)
    except Exception:  # on damaged files pyarrow may raise anything; reading says what is wrong
        return None
    if start.startswith(b"\x89PNG"):
        return "PNG"
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    return {b"BM": "BMP", b"II": "TIFF", b"MM": "TIFF", b"P5": "PPM", b"P6": "PPM"}.get(start[:2])


def _read_start(place: Place) -> bytes:
    """Return the first bytes of one image."""
    if place.layout.form == "images":
        splits = find_splits(place.folder)
        images = walk(splits.train) if splits is not None else iter(())
        image = next(path for path in images if is_image_name(path.name) and path.is_file())
        with image.open("rb") as stream:
            return stream.read(16)
    import pyarrow.parquet as pq

    from distill_core.datasets.readers.options import IMAGE_COLUMNS

    file = find_parquet_shards(place.folder, "train")[0]
    require_regular(file)
    with pq.ParquetFile(file) as parquet:
        column = next(each for each in parquet.schema_arrow.names if each in IMAGE_COLUMNS)
        batch = next(parquet.iter_batches(batch_size=1, row_groups=[0], columns=[column]))
    value = batch.column(0)[0].as_py()
    content = value["bytes"] if isinstance(value, dict) else value
    return bytes(content[:16])
