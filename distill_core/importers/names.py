"""Names that come in with files: of methods, classes and folders."""

import unicodedata
from typing import Any

MAX_LENGTH = 80
"""Letters of a name; longer ones break tables."""
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of what nobody sees: control and format characters, line separators."""
_MAX_DEPTH = 50


def clean_name(text: str, limit: int = MAX_LENGTH) -> str:
    """Return a name without characters that are not seen, composed, and cut to `limit` letters.

    Terminals obey control characters, and two names that look alike must be equal.
    """
    seen = unicodedata.normalize("NFC", text)
    # A tab or a line break separates words, so a space takes its place.
    letters = [" " if letter in "\t\n\r" else letter for letter in seen]
    kept = "".join(letter for letter in letters if unicodedata.category(letter) not in _HIDDEN)
    kept = " ".join(kept.split())
    return kept if len(kept) <= limit else f"{kept[: limit - 1]}…"


def clean_values(value: Any, depth: int = 0) -> Any:
    """Return JSON values with every text cleaned; what is nested too deeply becomes None."""
    if depth > _MAX_DEPTH:
        return None
    match value:
        case str():
            return clean_name(value, limit=1000)
        case dict():
            return {clean_name(str(k)): clean_values(v, depth + 1) for k, v in value.items()}
        case list() | tuple():
            return [clean_values(each, depth + 1) for each in value]
    return value


def fold_name(name: str) -> str:
    """Return what names of one class have in common: letters and digits, in one case.

    So `Ice cream`, `ice_cream` and `ICE-CREAM` are one name.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in text if letter.isalnum()) or text
