"""Our own exports: their `metadata.json` says everything that their layouts leave open."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill_core.importers.names import clean_name, clean_values
from distill_core.importers.raw_set import FoundSets, RawSet

FILE = "metadata.json"
NAMES = {"dc": "dc.pt", "mtt": "images_best.pt", "ddranking": "images.pt"}
"""The file with the images, in formats of files."""
_EIGHT_BITS = ("imagefolder", "hf")
_LAYOUTS = {"safetensors": ("own",), "ddranking": ("ddranking", "mtt")}
"""Layouts that a format is recognized as, where that is not its own name alone."""
_MAX_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Description:
    """What an export says about itself."""

    kind: str
    shape: tuple[int, ...]
    fields: dict[str, Any]


def read_description(folder: Path) -> Description | None:
    """Read the metadata of an export; None if there is none that can be used."""
    path = folder / FILE
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return None
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None  # the folder is then read like any other
    if not isinstance(fields, dict) or not isinstance(fields.get("export"), int):
        return None
    shape = fields.get("images")
    if not isinstance(shape, list) or not _is_list(shape, int):
        return None
    if not _is_list(fields.get("class_names"), str):
        return None
    if not (_is_list(fields.get("mean"), float | int) and _is_list(fields.get("std"), float | int)):
        return None
    if not all(value > 0 for value in fields["std"]):
        return None
    return Description(str(fields.get("format")), tuple(shape), fields)


def apply_description(found: FoundSets, description: Description) -> FoundSets:
    """Return sets with what the metadata says; unchanged if it is about other images.

    Images that were stored anew in another layout may have other values, so they are others too.
    """
    layouts = _LAYOUTS.get(description.kind, (description.kind,))
    is_this = found.layout in layouts and len(found.sets) == 1
    if not is_this or description.shape != _describe_shape(found.sets[0]):
        note = f"{FILE} is about other images and was left out"
        sets = tuple(replace(raw, notes=(*raw.notes, note)) for raw in found.sets)
        return replace(found, sets=sets)
    fields, (raw,) = description.fields, found.sets
    normalized = description.kind not in _EIGHT_BITS
    folders = raw.class_folders
    names = tuple(fields["class_names"])
    if description.kind == "imagefolder" and len(folders) == len(names):
        folders = names  # the folders are numbered in the order of the classes
    notes = [note for note in raw.notes if "no file of labels" not in note]
    factor, ipc = fields.get("factor"), fields.get("ipc")
    if isinstance(factor, int) and factor > 1:
        notes.append(f"cut from {ipc} canvases of {factor} × {factor} images per class")
    method, spec = fields.get("method"), fields.get("spec")
    described = replace(
        raw,
        normalized=normalized,
        zca=False,
        partition=1,
        mean=tuple(map(float, fields["mean"])) if normalized else (),
        std=tuple(map(float, fields["std"])) if normalized else (),
        class_folders=folders,
        class_names=() if folders else names,
        soft_kind="probabilities",
        trusted=True,
        method=clean_name(method) if isinstance(method, str) else None,
        made_for=clean_name(str(fields.get("dataset"))),
        spec=clean_values(spec) if isinstance(spec, dict) else {},
        notes=tuple(notes),
    )
    reason = f"an export of ours in the format {clean_name(description.kind, 20)}, as {FILE} says"
    return replace(found, reason=reason, sets=(described,))


def _describe_shape(raw: RawSet) -> tuple[int, ...]:
    return tuple(raw.images.shape)


def _is_list(value: object, kind: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, kind) and not isinstance(each, bool) for each in value
    )
