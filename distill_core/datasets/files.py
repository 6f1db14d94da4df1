"""Where the files of a data set are in the data folder.

They are located without reading them, and without torch or numpy.
"""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from distill_core.datasets.info import DatasetError, find_registered
from distill_core.paths import check_path
from distill_core.settings import DatasetRef, is_custom

TEST_NAMES = ("test", "validation", "valid", "val")
"""Names of a custom test split; the first one that exists is used."""


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """A folder in the data folder, and glob patterns of the files that must be in it."""

    folder: str
    files: tuple[str, ...]


def _build_layouts(folders: tuple[str, ...], files: tuple[str, ...]) -> tuple[FolderLayout, ...]:
    return tuple(FolderLayout(folder, files) for folder in folders)


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
    "cifar10-jpeg": _build_layouts(("cifar10",), ("train.parquet", "test.parquet")),
    "cifar100": _build_layouts(
        ("cifar-100-python", "cifar100/cifar-100-python"), ("meta", "train", "test")
    ),
    "tinyimagenet": (
        *_build_layouts(_TINY_FOLDERS, ("train", "val/val_annotations.txt", "val/images")),
        *_build_layouts(("", "tinyimagenet"), ("tinyimagenet.pt",)),
    ),
}
"""Possible locations of each registered data set; the first complete one is read.

The digits are part of scikit-learn."""


def locate(dataset: DatasetRef | str, root: Path) -> Path | None:
    """Return the folder of a data set, or None where files are missing; no file is opened.

    Args:
        dataset: a reference, or a registered name.
        root: the data folder.

    Raises:
        DatasetError: the name is unknown.
    """
    ref = DatasetRef(name=dataset) if isinstance(dataset, str) else dataset
    if ref.path is not None:
        folder = resolve_custom_folder(ref, root)
        if is_custom(ref.format or ""):
            return folder if folder.exists() else None
        if ref.format == "parquet":
            return folder if find_parquet_shards(folder, "train") else None
        return folder if (folder / "train").is_dir() else None
    if find_registered(ref.name).name == "digits":
        return _find_digits()
    for layout in LAYOUTS[ref.name]:
        folder = root / layout.folder
        if not _find_missing_files(folder, layout):
            return folder
    return None


def describe_source(name: str) -> str:
    """Describe in one sentence how to get a registered data set.

    Raises:
        DatasetError: the name is unknown.
    """
    return find_registered(name).source


def missing_dataset_error(ref: DatasetRef, root: Path) -> DatasetError:
    """Return the error for a data set that `locate` does not find.

    It says what is missing, where, and what to do.
    """
    if ref.path is not None:
        return _missing_custom_error(ref, root)
    remedy = describe_source(ref.name)
    if ref.name == "cifar10" and locate("cifar10-jpeg", root) is not None:
        remedy += f"; {root / 'cifar10' / 'train.parquet'} is the data set 'cifar10-jpeg'"
    layouts = LAYOUTS.get(ref.name, ())
    for layout in layouts:
        lacking = _find_missing_files(root / layout.folder, layout)
        if 0 < len(lacking) < len(layout.files):
            return DatasetError(
                f"{ref.name}: {root / layout.folder / lacking[0]} is missing; {remedy}"
            )
    places = ", ".join(dict.fromkeys(str(root / layout.folder) for layout in layouts))
    return DatasetError(f"{ref.name}: not found (looked in {places or 'scikit-learn'}); {remedy}")


def _missing_custom_error(ref: DatasetRef, root: Path) -> DatasetError:
    folder = resolve_custom_folder(ref, root).resolve()
    remedy = f"check the path of this data set ({ref.path})"
    if not Path(ref.path or "").expanduser().is_absolute():
        remedy += " and --data, the folder that it is relative to"
    known = {
        "parquet": "train.parquet or train-*.parquet",
        "imagefolder": "train/<class>/<images>",
    }
    expected = known.get(ref.format or "", "files")
    where = f"{folder}, which is not there" if not folder.exists() else folder
    return DatasetError(f"{ref.name}: no {expected} in {where}; {remedy}")


def resolve_custom_folder(ref: DatasetRef, root: Path) -> Path:
    """Return the folder of a custom data set; a relative path starts at the data folder."""
    if not ref.path:
        return root
    return check_path(root / check_path(ref.path, f"path of {ref.name}"), f"path of {ref.name}")


def find_parquet_shards(folder: Path, split: str) -> list[Path]:
    """Return the Parquet files of a split in order; empty where there are none.

    Possible names are `<split>.parquet`, `<split>-*.parquet`, both also in `data/`, and
    `<split>/*.parquet`.

    Raises:
        DatasetError: the name of a file implies more shards than there are.
    """
    patterns = (
        f"{split}.parquet",
        f"{split}-*.parquet",
        f"data/{split}.parquet",
        f"data/{split}-*.parquet",
    )
    shards: list[Path] = []
    for pattern in (*patterns, f"{split}/*.parquet"):
        shards = sorted(folder.glob(pattern))
        if shards:
            break
    for shard in shards:
        count = re.search(r"-of-(\d+)", shard.name)
        if count and int(count[1]) != len(shards):
            raise DatasetError(
                f"{shard}: the name says that there are {int(count[1])} files, but {len(shards)}"
                " are there; get the others"
            )
    return shards


def _find_missing_files(folder: Path, layout: FolderLayout) -> list[str]:
    return [pattern.rstrip("*") for pattern in layout.files if not any(folder.glob(pattern))]


def _find_digits() -> Path | None:
    package = find_spec("sklearn")
    return Path(package.origin).parent / "datasets" / "data" if package and package.origin else None
