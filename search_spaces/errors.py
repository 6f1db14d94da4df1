"""What a search space that cannot be used ends with, and the hint that goes with a misspelt name."""

import difflib
from collections.abc import Iterable


class SpaceError(ValueError):
    """A search space cannot be used; the message says where in which file, what was expected, and the nearest name."""


class Misfit(Exception):
    """A value does not fit, at `path` within its document; `Document.error` turns it into a `SpaceError`."""

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def nearest(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known name closest to `name`, or else a list of what is known."""
    names = list(known)
    lowered = {candidate.lower(): candidate for candidate in reversed(names)}
    close = difflib.get_close_matches(str(name)[:200].lower(), lowered, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {lowered[close[0]]!r}?"
    return f"; known are {', '.join(names)}" if names else ""
