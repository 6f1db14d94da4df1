"""What a value should have been, in the words of a YAML file instead of those of Python."""

from collections.abc import Mapping
from typing import Any

_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
    "less_than": ("less than", "lt"),
}
_WORDS = {
    "a valid dictionary or instance of DatasetEntry": "a name or a mapping",
    "a mapping or instance of DatasetEntry": "a name or a mapping",
    "a valid dictionary": "a mapping",
    "a valid tuple": "a list",
    "a valid list": "a list",
    "a valid string": "text",
    "a valid integer": "an integer",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "Input should be": "expected",
}


def explain(error: Mapping[str, Any]) -> str:
    """Return what pydantic's error of a value means; the value itself is not named."""
    context = error.get("ctx") or {}
    kind = error["type"]
    if kind in _LIMITS:
        words, name = _LIMITS[kind]
        return f"expected {words} {context[name]}"
    if kind == "string_pattern_mismatch":
        return (
            "a name begins with a letter or digit and has only these and . _ -"
            f"{' / and spaces' * ('/ ' in context['pattern'])}, at most"
            f" {80 if '79' in context['pattern'] else 64} of them"
        )
    if kind == "string_too_short":
        return "the text is empty"
    message = str(error["msg"])
    for python, yaml in _WORDS.items():
        message = message.replace(python, yaml)
    return message
