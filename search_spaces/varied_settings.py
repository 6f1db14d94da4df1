"""What varies within an experiment besides its axes: settings that are swept or searched."""

from collections.abc import Mapping
from typing import Any

from search_spaces.errors import InvalidValue
from search_spaces.experiments import Experiment
from search_spaces.method_names import BASES
from search_spaces.schema import Axes, Range
from search_spaces.setting_paths import Setting, find_setting, shorten
from search_spaces.yaml_document import YamlPath

Sweep = tuple[tuple[str, tuple[Any, ...]], ...]
"""Swept settings by path, each with its values."""


def check_sweep(sweep: Mapping[str, Any], fixed: Mapping[str, Any], path: YamlPath) -> Sweep:
    """Check the swept values.

    Args:
        sweep: values by the name of their setting, as a file has them.
        fixed: settings of the command line, by path; they are not swept.
        path: place of the sweep in its document.

    Raises:
        InvalidValue: a name or a value does not fit, or is given twice.
    """
    swept: dict[str, tuple[Any, ...]] = {}
    for name, values in sweep.items():
        place = (*path, name)
        if name in Axes.model_fields:
            raise InvalidValue(f"{name} is an axis; give it next to sweep, not in it", place)
        setting = _find_setting_at(name, place)
        if setting.path in swept:
            raise InvalidValue(f"{setting.path} is swept twice", place)
        swept[setting.path] = _check_values(setting, values, place)
    return tuple((name, values) for name, values in swept.items() if name not in fixed)


def _check_values(setting: Setting, values: object, path: YamlPath) -> tuple[Any, ...]:
    if not isinstance(values, list) or not values:
        raise InvalidValue(f"expected a list of values, got {shorten(values)}", path)
    checked: list[Any] = []
    for i, value in enumerate(values):
        value_path = (*path, i)
        checked.append(_check_value_at(setting, value, value_path))
        if checked[-1] in checked[:-1]:
            raise InvalidValue(f"{shorten(value)} is listed twice", value_path)
    return tuple(checked)


def check_search(
    search: Mapping[str, Range], experiment: Experiment, path: YamlPath
) -> tuple[tuple[str, Range], ...]:
    """Check what is searched.

    Args:
        search: values to try by the name of their setting, as a file has them.
        experiment: the rest of the experiment; settings that it overrides are not searched.
        path: place of the experiment in its document.

    Raises:
        InvalidValue: a name or a value does not fit, or the experiment cannot be searched.
    """
    searched: dict[str, Range] = {}
    for name, values in search.items():
        place = (*path, "search", name)
        setting = _find_setting_at(name, place)
        if not setting.path.startswith("distillation.") or not setting.takes_fractions:
            raise InvalidValue(
                f"{setting.path} cannot be searched; it has to be a setting of distillation that"
                " takes fractions",
                place,
            )
        for value in (values.low, values.high, *[0.0] * values.zero):
            _check_value_at(setting, value, place)
        if setting.path in searched:
            raise InvalidValue(f"{setting.path} is searched twice", place)
        searched[setting.path] = values
    if searched:
        _check_searchable(experiment, path)
    return tuple(
        (name, values) for name, values in searched.items() if name not in experiment.overrides
    )


def _check_searchable(experiment: Experiment, path: YamlPath) -> None:
    """Check that an experiment has something to search, and images to choose by."""
    place = (*path, "search")
    if experiment.sweep:
        raise InvalidValue("an experiment has either search or sweep", place)
    if experiment.protocol != "strict":
        raise InvalidValue(
            "search needs protocol strict, which holds images out to choose by", place
        )
    if experiment.measure != "accuracy":
        raise InvalidValue("search needs measure accuracy", place)
    for method in experiment.methods:
        if method.partition("+")[0] not in BASES:
            raise InvalidValue(
                f"method {method} distills nothing, so there is nothing to search",
                (*path, "methods"),
            )


def _find_setting_at(name: str, path: YamlPath) -> Setting:
    try:
        return find_setting(name)
    except InvalidValue as invalid:
        raise InvalidValue(invalid.message, path) from invalid


def _check_value_at(setting: Setting, value: object, path: YamlPath) -> object:
    try:
        return setting.check(value)
    except InvalidValue as invalid:
        raise InvalidValue(invalid.message, path) from invalid
