"""Names of units for people: a unit next to others has to say what tells it from them.

A measurement knows only the key of its set, and two sets may differ in a weight alone. So a name
has the set's method and size, and those settings in which units of the same name differ.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.units.identity import canonicalize
from orchestrator.units.kinds import KINDS, SetUnit, Unit

_UNSAFE = re.compile(r"[^A-Za-z0-9_.+=-]")
"""Characters that names of folders do without."""
SHOWN_DIFFERENCES = 4
_UNNAMED = ("parents", "seed", "index", "content", "dataset", "path")
"""Fields that are part of a name already, or say nothing to people."""


def name_units(units: Mapping[str, Unit]) -> dict[str, str]:
    """Name units by key, such as "evaluate digits, DM+IID, IPC 10, ConvNet, seed 0 [1f0a3c]".

    Args:
        units: all units of a plan, so that the sets of measurements are among them.
    """
    groups: dict[str, list[Unit]] = {}
    for unit in units.values():
        groups.setdefault(describe_with_set(unit, find_set(unit, units)), []).append(unit)
    names = {}
    for text, alike in groups.items():
        settings = {}
        if len(alike) > 1:
            for unit in alike:
                settings[unit.key] = _flatten(unit, find_set(unit, units))
        for unit in alike:
            parts = [text, *_list_differences(settings.get(unit.key, {}), settings.values())]
            names[unit.key] = f"{', '.join(parts)} [{unit.key[:6]}]"
    return names


def describe_with_set(unit: Unit, made: SetUnit | None) -> str:
    """Describe a unit and, of a measurement, its set; without what tells it from its like."""
    kind, classes = KINDS[unit.kind], len(unit.dataset.classes)
    dataset = f"{unit.dataset.name} ({classes} classes)" if classes else unit.dataset.name
    of_set = () if made is None else (made.method_name, f"IPC {made.ipc}")
    return f"{kind.action} {', '.join([dataset, *of_set, *kind.describe(unit)])}"


def name_folder(unit: Unit, made: SetUnit | None) -> str:
    """Return a name for a folder of a unit that people can read, such as
    "digits_DM+IID_IPC10_seed0_lambda_cc=0.05_578140874fa84e6f".
    """
    _, _, text = describe_with_set(unit, made).partition(unit.dataset.name)
    parts = [unit.dataset.name, *text.split(",")]
    settings = getattr(made or unit, "settings", None)
    for name in ("lambda_cc", "lambda_cm"):
        if value := getattr(settings, name, 0.0):
            parts.append(f"{name}={value:g}")
    words = (_UNSAFE.sub("", part)[:40] for part in parts)
    return "_".join([*filter(None, words), unit.key])


def list_settings(unit: Unit, made: SetUnit | None) -> dict[str, Any]:
    """Return the settings of a unit and of its set by dotted path, as plain values."""
    found = {}
    for path, value in _flatten(unit, made).items():
        plain = value if isinstance(value, str | int | float) else str(value)
        found[path.removeprefix("settings.").replace("set.settings.", "set.")] = plain
    for source in (unit, made):
        for name in ("seed", "index"):
            if hasattr(source, name):
                found.setdefault(name, getattr(source, name))
    the_set = made or unit
    if isinstance(the_set, SetUnit):
        found["method"] = the_set.method_name
    return {"dataset": unit.dataset.name, **found}


def find_set(unit: Unit, units: Mapping[str, Unit]) -> SetUnit | None:
    """Return the first set that a unit measures; None for a unit that makes one, or none is known.

    Args:
        unit: the unit.
        units: by key, parents among them as far as they are known.
    """
    for key in () if isinstance(unit, SetUnit) else unit.parents:
        parent = units.get(key)
        if isinstance(parent, SetUnit):
            return parent
    return None


def _list_differences(mine: Mapping[str, Any], settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the settings in which a unit differs from any of its like, by last name."""
    parts = []
    known = list(settings)
    for path, value in mine.items():
        if any(other.get(path) != value for other in known):
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            parts.append(f"{path.rpartition('.')[2]} {shown}")
    more = ["…"] if len(parts) > SHOWN_DIFFERENCES else []
    return parts[:SHOWN_DIFFERENCES] + more


def _flatten(unit: Unit, made: SetUnit | None) -> dict[str, Any]:
    """Return the settings of a unit and of its set by dotted path."""
    found: dict[str, Any] = {}
    for source, prefix in ((unit, ""), (made, "set.")):
        if source is not None:
            fields = canonicalize(source)
            for name, value in fields.items():
                if name not in _UNNAMED:
                    _put(found, f"{prefix}{name}", value)
    return found


def _put(found: dict[str, Any], path: str, value: Any) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _put(found, f"{path}.{name}", inner)
    else:
        found[path] = value
