"""Layers of settings: blocks and rules of a file as checked rules, and the two files that lie below
every space.

The settings of an experiment are a list of rules, in the order in which later ones win: published
settings, the file's settings and rules, the experiment's settings and rules. `resolution.resolve`
adds the sweep and the overrides.
"""

import functools
from collections.abc import Mapping
from typing import Any

from distill_core.datasets.info import REGISTRY
from search_spaces import DATA
from search_spaces.errors import InvalidValue, nearest
from search_spaces.overrides import Overrides
from search_spaces.rules import Rule
from search_spaces.schema import (
    Axes,
    RuleEntry,
    RuleList,
    Settings,
    SmokeDefaults,
    SpaceEntry,
    validate,
)
from search_spaces.setting_paths import SECTIONS, flatten
from search_spaces.yaml_document import YamlPath, read_document

PUBLISHED = DATA / "published_settings.yaml"
SMOKE = DATA / "smoke_settings.yaml"


def merge_axes(*layers: Axes) -> dict[str, Any]:
    """Take every axis from the first layer that has it; `ipc` and `ratio` are one axis with two
    spellings.
    """
    merged: dict[str, Any] = {}
    for axis in Axes.model_fields:
        merged[axis] = next((value for layer in layers if (value := getattr(layer, axis))), ())
    for layer in layers:
        if layer.ipc or layer.ratio:
            return merged | {"ipc": layer.ipc, "ratio": layer.ratio}
    return merged


def block_rule(settings: Settings, path: YamlPath, source: str) -> Rule:
    """Turn a block of settings into a rule without conditions."""
    sections = {name: getattr(settings, name) for name in SECTIONS if name in Settings.model_fields}
    return Rule(
        set=_flatten({name: values for name, values in sections.items() if values}, path),
        source=source,
    )


def listed_rules(
    entries: list[RuleEntry], path: YamlPath, space: SpaceEntry, changes: Overrides
) -> list[Rule]:
    """Check the rules of a list; their conditions may name any data set of the space or of the
    command line.
    """
    layers = (changes.axes, space.settings, *space.experiments)
    known = dict.fromkeys([*REGISTRY, *(ref.name for layer in layers for ref in layer.refs())])
    for i, entry in enumerate(entries):
        for name in entry.when.dataset:
            if name not in known:
                raise InvalidValue(
                    f"unknown data set {name[:80]!r}{nearest(name, known)}",
                    (*path, i, "when", "dataset"),
                )
    return [entry.rule(_flatten(entry.set, (*path, i, "set"))) for i, entry in enumerate(entries)]


def _flatten(values: Mapping[str, Any], path: YamlPath) -> dict[str, Any]:
    try:
        return flatten(values)
    except InvalidValue as invalid:
        raise InvalidValue(invalid.message, (*path, *invalid.path)) from invalid


@functools.cache
def published_rules() -> tuple[Rule, ...]:
    """Return the rules of `published_settings.yaml`."""
    document = read_document(PUBLISHED)
    try:
        entries = validate(RuleList, document.value).rules
        return tuple(listed_rules(entries, ("rules",), SpaceEntry(name="published"), Overrides()))
    except InvalidValue as invalid:
        raise document.error(invalid) from invalid


@functools.cache
def smoke_defaults() -> tuple[Axes, tuple[Rule, ...]]:
    """Return what `smoke_settings.yaml` says of axes and of settings."""
    document = read_document(SMOKE)
    try:
        entry = validate(SmokeDefaults, document.value)
        always = block_rule(entry.settings, ("settings",), "small version")
        return entry.settings, (
            always,
            *listed_rules(entry.rules, ("rules",), SpaceEntry(name="smoke"), Overrides()),
        )
    except InvalidValue as invalid:
        raise document.error(invalid) from invalid
