"""What each quantity of the contract is to Home Assistant: name, class, unit, precision. Pure.

Everything follows from the quantity's unit and behaviour, so that a new quantity needs nothing
here; a few are told apart by name where a unit does not say enough. Device classes are those of
Home Assistant 2024.12: a class that an older release does not know costs the whole entity there.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.contract.fields import Json
from models.contract.quantities import Quantity


@dataclass(frozen=True)
class _Kind:
    unit: str | None
    device_class: str | None
    precision: int
    state_class: str | None = "measurement"


_BY_UNIT = {
    "W": _Kind("W", "power", 0),
    "Wh": _Kind("Wh", "energy", 0),
    "V": _Kind("V", "voltage", 1),
    "A": _Kind("A", "current", 2),
    "Hz": _Kind("Hz", "frequency", 2),
    "var": _Kind("var", "reactive_power", 0),
    "VA": _Kind("VA", "apparent_power", 0),
    "degC": _Kind("°C", "temperature", 1),
    "W/m2": _Kind("W/m²", "irradiance", 0),
    "Pa": _Kind("Pa", "atmospheric_pressure", 0),
    "m/s": _Kind("m/s", "wind_speed", 1),
    "deg": _Kind("°", None, 0),  # its class wants a state class that came with 2025.4
    "%": _Kind("%", None, 0),
    "mm": _Kind("mm", None, 1),  # water in the air is no precipitation
    "1/kWh": _Kind("1/kWh", None, 4),
}
_BY_NAME = {
    "relative_humidity": _Kind("%", "humidity", 0),
    "battery_soc": _Kind("%", "battery", 0),
    "power_factor": _Kind(None, "power_factor", 2),
    "inverter_state": _Kind(None, None, 0, state_class=None),  # a code: its mean says nothing
}

_NAMES = {
    "ghi": "Global horizontal irradiance",
    "dni": "Direct normal irradiance",
    "dhi": "Diffuse horizontal irradiance",
    "poa_global": "Irradiance in array plane",
    "temp_air": "Air temperature",
    "temp_cell": "Cell temperature",
    "temp_module": "Module temperature",
    "temp_inverter": "Inverter temperature",
    "temp_battery": "Battery temperature",
    "pressure": "Air pressure",
    "battery_soc": "Battery state of charge",
    "battery_soh": "Battery state of health",
    "tariff_import": "Price of bought energy",
    "tariff_export": "Price of sold energy",
}
_CAPITALS = {"ac": "AC", "dc": "DC", "l1": "L1", "l2": "L2", "l3": "L3"}


def name_of(quantity: str) -> str:
    """``AC voltage L1 L2`` for ``ac_voltage_l1_l2``: what the owner reads."""
    if quantity in _NAMES:
        return _NAMES[quantity]
    words = [_CAPITALS.get(word, word) for word in quantity.split("_")]
    text = " ".join(words)
    return text[0].upper() + text[1:]


def sensor_of(quantity: Quantity) -> dict[str, Json]:
    """The part of a sensor's description that follows from its quantity."""
    # A unit of a later contract is shown as it is: nothing is promised about it.
    usual = _BY_UNIT.get(quantity.unit, _Kind(quantity.unit, None, 2))
    kind = _BY_NAME.get(quantity.name, usual)
    state_class = "total_increasing" if quantity.behaviour == "counter" else kind.state_class
    described: dict[str, Json | None] = {
        "name": name_of(quantity.name),
        "device_class": kind.device_class,
        "unit_of_measurement": kind.unit,
        "state_class": state_class,
        "suggested_display_precision": kind.precision,
    }
    return {key: value for key, value in described.items() if value is not None}
