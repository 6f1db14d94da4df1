"""The names of the methods that a search space can compare."""

from distill_core.extensions import require_importable
from distill_core.settings import is_custom
from search_spaces.errors import nearest

CORESETS = ("Random", "Herding", "K-Center")
WHOLE = "Whole"
BASES = ("DM", "IDM")
ADDITIONS = ("IID", "CC", "CM")
"""What is added to a base: class centralization and covariance matching, the first alone, the
second alone.
"""
METHODS = (
    *CORESETS,
    WHOLE,
    *(name for base in BASES for name in (base, *(f"{base}+{a}" for a in ADDITIONS))),
)

_SPELLING = {method.lower(): method for method in METHODS}


def canonical_method(name: str) -> str:
    """Return the method's one spelling, whatever case it is given in.

    A base or a loss of one's own is named by where it lies: my_bases:Base, DM+my_losses:spread,
    IDM+IID+my_losses:x.

    Raises:
        ValueError: there is no such method; the message names the nearest.
    """
    if is_custom(name):
        return _canonical_custom(name.strip())
    method = _SPELLING.get(name.strip().lower())
    if method is None:
        raise ValueError(f"unknown method {name[:80]!r}{nearest(name, METHODS)}")
    return method


def _canonical_custom(name: str) -> str:
    """Return base, then what is published, then the loss of one's own: at most one of each."""
    base, *additions = name.split("+")
    published = [addition for addition in additions if not is_custom(addition)]
    own = [addition for addition in additions if is_custom(addition)]
    if len(published) > 1 or len(own) > 1:
        raise ValueError(
            f"method {name[:80]!r}: at most one of {', '.join(ADDITIONS)} and one loss of your own"
            " are added"
        )
    for reference in (*own, *([base] if is_custom(base) else [])):
        require_importable(reference)
    stand_in = "DM" if is_custom(base) else base
    known, plus, addition = canonical_method("+".join([stand_in, *published])).partition("+")
    if known not in BASES:
        raise ValueError(
            f"method {name[:80]!r}: a loss is added to {', '.join(BASES)} or a base of your own,"
            f" not to {known}"
        )
    return "+".join([base if is_custom(base) else known, *([addition] if plus else []), *own])


def is_method(method: str, family: str) -> bool:
    """Tell whether `method` is `family` or one of its additions: IDM stands for IDM+IID, IDM+CC and
    IDM+CM too.
    """
    return method == family or method.split("+")[0] == family
