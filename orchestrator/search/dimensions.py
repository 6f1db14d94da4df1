"""One searched setting as a coordinate: positions in [0, 1], where equal steps count equally, and
the values there.
"""

import math
from dataclasses import dataclass

from search_spaces.schema import Range

ZERO_SHARE = 0.2
"""Part of the positions that stand for exactly 0, where 0 is tried."""
DIGITS = 3
"""Significant digits of a value that is tried; more would neither matter nor be quoted."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """A setting by its path, and the values that are tried."""

    path: str
    range: Range

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition(".")[2]

    def value(self, position: float) -> float:
        """Return the value at a position; from left to right 0 (where it is tried), then low to
        high.
        """
        if position < self._zero:
            return 0.0
        low, high = self._scaled(self.range.low), self._scaled(self.range.high)
        exact = low + (high - low) * (position - self._zero) / (1 - self._zero)
        rounded = float(f"{math.exp(exact) if self.range.log else exact:.{DIGITS}g}")
        return min(max(rounded, self.range.low), self.range.high)

    def position(self, value: float) -> float:
        """Return where a value lies; one outside the range lies at its nearer end."""
        if value == 0 and self.range.zero:
            return self._zero / 2
        low, high = self._scaled(self.range.low), self._scaled(self.range.high)
        inside = self._scaled(min(max(value, self.range.low), self.range.high))
        return self._zero + (1 - self._zero) * (inside - low) / (high - low)

    def grid(self) -> tuple[float, ...]:
        """Return the values of the grid sampler: evenly spaced positions from low to high, and 0
        where it is tried.
        """
        steps = self.range.points - 1
        values = [self.value(self._zero + (1 - self._zero) * i / steps) for i in range(steps + 1)]
        return tuple(dict.fromkeys([*[0.0] * self.range.zero, *values]))

    @property
    def _zero(self) -> float:
        return ZERO_SHARE if self.range.zero else 0.0

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.range.log else value
