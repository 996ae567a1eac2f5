"""SunSpec: models 1 (common) and 101, 102, 103 (inverter with integers and scale factors). Pure.

Offsets, types and sentinels are those of the SunSpec model definitions (github.com/sunspec/models,
json/model_1.json, model_101.json to model_103.json). Offsets count from the model's ID register,
which is always read along: a value is believed only under its own header, and only with the scale
factor of the same reply, because inverters change scale factors while they run.

Left to others: finding the models on a device (``drivers.sunspec``).
"""

from __future__ import annotations

from collections.abc import Sequence

from models.contract.record import WITHOUT_VALUE, Quality, Reading

from .quality import judge
from .registers import REGISTER_TYPES, decode_number, decode_text

BASE_ADDRESSES = (40_000, 0, 50_000)
"""Where a SunSpec map may begin, most usual first (SunSpec information model specification)."""
MARKER = (0x5375, 0x6E53)
"""The first two registers of every map: ``SunS``."""
HEADER_SIZE = 2
"""ID and length in front of every model; the length does not count them."""
END_MODEL = 0xFFFF
COMMON_MODEL = 1
COMMON_SIZES = (65, 66)
"""Model 1 with and without its padding register."""
INVERTER_MODELS = (101, 102, 103)
INVERTER_SIZE = 50

OFF, SLEEPING = 1, 2
"""Operating states (``St``) in which an inverter gives no values because there is no sun."""

_NOT_IMPLEMENTED = {"int16": -0x8000, "uint16": 0xFFFF, "uint32": 0}
"""By type; the only ``uint32`` here is ``acc32``, a counter, whose 0 means that it is not there.
A counter that is there is missing until its first unit: harmless; a 0 among millions is not."""

_MAX_SCALE = 10
_STATE_OFFSET = 38
_PHASE_VOLTAGES = (10, 11, 12)
_VOLTAGE_SCALE = 13

_SCALED = {
    # quantity: (offset, type, offset of the scale factor)
    "ac_current": (2, "uint16", 6),
    "ac_power": (14, "int16", 15),
    "frequency": (16, "uint16", 17),
    "apparent_power": (18, "int16", 19),
    "reactive_power": (20, "int16", 21),
    "ac_energy": (24, "uint32", 26),
    "dc_current": (27, "uint16", 28),
    "dc_voltage": (29, "uint16", 30),
    "dc_power": (31, "int16", 32),
    "temp_inverter": (33, "int16", 37),
}
_POWER_FACTOR = (22, "int16", 23)
_TOLERANCE = 0.1  # of the power factor; small powers are coarse


def decode_common(registers: Sequence[int]) -> tuple[str, str, str, str]:
    """Manufacturer, model, version and serial number from model 1, header included."""
    return (
        decode_text(registers[2:18]),
        decode_text(registers[18:34]),
        decode_text(registers[42:50]),
        decode_text(registers[50:66]),
    )


def decode_inverter(
    registers: Sequence[int], *, daylight: bool | None = None
) -> dict[str, Reading]:
    """Readings of model 101, 102 or 103.

    Args:
        registers: The model from its ID register on, at least 52.
        daylight: Whether the sun is up, if the caller knows. A value that is not there is *asleep*
            when the inverter says that it sleeps or is off, but *missing* in daylight.

    Returns:
        A reading for every quantity of the model, in base units.
    """
    values: dict[str, float | None] = {
        name: _scaled(registers, *where) for name, where in _SCALED.items()
    }
    phases = [_scaled(registers, offset, "uint16", _VOLTAGE_SCALE) for offset in _PHASE_VOLTAGES]
    present = [volts for volts in phases if volts is not None]
    values["ac_voltage"] = sum(present) / len(present) if present else None
    state = _point(registers, _STATE_OFFSET, "uint16")
    values["inverter_state"] = state
    readings = {name: judge(name, value) for name, value in values.items()}
    readings["power_factor"] = _power_factor(
        _scaled(registers, *_POWER_FACTOR), values["ac_power"], values["apparent_power"]
    )
    if state in (OFF, SLEEPING) and not daylight:
        for name, reading in readings.items():
            if reading.value is None and reading.quality in WITHOUT_VALUE:
                readings[name] = Reading(None, Quality.ASLEEP)
    return readings


def _point(registers: Sequence[int], offset: int, kind: str) -> float | None:
    number = decode_number(registers, offset, REGISTER_TYPES[kind])
    return None if number == _NOT_IMPLEMENTED[kind] else number


def _scaled(registers: Sequence[int], offset: int, kind: str, scale_offset: int) -> float | None:
    """Value times ten to its scale factor; None if either is not there."""
    number = _point(registers, offset, kind)
    scale = decode_number(registers, scale_offset, REGISTER_TYPES["int16"])
    if number is None or abs(scale) > _MAX_SCALE:  # also -32768, the factor that is not there
        return None
    # dividing keeps 2357 * 10^-1 at 235.7
    return number / float(10 ** int(-scale)) if scale < 0 else number * float(10 ** int(scale))


def _power_factor(percent: float | None, power: float | None, apparent: float | None) -> Reading:
    """Power factor from the percent of the specification.

    Some inverters send the plain factor instead. Power and apparent power of the same reply tell:
    where they contradict the value it is suspect.
    """
    reading = judge("power_factor", None if percent is None else percent / 100.0)
    if reading.value is None or not power or not apparent:
        return reading
    contradiction = abs(abs(reading.value) - min(abs(power / apparent), 1.0))
    return Reading(reading.value, Quality.SUSPECT) if contradiction > _TOLERANCE else reading
