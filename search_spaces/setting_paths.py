"""Every setting by its path, read from the settings dataclasses of `distill_core.settings`.

A path is a section and a field: `distillation.lr_img`, `distillation.queue.ce_weight`,
`evaluation.num_eval`, `extractors.epochs`. Names, types and limits have one source, the
dataclasses; a field added there can be set here.
"""

import dataclasses
import functools
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from distill_core.networks import parse_network_name
from distill_core.settings import (
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
    FeatureSettings,
    QueueSettings,
    SettingsError,
)
from search_spaces.errors import InvalidValue, suggest_name
from search_spaces.explain import explain

LARGEST = 2**53
"""Largest whole number of a setting; larger ones would not survive every table format."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSettings:
    """How many extractors class centralization draws from, and where they are if they exist."""

    count: int = 20
    """Networks in the pool (IID release: 1000; it says that fewer suffice)."""
    pool: str | None = None
    """The user's name for an existing pool; it goes with `folder`."""
    folder: str | None = None
    """Folder of `state_dict` files of such a pool, absolute or relative to the data folder."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 100_000:
            raise SettingsError(f"count is {self.count}; it must be between 1 and 100,000")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    path: str
    owner: type[Any]
    """The dataclass that has it."""
    field: str

    @property
    def takes_fractions(self) -> bool:
        """Whether its values are numbers that need not be whole."""
        return typing.get_type_hints(self.owner)[self.field] is float

    def check(self, value: object) -> object:
        """Return the value as the dataclass keeps it.

        Raises:
            InvalidValue: its type or its range is wrong.
        """
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST:
            raise InvalidValue("the number is too large")
        try:
            checked = _build_adapter(self.path).validate_python(value)
            if self.field == "network":
                parse_network_name(checked)
            self.owner(**{self.field: checked})
        except ValidationError as error:
            raise InvalidValue(f"{explain(error.errors()[0])}; got {shorten(value)}") from error
        except ValueError as error:
            raise InvalidValue(str(error)) from error
        return checked


def shorten(value: object) -> str:
    """Write a value as YAML would, cut to a readable length, for a message."""
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@functools.cache
def _build_adapter(path: str) -> TypeAdapter[Any]:
    setting = SETTINGS[path]
    hint = typing.get_type_hints(setting.owner)[setting.field]
    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))


def _list_settings() -> Iterator[Setting]:
    owners: tuple[tuple[str, type[Any]], ...] = (
        ("distillation", DistillationSettings),
        ("distillation.queue", QueueSettings),
        ("evaluation", EvaluationSettings),
        ("extractors", ExtractorSettings),
        ("extractors", PoolSettings),
        ("features", FeatureSettings),
    )
    sections = {section for section, _ in owners}
    for section, owner in owners:
        for item in dataclasses.fields(owner):
            path = f"{section}.{item.name}"
            # What the name of a method says is no setting, and a section is not one either.
            if not item.metadata.get("method") and path not in sections:
                yield Setting(path, owner, item.name)


SETTINGS: dict[str, Setting] = {setting.path: setting for setting in _list_settings()}
SECTIONS = ("distillation", "distillation.queue", "evaluation", "extractors", "features")


def find_setting(name: str) -> Setting:
    """Find a setting by its path, or by its last name where only one setting has it.

    Raises:
        InvalidValue: no setting or more than one has that name.
    """
    if name in SETTINGS:
        return SETTINGS[name]
    matches = [setting for setting in SETTINGS.values() if setting.path.endswith(f".{name}")]
    if len(matches) > 1:
        raise InvalidValue(
            f"{name!r} is ambiguous; write {' or '.join(setting.path for setting in matches)}"
        )
    if not matches:
        hint = suggest_name(name, [*SETTINGS, *(setting.field for setting in SETTINGS.values())])
        if "did you mean" not in hint:  # a list of all settings would be too long
            hint = f"; settings are in {', '.join(SECTIONS)}, for example distillation.iterations"
        raise InvalidValue(f"unknown setting {name[:80]!r}{hint}")
    return matches[0]


def flatten(values: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Turn nested sections, dotted paths and unique last names into checked values by path.

    Args:
        values: what a file or the command line gives.
        section: the section that `values` is, or "" for the level above all sections.

    Raises:
        InvalidValue: a name or a value is wrong; its path is relative to `values`.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        try:
            parts = _flatten_one(f"{section}.{name}".lstrip("."), name, value, section)
        except InvalidValue as invalid:
            raise InvalidValue(invalid.message, (name, *invalid.path)) from invalid
        twice = sorted(set(parts) & set(found))
        if twice:
            raise InvalidValue(f"{twice[0]} is set twice", (name,))
        found.update(parts)
    return found


def _flatten_one(path: str, name: str, value: object, section: str) -> dict[str, Any]:
    if path in SECTIONS:
        if not isinstance(value, Mapping):
            hint = (
                " (the method, DM or IDM, decides whether there is a queue)"
                if path.endswith("queue")
                else ""
            )
            raise InvalidValue(f"expected settings of {path}{hint}, got {shorten(value)}")
        return flatten(value, path)
    if section and path not in SETTINGS:
        prefix = f"{section}."
        fields = [path.removeprefix(prefix) for path in SETTINGS if path.startswith(section)]
        hint = suggest_name(name, fields)
        raise InvalidValue(f"unknown setting {name[:80]!r} of {section}{hint}")
    setting = find_setting(path)
    return {setting.path: setting.check(value)}
