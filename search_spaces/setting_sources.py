"""Where settings come from: blocks and rules of a file as checked rules, and the two files below
every space.

The settings of an experiment are a list of rules, in the order in which later ones win: published
settings, the file's settings and rules, the experiment's settings and rules. `resolve.resolve` adds
swept values and overrides.
"""

import functools
from collections.abc import Mapping
from typing import Any

from distill_core.datasets.info import REGISTRY
from search_spaces import DATA
from search_spaces.claims import Claim
from search_spaces.errors import InvalidValue, suggest_name
from search_spaces.overrides import Overrides
from search_spaces.rules import Rule
from search_spaces.schema import (
    Axes,
    ClaimList,
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
CLAIMS = DATA / "claims.yaml"
SMOKE = DATA / "smoke_settings.yaml"


@functools.cache
def load_published_claims() -> tuple[Claim, ...]:
    """Return what the paper claims, with its source."""
    document = read_document(CLAIMS)
    try:
        entries = validate(ClaimList, document.value).claims
    except InvalidValue as invalid:
        raise document.error(invalid) from invalid
    return tuple(entry.build_claim() for entry in entries)


def merge_axes(*sources: Axes) -> dict[str, Any]:
    """Take every axis from the first source that has it.

    `ipc` and `ratio` are one axis with two spellings, so both come from the same source.
    """
    merged: dict[str, Any] = {}
    for axis in Axes.model_fields:
        given = [value for source in sources if (value := getattr(source, axis))]
        merged[axis] = given[0] if given else ()
    for source in sources:
        if source.ipc or source.ratio:
            return merged | {"ipc": source.ipc, "ratio": source.ratio}
    return merged


def build_block_rule(settings: Settings, path: YamlPath, source: str) -> Rule:
    """Turn a block of settings into a rule without conditions."""
    sections = {}
    for name in SECTIONS:
        values = getattr(settings, name) if name in Settings.model_fields else None
        if values:
            sections[name] = values
    return Rule(set=_flatten_at(sections, path), source=source)


def build_listed_rules(
    entries: list[RuleEntry], path: YamlPath, space: SpaceEntry, overrides: Overrides
) -> list[Rule]:
    """Check a list of rules and build them.

    Their conditions may name any registered data set, and those of the space and the command line.

    Raises:
        InvalidValue: a data set is unknown, or a setting does not fit.
    """
    known = list(REGISTRY)
    for axes in (overrides.axes, space.settings, *space.experiments):
        known += [ref.name for ref in axes.list_datasets()]
    rules = []
    for i, entry in enumerate(entries):
        for name in entry.when.dataset:
            if name not in known:
                raise InvalidValue(
                    f"unknown data set {name[:80]!r}{suggest_name(name, known)}",
                    (*path, i, "when", "dataset"),
                )
        rules.append(entry.build_rule(_flatten_at(entry.set, (*path, i, "set"))))
    return rules


def _flatten_at(values: Mapping[str, Any], path: YamlPath) -> dict[str, Any]:
    """Flatten settings that are at a path of a document, which errors then name."""
    try:
        return flatten(values)
    except InvalidValue as invalid:
        raise InvalidValue(invalid.message, (*path, *invalid.path)) from invalid


@functools.cache
def load_published_rules() -> tuple[Rule, ...]:
    """Return the rules of `published_settings.yaml`."""
    document = read_document(PUBLISHED)
    space = SpaceEntry(name="published")
    try:
        entries = validate(RuleList, document.value).rules
        return tuple(build_listed_rules(entries, ("rules",), space, Overrides()))
    except InvalidValue as invalid:
        raise document.error(invalid) from invalid


@functools.cache
def load_smoke_defaults() -> tuple[Axes, tuple[Rule, ...]]:
    """Return what `smoke_settings.yaml` says about axes and about settings."""
    document = read_document(SMOKE)
    space = SpaceEntry(name="smoke")
    try:
        entry = validate(SmokeDefaults, document.value)
        block = build_block_rule(entry.settings, ("settings",), "small version")
        listed = build_listed_rules(entry.rules, ("rules",), space, Overrides())
    except InvalidValue as invalid:
        raise document.error(invalid) from invalid
    return entry.settings, (block, *listed)
