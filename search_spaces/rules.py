"""Rules: settings that apply to some data sets, methods, IPCs or protocols."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from search_spaces.method_names import is_method

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_COMPARISON = re.compile(r"(>=|<=|>|<)\s*([0-9]{1,9})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What the conditions of rules are about: a cell, before seeds and evaluation networks."""

    dataset: str
    method: str
    ipc: int | None
    """Images per class; None for the whole training set, which no condition on IPC matches."""
    protocol: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Settings by path, which apply where all conditions hold; an empty condition always does."""

    set: Mapping[str, Any]
    dataset: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    """DM and IDM stand for their additions too."""
    ipc: tuple[int | str, ...] = ()
    """Numbers, or comparisons such as ">=100"; one of them has to hold."""
    protocol: tuple[str, ...] = ()
    source: str = field(default="", compare=False)
    """Where the values come from."""

    def matches(self, case: Case) -> bool:
        """Return whether the rule applies to a case."""
        if self.dataset and case.dataset not in self.dataset:
            return False
        if self.method and not any(is_method(case.method, family) for family in self.method):
            return False
        if self.ipc and not self._matches_ipc(case.ipc):
            return False
        return not self.protocol or case.protocol in self.protocol

    def _matches_ipc(self, ipc: int | None) -> bool:
        return ipc is not None and any(_holds(test, ipc) for test in self.ipc)


def check_comparison(test: int | str) -> int | str:
    """Return a condition on IPC unchanged.

    Raises:
        ValueError: it is neither a number of at least 1 nor a comparison.
    """
    if isinstance(test, str) and not _COMPARISON.fullmatch(test):
        raise ValueError(
            f"{test[:40]!r} is not a condition on ipc; write a number or a comparison such as"
            " '>=100'"
        )
    if isinstance(test, int) and (isinstance(test, bool) or test < 1):
        raise ValueError(f"ipc {test} cannot occur; it is at least 1")
    return test


def _holds(test: int | str, ipc: int) -> bool:
    if isinstance(test, int):
        return ipc == test
    symbol, bound = _COMPARISON.fullmatch(test).groups()  # type: ignore[union-attr]
    return _COMPARISONS[symbol](ipc, int(bound))
