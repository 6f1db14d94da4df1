"""Names of the objects of a remote store."""

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.store.publish import DONE
from orchestrator.units import KINDS, Unit

_ATTEMPT = re.compile(r"units/[a-z_]+/(?P<key>[0-9a-f]+)/[0-9a-f]+")


def done_name(kind: str, key: str) -> str:
    """Name of the object whose presence makes a unit done."""
    return f"units/{kind}/{key}/{DONE}"


def attempt_of(record: Mapping[str, Any], key: str) -> str:
    """Return the folder of the attempt that a unit's mark names; StoreError if it names none."""
    attempt = record.get("attempt")
    if isinstance(attempt, str) and (found := _ATTEMPT.fullmatch(attempt)) and found["key"] == key:
        return attempt
    raise StoreError(
        f"store: {DONE} of unit {key} is damaged: {attempt!r} is no attempt at it; delete it"
    )


def table_name(unit: Unit) -> str:
    """Name of the object with a unit's rows, where readers look for them."""
    return f"tables/{KINDS[unit.kind].table}/{unit.key}.parquet"


def checkpoints_name(unit: Unit) -> str:
    """Name of the folder of a unit's checkpoints."""
    return f"checkpoints/{unit.kind}/{unit.key}"
