"""A raw number to a value in base units, without dust in the last digits.

A register of tenths holds 2357 and means 235.7, not 235.70000000000002: scale and unit factor are
multiplied as exact fractions, and a value is one multiplication and one division by whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from models.contract.units import BASE_UNITS, CONVERSIONS


@dataclass(frozen=True, slots=True)
class Scaling:
    """value = (number + offset) * times / over + shift, base units."""

    times: float
    over: float
    offset: float
    shift: float

    @classmethod
    def of(cls, scale: float, offset: float, unit: str) -> Scaling:
        """Of a register with ``scale`` and ``offset`` in ``unit`` (any text for details)."""
        factor, shift = 1.0, 0.0
        if unit in CONVERSIONS and unit not in BASE_UNITS:
            _, factor, shift = CONVERSIONS[unit]
        # The shortest decimal of a float is what its author wrote.
        exact = Fraction(str(scale)) * Fraction(str(factor))
        return cls(float(exact.numerator), float(exact.denominator), offset, shift)

    def value(self, number: float) -> float:
        """``number`` in base units."""
        return (number + self.offset) * self.times / self.over + self.shift

    def number(self, value: float) -> float:
        """Inverse of :meth:`value`."""
        return (value - self.shift) * self.over / self.times - self.offset
