"""Our own sets: safetensors files, or a folder of them."""

import json
from collections.abc import Sequence
from pathlib import Path

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
    reason = f"{len(files)} safetensors file{'s' * (len(files) > 1)} of ours"
    return FoundSets(
        layout="own",
        reason=reason,
        sets=tuple(_read_set(path) for path in files),
        files=tuple(files),
    )


def _read_set(path: Path) -> RawSet:
    try:
        own = SyntheticSet.load(path)
    except SyntheticSetError as error:
        raise ImportSetError(str(error)) from error
    _require_types(own, path)
    soft = own.soft_labels
    return RawSet(
        where=str(path),
        images=read_images(own.images, str(path)),
        labels=own.labels if soft is None else read_labels(soft, len(own.labels), str(path)),
        normalized=False,
        zca=False,
        partition=own.partition,
        own=own,
    )


def _require_types(own: SyntheticSet, path: Path) -> None:
    """See that the header holds what a set of ours has; a header can be edited by anyone."""
    kinds = {
        "dataset": str,
        "method": str,
        "ipc": int,
        "dataset_version": int,
        "partition": int,
        "spec": dict,
    }
    for name, kind in kinds.items():
        value = getattr(own, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ImportSetError(f"{path}, header: {name} is {value!r:.60}, not {kind.__name__}")
    if own.ipc < 1 or not all(isinstance(name, str) for name in own.class_names):
        raise ImportSetError(
            f"{path}, header: ipc is {own.ipc}, class_names {own.class_names!r:.60}"
        )
    try:
        json.dumps(own.spec, allow_nan=False)
    except ValueError as error:
        raise ImportSetError(f"{path}, header: spec holds a number that is not finite") from error
