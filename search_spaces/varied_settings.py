"""What varies within an experiment beside its axes: settings that are swept, or searched."""

from collections.abc import Mapping
from typing import Any

from search_spaces.errors import InvalidValue
from search_spaces.experiments import Experiment
from search_spaces.method_names import BASES
from search_spaces.schema import Axes, Range
from search_spaces.setting_paths import find_setting, shorten
from search_spaces.yaml_document import YamlPath


def check_sweep(
    sweep: Mapping[str, Any], fixed: Mapping[str, Any], path: YamlPath
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Check the swept values; a setting that the command line fixes is not swept."""
    swept: dict[str, tuple[Any, ...]] = {}
    for name, values in sweep.items():
        place = (*path, name)
        if name in Axes.model_fields:
            raise InvalidValue(f"{name} is an axis of its own; give it beside sweep", place)
        try:
            setting = find_setting(name)
        except InvalidValue as invalid:
            raise InvalidValue(invalid.message, place) from invalid
        if not isinstance(values, list) or not values:
            raise InvalidValue(f"expected a list of values, got {shorten(values)}", place)
        if setting.path in swept:
            raise InvalidValue(f"{setting.path} is swept twice", place)
        checked: list[Any] = []
        for i, value in enumerate(values):
            try:
                checked.append(setting.check(value))
            except InvalidValue as invalid:
                raise InvalidValue(invalid.message, (*place, i)) from invalid
            if checked[-1] in checked[:-1]:
                raise InvalidValue(f"{shorten(value)} is listed twice", (*place, i))
        swept[setting.path] = tuple(checked)
    return tuple((name, values) for name, values in swept.items() if name not in fixed)


def check_search(
    search: Mapping[str, Range], experiment: Experiment, path: YamlPath
) -> tuple[tuple[str, Range], ...]:
    """Check what is searched; a setting that the command line fixes is not."""
    found: dict[str, Range] = {}
    for name, values in search.items():
        place = (*path, "search", name)
        try:
            setting = find_setting(name)
            if not setting.path.startswith("distillation.") or not setting.takes_fractions:
                raise InvalidValue(
                    f"{setting.path} cannot be searched; it has to be a number with fractions of"
                    " distillation"
                )
            for value in (values.low, values.high, *[0.0] * values.zero):
                setting.check(value)
        except InvalidValue as invalid:
            raise InvalidValue(invalid.message, place) from invalid
        if setting.path in found:
            raise InvalidValue(f"{setting.path} is searched twice", place)
        found[setting.path] = values
    if found and experiment.sweep:
        raise InvalidValue("an experiment has either search or sweep", (*path, "search"))
    if found and experiment.protocol != "strict":
        raise InvalidValue(
            "search needs protocol strict, which holds images out to choose by", (*path, "search")
        )
    if found and experiment.measure != "accuracy":
        raise InvalidValue("search needs measure accuracy", (*path, "search"))
    for method in experiment.methods if found else ():
        if method.partition("+")[0] not in BASES:
            raise InvalidValue(
                f"method {method} distils nothing, so there is nothing to search",
                (*path, "methods"),
            )
    return tuple(
        (name, values) for name, values in found.items() if name not in experiment.overrides
    )
