"""The README over the exported sets of a space: for Hugging Face, a configuration for each set."""

import json
from collections.abc import Iterable
from pathlib import Path

from distill_core.exporters import ExportError
from distill_core.exporters.card import COLLECTION, build_collection_card
from distill_core.exporters.export import CARD, METADATA
from distill_core.exporters.hf import HF


def require_free_card(out: Path) -> None:
    """Refuse a folder whose README is not that of an earlier collection.

    Raises:
        ExportError: so it is.
    """
    card = out / CARD
    try:
        is_ours = COLLECTION in card.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        is_ours = False
    if not is_ours:
        raise ExportError(f"{card} is of something else; choose another folder, or move it away")


def write_collection(out: Path, name: str, sets: Iterable[Path]) -> None:
    """Write the card over the sets of a space: a configuration per set, earlier exports included.

    Raises:
        ExportError: the file cannot be written.
    """
    folders = {folder.relative_to(out) for folder in sets}
    earlier = (path.parent for path in out.rglob(METADATA) if _is_export(path))
    folders |= {folder.relative_to(out) for folder in earlier}
    configs = {"-".join(folder.parts): folder.as_posix() for folder in sorted(folders)}
    try:
        (out / CARD).write_text(build_collection_card(name, configs), encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{out / CARD} cannot be written: {error.strerror}") from error


def _is_export(metadata: Path) -> bool:
    """Return whether a file is the metadata of an export in the format of Hugging Face."""
    try:
        return bool(json.loads(metadata.read_text(encoding="utf-8"))["format"] == HF.name)
    except (OSError, ValueError, KeyError, TypeError):
        return False
