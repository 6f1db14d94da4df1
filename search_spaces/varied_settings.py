"""What varies within an experiment beside its axes: settings that are swept, or searched."""

from collections.abc import Mapping
from typing import Any

from search_spaces.errors import Misfit
from search_spaces.experiments import Experiment
from search_spaces.method_names import BASES
from search_spaces.schema import Axes, Range
from search_spaces.setting_paths import brief, find_leaf
from search_spaces.yaml_document import YamlPath


def check_sweep(
    sweep: Mapping[str, Any], fixed: Mapping[str, Any], path: YamlPath
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Check the swept values; a setting that the command line fixes is not swept."""
    swept: dict[str, tuple[Any, ...]] = {}
    for name, values in sweep.items():
        place = (*path, name)
        if name in Axes.model_fields:
            raise Misfit(f"{name} is an axis of its own; give it beside sweep", place)
        try:
            leaf = find_leaf(name)
        except Misfit as misfit:
            raise Misfit(misfit.message, place) from misfit
        if not isinstance(values, list) or not values:
            raise Misfit(f"expected a list of values, got {brief(values)}", place)
        if leaf.path in swept:
            raise Misfit(f"{leaf.path} is swept twice", place)
        checked: list[Any] = []
        for i, value in enumerate(values):
            try:
                checked.append(leaf.check(value))
            except Misfit as misfit:
                raise Misfit(misfit.message, (*place, i)) from misfit
            if checked[-1] in checked[:-1]:
                raise Misfit(f"{brief(value)} is listed twice", (*place, i))
        swept[leaf.path] = tuple(checked)
    return tuple((name, values) for name, values in swept.items() if name not in fixed)


def check_search(
    search: Mapping[str, Range], experiment: Experiment, path: YamlPath
) -> tuple[tuple[str, Range], ...]:
    """Check what is searched; a setting that the command line fixes is not."""
    found: dict[str, Range] = {}
    for name, values in search.items():
        place = (*path, "search", name)
        try:
            leaf = find_leaf(name)
            if not leaf.path.startswith("distillation.") or not leaf.takes_fractions:
                raise Misfit(
                    f"{leaf.path} cannot be searched; it has to be a number with fractions of"
                    " distillation"
                )
            for value in (values.low, values.high, *[0.0] * values.zero):
                leaf.check(value)
        except Misfit as misfit:
            raise Misfit(misfit.message, place) from misfit
        if leaf.path in found:
            raise Misfit(f"{leaf.path} is searched twice", place)
        found[leaf.path] = values
    if found and experiment.sweep:
        raise Misfit("an experiment has either search or sweep", (*path, "search"))
    if found and experiment.protocol != "strict":
        raise Misfit(
            "search needs protocol strict, which holds images out to choose by", (*path, "search")
        )
    if found and experiment.measure != "accuracy":
        raise Misfit("search needs measure accuracy", (*path, "search"))
    for method in experiment.methods if found else ():
        if method.partition("+")[0] not in BASES:
            raise Misfit(
                f"method {method} distils nothing, so there is nothing to search",
                (*path, "methods"),
            )
    return tuple(
        (name, values) for name, values in found.items() if name not in experiment.overrides
    )
