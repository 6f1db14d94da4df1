"""What a unit is, as JSON text with one spelling, and the hash of that text: its key."""

import dataclasses
import hashlib
import json
import math
from typing import Any

from distill_core.settings import SettingsError

KEY_LENGTH = 16
_REPETITIONS = ("seed", "index", "content", "parents")
"""Fields in which repetitions of the same settings differ: another set, network or file."""


def hash_identity(identity: dict[str, Any]) -> str:
    """Return the key of an identity that `canonicalize` made: 16 hex digits."""
    text = json.dumps(
        identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def hash_settings(*units: Any) -> str:
    """Return a hash that units share if nothing but seeds, indices and files tells them apart.

    Args:
        units: what was measured, and the units before it; the data set is that of the first.
    """
    described = []
    for unit in units:
        fields = {
            name: value for name, value in canonicalize(unit).items() if name not in _REPETITIONS
        }
        described.append({"kind": unit.kind, "parents": len(unit.parents), "fields": fields})
    for before in described[1:]:
        # The steps of class-incremental learning have classes of their own, which a seed orders.
        del before["fields"]["dataset"]
    return hash_identity({"settings": described})


def canonicalize(value: Any, where: str = "unit") -> Any:
    """Reduce a value to JSON with one spelling for equal content.

    Fields marked as locations are left out. So are fields marked as added later, while they have
    their default. Equal numbers are spelled alike (1 and 1.0), so that the notation in a file
    cannot change a key.

    Args:
        value: a dataclass, dict, list, tuple, string, number, boolean or None.
        where: what messages call the value.

    Raises:
        SettingsError: the value has no stable identity; the message names the field.
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return _canonicalize_float(value, where)
    if isinstance(value, list | tuple):
        return _canonicalize_items(value, where)
    if isinstance(value, dict):
        return {str(name): canonicalize(item, f"{where}.{name}") for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _canonicalize_fields(value, where)
    raise SettingsError(
        f"{where} is a {type(value).__name__}, which has no stable identity; "
        "use a number, a string, a list, or a dataclass of these"
    )


def _canonicalize_fields(value: Any, where: str) -> dict[str, Any]:
    canonical = {}
    for field in dataclasses.fields(value):
        content = getattr(value, field.name)
        if _is_identifying(field, content):
            canonical[field.name] = canonicalize(content, f"{where}.{field.name}")
    return canonical


def _canonicalize_items(items: list[Any] | tuple[Any, ...], where: str) -> list[Any]:
    canonical = []
    for i, item in enumerate(items):
        # A distillation may have thousands of parents. Strings stand for themselves, and not
        # spelling out the place of each is most of the time that a key takes.
        canonical.append(item if type(item) is str else canonicalize(item, f"{where}[{i}]"))
    return canonical


def _is_identifying(field: dataclasses.Field[Any], value: object) -> bool:
    added_at_default = field.metadata.get("added", False) and value == field.default
    return bool(field.metadata.get("identity", True)) and not added_at_default


def _canonicalize_float(value: float, where: str) -> int | float:
    if not math.isfinite(value):
        raise SettingsError(f"{where} is {value}; give a finite number")
    return int(value) if value.is_integer() else value
