"""All formats, and writing a set in one of them."""

import dataclasses
import difflib
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from distill_core.exporters.card import build_card
from distill_core.exporters.content import Accuracy, ExportContent, ExportError, Format
from distill_core.exporters.dc import DC
from distill_core.exporters.ddranking import DDRANKING
from distill_core.exporters.hf import HF, build_dataset_info
from distill_core.exporters.imagefolder import IMAGEFOLDER
from distill_core.exporters.metadata import build_metadata
from distill_core.exporters.mtt import MTT
from distill_core.exporters.native import SAFETENSORS
from distill_core.synthetic_set import SyntheticSet

FORMATS: dict[str, Format] = {
    kind.name: kind for kind in (SAFETENSORS, DC, MTT, IMAGEFOLDER, HF, DDRANKING)
}

CARD, METADATA = "README.md", "metadata.json"


def find_format(name: str) -> Format:
    """Return a format by name; ExportError if there is none."""
    if name in FORMATS:
        return FORMATS[name]
    nearest = difflib.get_close_matches(name.lower(), FORMATS, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(FORMATS)}"
    raise ExportError(f"unknown format {name[:40]!r}; {hint}")


def export(
    source: SyntheticSet, kind: Format, folder: Path, accuracies: tuple[Accuracy, ...] = ()
) -> ExportContent:
    """Write a set into a folder; a new folder appears complete or not at all.

    Args:
        source: the set.
        kind: one of `FORMATS`.
        folder: new or empty, or an earlier export of the same set in the same format, whose files
            are replaced.
        accuracies: of networks trained on the set.

    Returns:
        What was written.

    Raises:
        ExportError: the format does not support the set, or the folder has other files or cannot
            be written.
    """
    if source.soft_labels is not None and not kind.soft_labels:
        able = ", ".join(other.name for other in FORMATS.values() if other.soft_labels)
        raise ExportError(
            f"this set has soft labels, which the format {kind.name} cannot hold; choose one of"
            f" {able}"
        )
    spec = {name: _remove_paths(value) for name, value in source.spec.items()}
    source = dataclasses.replace(source, spec=spec)
    content = ExportContent.from_set(source, accuracies, by_class=kind.by_class)
    _check_free(folder, source, kind)
    # Next to the folder, so that it is on the same file system and can be renamed.
    scratch = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        scratch.mkdir(parents=True)
        kind.write(content, scratch)
        text = json.dumps(
            build_metadata(content, kind), indent=1, ensure_ascii=False, allow_nan=False
        )
        (scratch / METADATA).write_text(text + "\n", encoding="utf-8")
        files = build_dataset_info(content, scratch) if kind is HF else None
        (scratch / CARD).write_text(build_card(content, kind, files), encoding="utf-8")
        _move(scratch, folder)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return content


def _remove_paths(value: Any) -> Any:
    """Replace absolute paths by file names: exports must not publish the user's paths."""
    match value:
        case dict():
            return {name: _remove_paths(each) for name, each in value.items()}
        case list() | tuple():
            return [_remove_paths(each) for each in value]
        case str() if Path(value).is_absolute():
            return Path(value).name
    return value


def _move(scratch: Path, folder: Path) -> None:
    """Move the files into the folder; other files in it stay."""
    if not folder.exists():
        # One rename, so a new folder is never seen incomplete.
        scratch.rename(folder)
        return
    # Sorted, so folders come before the files in them.
    for path in sorted(scratch.rglob("*")):
        place = folder / path.relative_to(scratch)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        else:
            path.replace(place)


def _check_free(folder: Path, source: SyntheticSet, kind: Format) -> None:
    """Reject a folder with anything but an earlier export of the same set and format."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ExportError(f"{folder} is a file; choose a folder that is new or empty")
    if not any(folder.iterdir()):
        return
    try:
        known = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        same = source.key is not None and (known["key"], known["format"]) == (source.key, kind.name)
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise ExportError(f"{folder} is not empty; choose a folder that is new, or delete it first")
