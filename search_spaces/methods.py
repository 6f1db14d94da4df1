"""The names of the methods that a search space can compare."""

from search_spaces.errors import nearest

CORESETS = ("Random", "Herding", "K-Center")
WHOLE = "Whole"
BASES = ("DM", "IDM")
ADDITIONS = ("IID", "CC", "CM")
"""What is added to a base: class centralization and covariance matching, the first alone, the second alone."""
METHODS = (*CORESETS, WHOLE, *(name for base in BASES for name in (base, *(f"{base}+{a}" for a in ADDITIONS))))

_SPELLING = {method.lower(): method for method in METHODS}


def canonical_method(name: str) -> str:
    """Return the method's one spelling, whatever case it is given in.

    Raises:
        ValueError: there is no such method; the message names the nearest.
    """
    method = _SPELLING.get(name.strip().lower())
    if method is None:
        raise ValueError(f"unknown method {name[:80]!r}{nearest(name, METHODS)}")
    return method


def is_method(method: str, family: str) -> bool:
    """Tell whether `method` is `family` or one of its additions: IDM stands for IDM+IID, IDM+CC and IDM+CM too."""
    return method == family or method.split("+")[0] == family
