"""The index of formats, and the one way to write a set in one of them."""

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
    """Return a format; ExportError if there is none of that name."""
    if name in FORMATS:
        return FORMATS[name]
    nearest = difflib.get_close_matches(name.lower(), FORMATS, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(FORMATS)}"
    raise ExportError(f"unknown format {name[:40]!r}; {hint}")


def export(
    source: SyntheticSet, kind: Format, folder: Path, accuracies: tuple[Accuracy, ...] = ()
) -> ExportContent:
    """Write a set into a folder; a new one appears complete or not at all.

    Args:
        source: the set.
        kind: one of `FORMATS`.
        folder: new or empty, or an earlier export of the same set in the same format, whose files
            are renewed.
        accuracies: what networks trained on it reached.

    Returns:
        What was written.

    Raises:
        ExportError: the format cannot hold the set, or the folder holds something else or cannot be
            written.
    """
    if source.soft_labels is not None and not kind.soft_labels:
        able = ", ".join(other.name for other in FORMATS.values() if other.soft_labels)
        raise ExportError(
            f"this set has soft labels, which the format {kind.name} cannot hold; choose one of"
            f" {able}"
        )
    source = dataclasses.replace(
        source, spec={name: _published(value) for name, value in source.spec.items()}
    )
    content = ExportContent.of(source, accuracies, by_class=kind.by_class)
    _check_free(folder, source, kind)
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


def _published(value: Any) -> Any:
    """Leave of an absolute path the name alone: where files lie on its maker's machine is not to be
    published.
    """
    match value:
        case dict():
            return {name: _published(each) for name, each in value.items()}
        case list() | tuple():
            return [_published(each) for each in value]
        case str() if Path(value).is_absolute():
            return Path(value).name
    return value


def _move(scratch: Path, folder: Path) -> None:
    """Put the files in place; whatever else lies there stays."""
    if not folder.exists():
        scratch.rename(folder)
        return
    for path in sorted(scratch.rglob("*")):
        place = folder / path.relative_to(scratch)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        else:
            path.replace(place)


def _check_free(folder: Path, source: SyntheticSet, kind: Format) -> None:
    """Refuse a folder that holds anything but an earlier export of the same set in the same
    format.
    """
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
