"""Every setting by its path, read from the settings dataclasses of `distill_core.settings`.

A path is a section and a field: `distillation.lr_img`, `distillation.queue.ce_weight`,
`evaluation.num_eval`, `extractors.epochs`. Names, types and limits have one source, the
dataclasses; a field added there can be set here.
"""

import dataclasses
import functools
import math
import re
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

OPTIONS = "distillation.loss_options."
"""Beginning of the paths of options of custom losses; what follows is the loss's own name."""
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
        return self.is_option or typing.get_type_hints(self.owner)[self.field] is float

    @property
    def is_option(self) -> bool:
        """Whether it is an option of a custom loss, whose name only the loss knows."""
        return self.path.startswith(OPTIONS)

    def check(self, value: object) -> object:
        """Return the value as the dataclass keeps it.

        Raises:
            InvalidValue: its type or its range is wrong.
        """
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST:
            raise InvalidValue("the number is too large")
        if self.is_option:
            return _check_option(value)
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


def _check_option(value: object) -> object:
    if not isinstance(value, bool | int | float | str):
        raise InvalidValue(f"expected a number, true, false or a text, got {shorten(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidValue(f"expected a finite number, got {shorten(value)}")
    return value


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
            # What the name of a method says is no setting, and a section is not one either. Options
            # of losses are settings one by one.
            if path != OPTIONS[:-1] and not item.metadata.get("method") and path not in sections:
                yield Setting(path, owner, item.name)


SETTINGS: dict[str, Setting] = {setting.path: setting for setting in _list_settings()}
SECTIONS = ("distillation", "distillation.queue", "evaluation", "extractors", "features")


def get_setting(path: str) -> Setting:
    """Return the setting at a path that `find_setting` gave.

    Raises:
        KeyError: there is none.
    """
    if path.startswith(OPTIONS):
        return Setting(path, DistillationSettings, path.removeprefix(OPTIONS))
    return SETTINGS[path]


def find_setting(name: str) -> Setting:
    """Find a setting by its path, or by its last name where only one setting has it.

    Raises:
        InvalidValue: no setting or more than one has that name.
    """
    if name in SETTINGS:
        return SETTINGS[name]
    option = name.removeprefix("distillation.").removeprefix(OPTIONS.split(".")[1] + ".")
    if name.endswith(f"loss_options.{option}"):
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", option):
            raise InvalidValue(f"{option[:80]!r} is no name of an option")
        return get_setting(OPTIONS + option)
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
    if path in SECTIONS or f"{path}." == OPTIONS or f"distillation.{path}." == OPTIONS:
        if not isinstance(value, Mapping):
            hint = (
                " (the method, DM or IDM, decides whether there is a queue)"
                if path.endswith("queue")
                else ""
            )
            raise InvalidValue(f"expected settings of {path}{hint}, got {shorten(value)}")
        return flatten(value, path if path in SECTIONS else OPTIONS[:-1])
    if section and path not in SETTINGS and not path.startswith(OPTIONS):
        prefix = f"{section}."
        fields = [path.removeprefix(prefix) for path in SETTINGS if path.startswith(section)]
        hint = suggest_name(name, fields)
        raise InvalidValue(f"unknown setting {name[:80]!r} of {section}{hint}")
    setting = find_setting(path)
    return {setting.path: setting.check(value)}
