"""Where the files of a data set are in the data folder.

They are located without reading them, and without torch or numpy.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from distill_core.datasets.folders import (
    TEST_NAMES,
    find_splits,
    holds_images,
    list_folders,
    walk,
)
from distill_core.datasets.info import DatasetError, find_registered
from distill_core.datasets.known_layouts import LAYOUTS, find_missing_files, find_place
from distill_core.datasets.record import list_some
from distill_core.datasets.shards import find_parquet_root, find_parquet_shards
from distill_core.paths import check_path
from distill_core.settings import DatasetRef, is_custom

__all__ = [
    "LAYOUTS",
    "TEST_NAMES",
    "describe_source",
    "find_parquet_shards",
    "list_files",
    "locate",
    "missing_dataset_error",
    "missing_datasets_error",
    "resolve_custom_folder",
]


_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


def locate(dataset: DatasetRef | str, root: Path) -> Path | None:
    """Return the folder of a data set, or None where files are missing.

    Args:
        dataset: a reference, or a registered name.
        root: the data folder.

    Raises:
        DatasetError: the name is unknown, or its folder cannot be searched.
    """
    ref = DatasetRef(name=dataset) if isinstance(dataset, str) else dataset
    try:
        return _locate(ref, root)
    except OSError as error:
        raise DatasetError(
            f"{ref.name}: cannot search {error.filename or root} ({error.strerror or error})"
        ) from error


def _locate(ref: DatasetRef, root: Path) -> Path | None:
    if ref.path is not None:
        folder = resolve_custom_folder(ref, root)
        if is_custom(ref.format or ""):
            return folder if folder.exists() else None
        if ref.format == "parquet":
            return folder if find_parquet_root(folder) else None
        return folder if find_splits(folder) else None
    if find_registered(ref.name).name == "digits":
        return _find_digits()
    place = find_place(ref.name, root)
    return None if place is None else place.folder


def list_files(ref: DatasetRef, root: Path) -> list[Path]:
    """Return the files that hold a data set, sorted; none for the digits, or if it is missing."""
    if ref.path is not None:
        top = resolve_custom_folder(ref, root)
        files = sorted(walk(top)) if top.is_dir() else [top]
    else:
        place = None if ref.name == "digits" else find_place(ref.name, root)
        files = [] if place is None else place.list_files()
    return [path for path in files if path.is_file()]


def describe_source(name: str) -> str:
    """Describe in one sentence how to get a registered data set.

    Raises:
        DatasetError: the name is unknown.
    """
    return find_registered(name).source


def missing_datasets_error(refs: Iterable[DatasetRef], root: Path) -> DatasetError:
    """Return one error for all data sets that `locate` does not find."""
    errors = [str(missing_dataset_error(ref, root)) for ref in refs]
    if len(errors) == 1:
        return DatasetError(errors[0])
    return DatasetError("\n  ".join([f"{len(errors)} data sets are missing:", *errors]))


def missing_dataset_error(ref: DatasetRef, root: Path) -> DatasetError:
    """Return the error for a data set that `locate` does not find.

    It says what is missing, where, and what to do.
    """
    if ref.path is not None:
        return _missing_custom_error(ref, root)
    remedy = describe_source(ref.name)
    for other in ("cifar10", "cifar10-jpeg"):
        place = find_place(other, root) if ref.name in ("cifar10", "cifar10-jpeg") else None
        if place is not None:
            remedy += f"; {place.folder / 'train.parquet'} is the data set {other!r}"
    layouts = LAYOUTS.get(ref.name, ())
    for layout in layouts:
        lacking = find_missing_files(root / layout.folder, layout)
        if 0 < len(lacking) < len(layout.files):
            return DatasetError(
                f"{ref.name}: {root / layout.folder / lacking[0]} is missing; {remedy}"
            )
    places = ", ".join(dict.fromkeys(str(root / layout.folder) for layout in layouts))
    return DatasetError(f"{ref.name}: not found (looked in {places or 'scikit-learn'}); {remedy}")


def _missing_custom_error(ref: DatasetRef, root: Path) -> DatasetError:
    folder = resolve_custom_folder(ref, root).resolve()
    if folder.is_file():
        what = "unpack it, and name the folder" if folder.suffix in _ARCHIVES else "name its folder"
        return DatasetError(f"{ref.name}: {folder} is a file; {what} as path")
    remedy = f"check the path of this data set ({ref.path})"
    if not Path(ref.path or "").expanduser().is_absolute():
        remedy += " and --data, the folder that it is relative to"
    known = {
        "parquet": "train.parquet or train-*.parquet",
        "imagefolder": "train/<class>/<images>",
    }
    expected = known.get(ref.format or "", "files")
    where = f"{folder}, which is not there" if not folder.exists() else f"{folder}"
    if folder.is_dir():
        where += _describe_content(ref, folder)
    return DatasetError(f"{ref.name}: no {expected} in {where}; {remedy}")


def _describe_content(ref: DatasetRef, folder: Path) -> str:
    """Say what a folder holds in place of what its format expects."""
    other = {"parquet": "imagefolder", "imagefolder": "parquet"}.get(ref.format or "")
    try:
        if other == "parquet" and find_parquet_root(folder):
            return ", but Parquet files (format: parquet)"
        if other == "imagefolder" and find_splits(folder) and holds_images(folder):
            return ", but folders or images (format: imagefolder)"
    except DatasetError:
        pass  # nothing of the other format either
    names = [path.name for path in list_folders(folder)] or [
        path.name for path in sorted(folder.iterdir())
    ]
    inner = folder / "data" if (folder / "data").is_dir() else folder
    files = [path.name for path in inner.iterdir() if path.suffix.lower() == ".parquet"]
    if ref.format == "parquet" and files:
        names = sorted(files)
        return f"; it holds {list_some(names)}: rename the training file to train.parquet"
    return f"; it holds {list_some(names)}" if names else ", which is empty"


def resolve_custom_folder(ref: DatasetRef, root: Path) -> Path:
    """Return the folder of a custom data set; a relative path starts at the data folder."""
    if not ref.path:
        return root
    return check_path(root / check_path(ref.path, f"path of {ref.name}"), f"path of {ref.name}")


def _find_digits() -> Path | None:
    package = find_spec("sklearn")
    return Path(package.origin).parent / "datasets" / "data" if package and package.origin else None
