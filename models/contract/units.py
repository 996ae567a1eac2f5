"""Conversion to base units: the one place where kW becomes W.

Used at the rim (files, HTTP, screens). Inside, only base units exist.
"""

from __future__ import annotations

from .errors import ContractError

CONVERSIONS: dict[str, tuple[str, float, float]] = {
    "mW": ("W", 1e-3, 0.0),
    "kW": ("W", 1e3, 0.0),
    "MW": ("W", 1e6, 0.0),
    "kWh": ("Wh", 1e3, 0.0),
    "MWh": ("Wh", 1e6, 0.0),
    "mV": ("V", 1e-3, 0.0),
    "kV": ("V", 1e3, 0.0),
    "mA": ("A", 1e-3, 0.0),
    "kvar": ("var", 1e3, 0.0),
    "kVA": ("VA", 1e3, 0.0),
    "hPa": ("Pa", 100.0, 0.0),
    "mbar": ("Pa", 100.0, 0.0),
    "kPa": ("Pa", 1e3, 0.0),
    "kW/m2": ("W/m2", 1e3, 0.0),
    "K": ("degC", 1.0, -273.15),
    "cm": ("mm", 10.0, 0.0),
}
"""Unit accepted at the rim -> (base unit, factor, offset): base = value * factor + offset."""

BASE_UNITS = frozenset(
    {
        "W",
        "Wh",
        "V",
        "A",
        "Hz",
        "var",
        "VA",
        "degC",
        "W/m2",
        "Pa",
        "m/s",
        "deg",
        "%",
        "mm",
        "mm/h",
        "kg/m2",
        "1",
        "1/kWh",
    }
)


def base_unit(unit: str) -> str:
    """Base unit that ``unit`` is measured in. Raises ``ContractError`` for unknown units."""
    if unit in BASE_UNITS:
        return unit
    if unit in CONVERSIONS:
        return CONVERSIONS[unit][0]
    raise ContractError(
        f"unknown unit {unit!r}; known: {', '.join(sorted(BASE_UNITS | set(CONVERSIONS)))}"
    )


def to_base(value: float, unit: str) -> float:
    """``value`` given in ``unit``, in its base unit."""
    if base_unit(unit) == unit:
        return value
    _, factor, offset = CONVERSIONS[unit]
    return value * factor + offset


def from_base(value: float, unit: str) -> float:
    """``value`` given in the base unit of ``unit``, in ``unit``: inverse of :func:`to_base`."""
    if base_unit(unit) == unit:
        return value
    _, factor, offset = CONVERSIONS[unit]
    return (value - offset) / factor
