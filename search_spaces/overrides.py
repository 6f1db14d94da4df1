"""Overrides from the command line: `--set path=value`, for every experiment, winning over
everything.

The path is an axis (`seeds=1`, `datasets=[digits]`), a setting (`distillation.iterations=200`), or
the last name of a setting that no other shares (`iterations=200`). A leading `settings.` is
ignored. The value is YAML.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from search_spaces.errors import InvalidValue, SpaceError, nearest, other_words
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
            axes.update(_axis(name, document.value) if name in Axes.model_fields else {})
            settings.update(_setting(name, document.value) if name not in Axes.model_fields else {})
        except InvalidValue as invalid:
            raise SpaceError(f"{document.name}: {invalid.message}") from invalid
    if "ipc" in axes and "ratio" in axes:
        raise SpaceError("--set gives both ipc and ratio; give one")
    return Overrides(validate(Axes, axes), settings)


def _axis(name: str, value: object) -> dict[str, Any]:
    validate(Axes, {name: value})
    return {name: value}


def _setting(name: str, value: object) -> dict[str, Any]:
    known = [*Axes.model_fields, *SETTINGS, *(path.rsplit(".", 1)[1] for path in SETTINGS)]
    try:
        return flatten({name: value})
    except InvalidValue as invalid:
        if "unknown setting" in invalid.message:
            raise InvalidValue(f"unknown path {name[:80]!r}{nearest(name, known)}") from invalid
        paths = [path for path in SETTINGS if path.endswith(f".{name}")]
        taken_for = f"{paths[0]}: " if len(paths) == 1 else ""
        raise InvalidValue(f"{taken_for}{invalid.message}{other_words(name, known)}") from invalid
