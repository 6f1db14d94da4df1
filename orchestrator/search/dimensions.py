"""A searched setting as a coordinate.

Samplers choose positions in [0, 1], where equal steps matter equally. A dimension translates them
to values of the setting and back.
"""

import math
from dataclasses import dataclass

from search_spaces.schema import Range

ZERO_SHARE = 0.2
"""Share of the positions that stand for exactly 0, if 0 is tried."""
DIGITS = 3
"""Significant digits of a value; more would neither matter nor be quoted."""


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
        """Return the value at a position: 0 on the left (if it is tried), then low to high."""
        if position < self._zero:
            return 0.0
        low, high = self._scale(self.range.low), self._scale(self.range.high)
        scaled = low + (high - low) * (position - self._zero) / (1 - self._zero)
        exact = math.exp(scaled) if self.range.log else scaled
        # Rounded, so that a value that is quoted from a report gives the same units again. Rounding
        # may lead out of the range.
        rounded = float(f"{exact:.{DIGITS}g}")
        return min(max(rounded, self.range.low), self.range.high)

    def position(self, value: float) -> float:
        """Return the position of a value; a value outside the range has that of the nearer end."""
        if value == 0 and self.range.zero:
            return self._zero / 2
        low, high = self._scale(self.range.low), self._scale(self.range.high)
        inside = self._scale(min(max(value, self.range.low), self.range.high))
        return self._zero + (1 - self._zero) * (inside - low) / (high - low)

    def grid(self) -> tuple[float, ...]:
        """Return the values of the grid sampler: 0 if it is tried, then evenly spaced positions."""
        values = [0.0] if self.range.zero else []
        steps = self.range.points - 1
        for step in range(steps + 1):
            values.append(self.value(self._zero + (1 - self._zero) * step / steps))
        # Rounding can make neighbors equal.
        return tuple(dict.fromkeys(values))

    @property
    def _zero(self) -> float:
        return ZERO_SHARE if self.range.zero else 0.0

    def _scale(self, value: float) -> float:
        return math.log(value) if self.range.log else value
