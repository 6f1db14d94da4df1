"""Which custom objects, `module:object`, a unit names: readers, networks, bases and losses."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from distill_core.extensions import CUSTOM_NAME
from orchestrator.units.kinds import Unit

_FIELDS = ("format", "network", "base", "loss", "more_losses")
"""Fields that may name a custom object, in units and in their settings."""


def list_custom_names(unit: Unit) -> tuple[str, ...]:
    """Return the names of the custom objects that take part in a unit, sorted."""
    return tuple(sorted(set(_find_names(unit))))


def _find_names(value: Any) -> Iterator[str]:
    for field in dataclasses.fields(value):
        content = getattr(value, field.name)
        if field.name in _FIELDS and isinstance(content, str | tuple):
            for name in (content,) if isinstance(content, str) else content:
                if re.fullmatch(CUSTOM_NAME, name):
                    yield name
        elif dataclasses.is_dataclass(content):
            yield from _find_names(content)
