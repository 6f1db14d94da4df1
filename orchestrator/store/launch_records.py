"""What a store keeps of each launch: a record, and once for all launches of the same plan the units
that it set out.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.store import atomic_files
from orchestrator.units import Unit, to_json

_NEEDED = ("run", "space", "started", "plan")


def encode_plan(units: Mapping[str, Unit]) -> tuple[str, bytes]:
    """Return a plan's name, which is the hash of its content, and that content: the units' JSON in
    their order.
    """
    lines = ",\n".join(f'"{key}": {to_json(unit)}' for key, unit in units.items())
    plan = f"{{\n{lines}\n}}\n".encode()
    return hashlib.sha256(plan).hexdigest()[:16], plan


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a folder, oldest first; a damaged one is left out."""
    records = []
    for name in names_in(folder):
        if name.endswith(".json") and not name.startswith("."):
            with suppress(StoreError):
                records.append(atomic_files.read_json(folder / name))
    whole = [
        record for record in records if all(isinstance(record.get(name), str) for name in _NEEDED)
    ]
    return sorted(whole, key=lambda record: str(record["started"]))


def names_in(folder: Path) -> set[str]:
    """Return the names in a folder; none if it is not there."""
    with atomic_files.translated(folder):
        try:
            return set(os.listdir(folder))  # noqa: PTH208 (names only, for speed)
        except FileNotFoundError:
            return set()
