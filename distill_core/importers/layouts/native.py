"""Sets in our format: safetensors files, or a folder of them."""

import json
from collections.abc import Sequence
from pathlib import Path

from distill_core.importers.evidence import MIN_TILE
from distill_core.importers.files.file_kinds import detect_file_kind
from distill_core.importers.raw_set import (
    FoundSets,
    ImportSetError,
    RawSet,
    read_images,
    read_labels,
)
from distill_core.synthetic_set import SyntheticSet, SyntheticSetError


def find(files: Sequence[Path]) -> FoundSets:
    """Read sets that `SyntheticSet.save` wrote; ImportSetError if one is damaged."""
    reason = f"{len(files)} safetensors file{'s' * (len(files) > 1)} in our format"
    return FoundSets(
        layout="own",  # the name of our format in keys of imported sets
        reason=reason,
        sets=tuple(_read_set(path) for path in files),
        files=tuple(files),
    )


def _read_set(path: Path) -> RawSet:
    detect_file_kind(path)  # refuses what is no regular file
    try:
        native = SyntheticSet.load(path)
    except SyntheticSetError as error:
        raise ImportSetError(str(error)) from error
    _require_types(native, path)
    if native.partition > 1 and native.images.shape[-1] // native.partition < MIN_TILE:
        raise ImportSetError(
            f"{path}, header: partition {native.partition} cuts images of"
            f" {native.images.shape[-1]} pixels into tiles of fewer than {MIN_TILE}"
        )
    soft = native.soft_labels
    return RawSet(
        where=str(path),
        images=read_images(native.images, str(path)),
        labels=native.labels if soft is None else read_labels(soft, len(native.labels), str(path)),
        normalized=False,
        zca=False,
        partition=native.partition,
        native=native,
    )


def _require_types(native: SyntheticSet, path: Path) -> None:
    """Check the types of values in the header, which anyone can edit."""
    kinds = {
        "dataset": str,
        "method": str,
        "ipc": int,
        "dataset_version": int,
        "partition": int,
        "spec": dict,
    }
    for name, kind in kinds.items():
        value = getattr(native, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ImportSetError(f"{path}, header: {name} is {value!r:.60}, not {kind.__name__}")
    if native.ipc < 1 or not all(isinstance(name, str) for name in native.class_names):
        raise ImportSetError(
            f"{path}, header: ipc is {native.ipc}, class_names {native.class_names!r:.60}"
        )
    try:
        json.dumps(native.spec, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise ImportSetError(
            f"{path}, header: spec holds a number that is not finite, or is nested too deeply"
        ) from error
