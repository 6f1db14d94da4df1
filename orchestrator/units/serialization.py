"""Units as JSON text, which travels to workers and stays in the store."""

import dataclasses
import json

from pydantic import TypeAdapter, ValidationError

from distill_core.settings import SettingsError
from orchestrator.units.kinds import KINDS, Unit


def to_json(unit: Unit) -> str:
    """Write a unit with all its fields, locations included; `from_json` restores it anywhere."""
    return json.dumps(
        {"kind": unit.kind, **dataclasses.asdict(unit)}, sort_keys=True, allow_nan=False
    )


def from_json(text: str) -> Unit:
    """Restore a unit from `to_json`.

    Raises:
        SettingsError: the text is not a unit of a known kind with fields of that kind, each of its
            type.
    """
    try:
        fields = json.loads(text)
        kind = fields.pop("kind")
        return _get_reader(KINDS[kind].unit).validate_json(
            json.dumps(fields, allow_nan=False), strict=True, extra="forbid"
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or kind
        raise SettingsError(f"not a unit of work: {where}: {first['msg']}") from error
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise SettingsError(f"not a unit of work: {error!r}") from error


_READERS: dict[type[Unit], TypeAdapter[Unit]] = {}


def _get_reader(unit: type[Unit]) -> TypeAdapter[Unit]:
    """Return what reads units of a class; building it takes longer than reading thousands."""
    if unit not in _READERS:
        _READERS[unit] = TypeAdapter(unit)
    return _READERS[unit]
