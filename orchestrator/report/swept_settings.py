"""Swept settings: how their names and values are printed, and which values are the usual ones."""

import math
from typing import Any, NamedTuple

from orchestrator.planning.plan import Sweep
from orchestrator.report.results import Measurement
from search_spaces.rules import Case
from search_spaces.setting_paths import SETTINGS
from search_spaces.setting_sources import load_published_rules

_SETTINGS = {
    "lambda_cc": "λ_CC",
    "lambda_cm": "λ_CM",
    "distillation.network": "matching network",
    "extractors.network": "extractor network",
    "extractors.count": "extractors",
}


class UsualValues(NamedTuple):
    """The values that swept settings have outside the sweep."""

    values: tuple[Any, ...] | None
    """In the order of the sweep; None where a name is not a setting."""
    source: str
    """"published", "usual" where nobody published them, or empty without values."""


def name_setting(path: str) -> str:
    """Return the name of a setting as people write it."""
    short = path.rpartition(".")[2]
    return _SETTINGS.get(path) or _SETTINGS.get(short, short)


def format_value(value: object) -> str:
    """Return a value as people write it: 0 for 0.0, none for None."""
    if is_number(value):
        return f"{value:g}"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_number(value: object) -> bool:
    """Return whether a value has a position on an axis."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def format_point(sweep: Sweep) -> tuple[str, ...]:
    """Return each swept setting with its value: ("λ_CC 0.05", "λ_CM 0")."""
    return tuple(f"{name_setting(path)} {format_value(value)}" for path, value in sweep)


def name_swept_method(method: str, sweep: Sweep) -> str:
    """Return a method's name with its swept settings: "DM (lr_img 0.1)"."""
    return f"{method} ({', '.join(format_point(sweep))})" if sweep else method


def find_usual_values(m: Measurement) -> UsualValues:
    """Return the values that swept settings have outside the sweep.

    They are those of `published_settings.yaml`, otherwise the defaults.
    """
    case = Case(dataset=m.cells[0].dataset, method=m.method, ipc=m.ipc, protocol=m.scope.protocol)
    rules = [rule for rule in load_published_rules() if rule.matches(case)]
    values, published = [], True
    for path, _ in m.sweep:
        if path not in SETTINGS:
            return UsualValues(values=None, source="")
        # The last rule that matches wins, as when a space is resolved.
        rule = next((rule for rule in reversed(rules) if path in rule.set), None)
        setting = SETTINGS[path]
        values.append(rule.set[path] if rule else getattr(setting.owner(), setting.field))
        published &= rule is None or not rule.source.startswith("not published")
    return UsualValues(values=tuple(values), source="published" if published else "usual")
