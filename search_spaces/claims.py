"""Claims: what somebody says of methods, as data that a report can test.

A claim compares accuracies, such as "DM+IID − DM ≥ 1 on ConvNet". Those of the paper are in
`data/claims.yaml`, with their source; a search space can add its own.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from distill_core.datasets.info import REGISTRY
from search_spaces.method_names import canonicalize_method

Take = Literal["largest", "smallest"]

_NUMBER = r"(?P<number>[-+−]?\d+(?:\.\d+)?)"
_STATEMENT = re.compile(
    r"(?P<what>.+?)\s*(?P<sign>>=|<=|≥|≤|>|<)\s*" + _NUMBER + r"(?P<rest>.*)", re.DOTALL
)
_DROP = re.compile(r"drop\s+of\s+(.+)", re.IGNORECASE)
_DIFFERENCE = re.compile(r"(\S+)\s+[-−–]\s+(\S+)")
_PLACE = re.compile(r"(?P<word>on|at)\s+(?:ipc\s*)?(?P<value>[^\s,]+)", re.IGNORECASE)
EXAMPLE = '"DM+IID − DM ≥ 1 on ConvNet" or "drop of DM+IID ≤ 2 on VGG11 at IPC 10"'


class Pair(NamedTuple):
    """Two methods whose accuracies are compared: the first minus the second."""

    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.first} − {self.second}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A statement about differences, or about drops on other networks, in points."""

    text: str
    pairs: tuple[Pair, ...] = ()
    """Differences in accuracy; empty where it is about drops."""
    drops: tuple[str, ...] = ()
    """Methods whose drops from the matching network to others are meant."""
    datasets: tuple[str, ...] = ()
    """Data sets that it is about; empty for all."""
    ipc: tuple[int, ...] = ()
    """Sizes that it is about; empty for all."""
    networks: tuple[str, ...] = ()
    """Evaluation networks; empty for the matching one, or for all others where it is about drops.
    """
    at_least: float | None = None
    """What the number has to reach."""
    at_most: float | None = None
    """What the number must not exceed; either this or `at_least` is given."""
    take: Take | None = None
    """Which of several cells counts; None: the statement has to hold in every cell."""
    tolerance: float = 0.0
    """Points by which a bound may be missed."""
    published: str = ""
    """The published number; empty for a claim of the user's own."""
    anywhere: bool = False
    """Whether numbers on other data sets are shown too, marked as not comparable."""
    source: str = ""

    @property
    def chosen(self) -> Take:
        """Which cell decides: the one named, or the hardest one."""
        return self.take or ("smallest" if self.at_most is None else "largest")

    @property
    def bound(self) -> float:
        """The number that decides, with the tolerance, in points."""
        if self.at_most is not None:
            return self.at_most + self.tolerance
        return (self.at_least or 0.0) - self.tolerance


def parse_statement(text: str) -> dict[str, Any]:
    """Return the fields of a claim that is written as one line.

    Raises:
        ValueError: it cannot be read; the message has an example.
    """
    found = _STATEMENT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"a claim is written like {EXAMPLE}; got {text[:80]!r}")
    drop = _DROP.fullmatch(found["what"].strip())
    fields: dict[str, Any] = {"text": text.strip()}
    fields |= {"drop": [drop[1]]} if drop else {"compare": [found["what"].strip()]}
    bound = "at_least" if found["sign"] in (">=", "≥", ">") else "at_most"
    fields[bound] = float(found["number"].replace("−", "-"))
    return fields | _parse_places(found["rest"])


def parse_pair(text: str) -> Pair:
    """Return the methods of "DM+IID − DM", in their one spelling.

    Raises:
        ValueError: it is no difference, or a method is unknown.
    """
    found = _DIFFERENCE.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"a difference is written like 'DM+IID − DM', with spaces around the minus; got"
            f" {text[:80]!r}"
        )
    return Pair(canonicalize_method(found[1]), canonicalize_method(found[2]))


def _parse_places(rest: str) -> dict[str, Any]:
    """Return data sets, networks and sizes of "on cifar10 on ConvNet at IPC 10"."""
    fields: dict[str, list[Any]] = {}
    for found in _PLACE.finditer(rest):
        if found["word"].lower() == "on":
            is_dataset = found["value"] in REGISTRY
            fields.setdefault("datasets" if is_dataset else "networks", []).append(found["value"])
        elif found["value"].isdigit():
            fields.setdefault("ipc", []).append(int(found["value"]))
    left = _PLACE.sub("", rest).strip(" ,.")
    if left and left not in ("points", "point"):
        raise ValueError(f"{left[:80]!r} is not understood; a claim is written like {EXAMPLE}")
    return dict(fields)
