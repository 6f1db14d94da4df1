"""Overrides from the command line: `--set path=value`, which win over everything else.

The path is an axis (`seeds=1`, `datasets=[digits]`), a setting (`distillation.iterations=200`), or
the last name of a setting that no other shares (`iterations=200`). A leading `settings.` is
ignored. The value is YAML.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from search_spaces.errors import InvalidValue, SpaceError, suggest_name, suggest_synonym
from search_spaces.schema import Axes, validate
from search_spaces.setting_paths import SETTINGS, flatten
from search_spaces.yaml_document import parse_document


@dataclass(frozen=True, slots=True)
class Overrides:
    """Checked overrides."""

    axes: Axes = field(default_factory=Axes)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By path."""


def parse_overrides(texts: Iterable[str]) -> Overrides:
    """Check `path=value` texts.

    Raises:
        SpaceError: a text is not of that form, its path is unknown or ambiguous, or its value does
            not fit.
    """
    axes: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for text in texts:
        shown = f"--set {' '.join(text.split())[:80]}"
        name, equals, value = text.partition("=")
        name = name.strip().removeprefix("settings.")
        if not equals or not name:
            raise SpaceError(f"{shown}: expected path=value, for example --set iterations=200")
        document = parse_document(shown, value, lines=False)
        try:
            if name in Axes.model_fields:
                axes.update(_check_axis(name, document.value))
            else:
                settings.update(_check_setting(name, document.value))
        except InvalidValue as invalid:
            raise SpaceError(f"{document.name}: {invalid.message}") from invalid
    if "ipc" in axes and "ratio" in axes:
        raise SpaceError("--set gives both ipc and ratio; give one")
    return Overrides(validate(Axes, axes), settings)


def _check_axis(name: str, value: object) -> dict[str, Any]:
    validate(Axes, {name: value})
    return {name: value}


def _check_setting(name: str, value: object) -> dict[str, Any]:
    known = [*Axes.model_fields, *SETTINGS, *(path.rsplit(".", 1)[1] for path in SETTINGS)]
    try:
        return flatten({name: value})
    except InvalidValue as invalid:
        if "unknown setting" in invalid.message:
            hint = suggest_name(name, known)
            raise InvalidValue(f"unknown setting {name[:80]!r}{hint}") from invalid
        paths = [path for path in SETTINGS if path.endswith(f".{name}")]
        full_path = f"{paths[0]}: " if len(paths) == 1 else ""
        hint = suggest_synonym(name, known)
        raise InvalidValue(f"{full_path}{invalid.message}{hint}") from invalid
