"""The names of the methods that a search space can compare."""

from distill_core.extensions import require_importable
from distill_core.settings import is_custom
from search_spaces.errors import suggest_name

CORESETS = ("Random", "Herding", "K-Center")
WHOLE = "Whole"
BASES = ("DM", "IDM")
ADDITIONS = ("IID", "CC", "CM")
"""Losses added to a base: both published ones, class centralization, covariance matching."""


def _list_methods() -> tuple[str, ...]:
    methods = [*CORESETS, WHOLE]
    for base in BASES:
        methods.append(base)
        methods += [f"{base}+{addition}" for addition in ADDITIONS]
    return tuple(methods)


METHODS = _list_methods()

_SPELLING = {method.lower(): method for method in METHODS}


def canonicalize_method(name: str) -> str:
    """Return the method's one spelling, whatever case it is given in.

    Custom bases and losses are named `module:object`: my_bases:Base, DM+my_losses:spread,
    IDM+IID+my_losses:x.

    Raises:
        ValueError: there is no such method; the message names the nearest.
    """
    if is_custom(name):
        return _canonicalize_custom(name.strip())
    method = _SPELLING.get(name.strip().lower())
    if method is None:
        raise ValueError(f"unknown method {name[:80]!r}{suggest_name(name, METHODS)}")
    return method


def _canonicalize_custom(name: str) -> str:
    """Return the base, then the published addition, at most one, then the custom losses."""
    base, *additions = name.split("+")
    published = [addition for addition in additions if not is_custom(addition)]
    custom = [addition for addition in additions if is_custom(addition)]
    if len(published) > 1:
        raise ValueError(
            f"method {name[:80]!r}: at most one of {', '.join(ADDITIONS)} can be added"
        )
    objects = [loss.partition(":")[2].partition("@")[0] for loss in custom]
    twice = [each for each in objects if objects.count(each) > 1]
    if twice:
        raise ValueError(f"method {name[:80]!r}: two of its losses are called {twice[0]}")
    for part in (*custom, base):
        if is_custom(part):
            require_importable(part)
    stand_in = "DM" if is_custom(base) else base
    known, plus, addition = canonicalize_method("+".join([stand_in, *published])).partition("+")
    if known not in BASES:
        raise ValueError(
            f"method {name[:80]!r}: a loss can be added to {', '.join(BASES)} or a custom base,"
            f" not to {known}"
        )
    parts = [base if is_custom(base) else known]
    if plus:
        parts.append(addition)
    return "+".join([*parts, *custom])


def is_method(method: str, family: str) -> bool:
    """Return whether a method is of a family: IDM stands for IDM+IID, IDM+CC and IDM+CM too."""
    return method == family or method.split("+")[0] == family
