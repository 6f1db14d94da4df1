"""What a search space that cannot be used ends with, and the hint that goes with a misspelt
name.
"""

import difflib
from collections.abc import Iterable


class SpaceError(ValueError):
    """A search space cannot be used; the message says where in which file, what was expected, and
    the nearest name.
    """


class InvalidValue(Exception):
    """A value does not fit, at `path` within its document; `Document.error` turns it into a
    `SpaceError`.
    """

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


OTHER_WORDS = {
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
"""Words for things that have another name here, which spelling alone would not find."""


def nearest(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known name closest to `name`, or else a list of what is
    known.

    A name inside a folder ("paper/main") is close to its own last part ("main"), a word to what it
    is called here.
    """
    names = list(dict.fromkeys(known))
    meant = other_words(name, names)
    if meant:
        return meant
    lowered = {candidate.lower(): candidate for candidate in reversed(names)}
    inside = [
        candidate for candidate in names if candidate.lower().endswith(f"/{str(name).lower()}")
    ]
    if inside:
        return f"; did you mean {inside[0]!r}?"
    close = difflib.get_close_matches(str(name)[:200].lower(), lowered, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {lowered[close[0]]!r}?"
    return f"; known are {', '.join(names)}" if names else ""


def other_words(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for known names of what `name` is another word for, or
    nothing.
    """
    names = set(known)
    meant = [repr(word) for word in OTHER_WORDS.get(str(name).lower(), ()) if word in names]
    return f"; did you mean {' or '.join(meant)}?" if meant else ""
