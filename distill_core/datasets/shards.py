"""Parquet files of a split, found by name and in order."""

import re
from pathlib import Path

from distill_core.datasets.folders import TRAIN_NAMES, list_folders
from distill_core.datasets.info import DatasetError


def find_parquet_root(folder: Path) -> Path | None:
    """Return the folder whose training split is there: this one, or the only configuration in it.

    Raises:
        DatasetError: several configurations could be meant.
    """
    if _has_training_split(folder):
        return folder
    inner = [path for path in list_folders(folder) if _has_training_split(path)]
    if len(inner) > 1:
        names = ", ".join(path.name for path in inner)
        raise DatasetError(
            f"{folder}: has several configurations, {names}; name one of these folders as path"
        )
    return inner[0] if inner else None


def _has_training_split(folder: Path) -> bool:
    return any(find_parquet_shards(folder, split) for split in TRAIN_NAMES)


def find_parquet_shards(folder: Path, split: str) -> list[Path]:
    """Return the Parquet files of a split in order; empty where there are none.

    Possible names are `<split>.parquet`, `<split>-*.parquet`, both also in `data/`, and
    `<split>/*.parquet`, in any case.

    Raises:
        DatasetError: the name of a file implies more shards than there are.
    """
    name = re.escape(split)
    places = (
        (folder, rf"{name}\.parquet"),
        (folder, rf"{name}-.*\.parquet"),
        (folder / "data", rf"{name}\.parquet"),
        (folder / "data", rf"{name}-.*\.parquet"),
        *((path, r".*\.parquet") for path in list_folders(folder) if _is_split(path, split)),
    )
    for place, pattern in places:
        shards = _list_matching(place, pattern)
        if shards:
            _check_count(shards)
            return shards
    return []


def _is_split(path: Path, split: str) -> bool:
    return path.name.lower() == split.lower()


def _list_matching(folder: Path, pattern: str) -> list[Path]:
    if not folder.is_dir():
        return []
    matches = re.compile(rf"(?!\.){pattern}", re.IGNORECASE)
    return sorted(path for path in folder.iterdir() if matches.fullmatch(path.name))


def _check_count(shards: list[Path]) -> None:
    for shard in shards:
        count = re.search(r"-of-(\d+)", shard.name)
        if count and int(count[1]) != len(shards):
            raise DatasetError(
                f"{shard}: the name says that there are {int(count[1])} files, but {len(shards)}"
                " are there; get the others"
            )
