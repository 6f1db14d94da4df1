"""Errors of search spaces, and the hint that goes with a misspelled name."""

import difflib
from collections.abc import Iterable


class SpaceError(ValueError):
    """A search space cannot be used; the message says where, what was expected and what is near."""


class InvalidValue(Exception):
    """A value does not fit, at `path` within its document.

    `Document.error` turns it into a `SpaceError`.
    """

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


SYNONYMS = {
    "network": ("architectures",),
    "model": ("architectures", "network"),
    "models": ("architectures", "network"),
    "net": ("architectures", "network"),
    "nets": ("architectures", "network"),
    "networks": ("architectures", "network"),
    "images_per_class": ("ipc",),
    "epochs": ("epoch_eval_train",),
    "lambda": ("lambda_cc", "lambda_cm"),
}
"""Other words for things, which a comparison of spellings would not find."""


MANY, SHOWN = 25, 5
"""More than so many known names are not listed; so many that are most like a name are."""


def suggest_name(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known name closest to `name`, or else the known names.

    Of many known names, the five nearest are given.

    A name inside a folder ("paper/main") is close to its last part ("main"), and a word to its
    synonyms.
    """
    names = list(dict.fromkeys(known))
    meant = suggest_synonym(name, names)
    if meant:
        return meant
    lowered = {candidate.lower(): candidate for candidate in reversed(names)}
    ending = f"/{str(name).lower()}"
    inside = [candidate for candidate in names if candidate.lower().endswith(ending)]
    if inside:
        return f"; did you mean {inside[0]!r}?"
    close = difflib.get_close_matches(str(name)[:200].lower(), lowered, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {lowered[close[0]]!r}?"
    if len(names) > MANY:
        nearest = difflib.get_close_matches(str(name)[:200].lower(), lowered, n=SHOWN, cutoff=0)
        shown = ", ".join(lowered[each] for each in nearest)
        return f"; the nearest of {len(names)} known names are {shown}"
    return f"; known are {', '.join(names)}" if names else ""


def suggest_synonym(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known names that `name` is another word for, or ""."""
    names = set(known)
    meant = [repr(word) for word in SYNONYMS.get(str(name).lower(), ()) if word in names]
    return f"; did you mean {' or '.join(meant)}?" if meant else ""
