"""What the codes of a telegram mean: names and kinds, as tables.

Sources: DSMR P1 companion standard 5.0.2 and its predecessors; for Belgium, Luxembourg, Sweden,
Austria, Hungary and EasyMeter the code table of the dsmr_parser project (1.11.2); EN 13757-3 for
the device types of M-Bus. Codes that stand in no table are shown under their own number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from .lines import Code

ELECTRICITY = 1
"""Medium of the meter itself."""


class Kind(Enum):
    """What stands in the brackets of a line."""

    NUMBER = auto()
    """A number, with its unit if it has one; behind a time if there are two."""
    TIME = auto()
    IDENTIFIER = auto()
    MESSAGE = auto()
    TEXT = auto()
    """As it is."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """Name of a detail and how to read it."""

    name: str
    kind: Kind


_NUMBERS = {
    "1.4.0": "demand_import",
    "1.6.0": "demand_import_peak",
    "2.4.0": "demand_export",
    "2.6.0": "demand_export_peak",
    "1.7.0": "power_import",
    "2.7.0": "power_export",
    "3.7.0": "reactive_power_import",
    "4.7.0": "reactive_power_export",
    "5.7.0": "reactive_power_q1",
    "6.7.0": "reactive_power_q2",
    "7.7.0": "reactive_power_q3",
    "8.7.0": "reactive_power_q4",
    "9.7.0": "apparent_power_import",
    "10.7.0": "apparent_power_export",
    "15.7.0": "power_absolute_sum",
    "16.7.0": "power_net",
    "33.7.0": "power_factor_l1",
    "53.7.0": "power_factor_l2",
    "73.7.0": "power_factor_l3",
    "91.7.0": "current_neutral",
    "1.8.0": "energy_import",
    "2.8.0": "energy_export",
    "3.8.0": "reactive_energy_import",
    "4.8.0": "reactive_energy_export",
    "5.8.0": "reactive_energy_q1",
    "6.8.0": "reactive_energy_q2",
    "7.8.0": "reactive_energy_q3",
    "8.8.0": "reactive_energy_q4",
    "15.8.0": "energy_absolute_sum",
    "16.8.0": "energy_net",
}
_PHASE_NUMBERS = {
    21: "power_import",
    22: "power_export",
    23: "reactive_power_import",
    24: "reactive_power_export",
    29: "apparent_power_import",
    30: "apparent_power_export",
    36: "power_net",
}
"""Of L1; L2 and L3 follow at 20 and 40 more."""

_GENERAL = {
    "1.0.0": Meaning("meter_time", Kind.TIME),
    "96.1.0": Meaning("equipment_id", Kind.IDENTIFIER),
    "96.1.1": Meaning("equipment_id", Kind.IDENTIFIER),
    "96.1.4": Meaning("version_fluvius", Kind.TEXT),
    "42.0.0": Meaning("device_name", Kind.IDENTIFIER),
    "96.1.255": Meaning("serial_number", Kind.IDENTIFIER),
    "96.14.0": Meaning("tariff", Kind.NUMBER),
    "96.3.10": Meaning("breaker_state", Kind.NUMBER),
    "96.50.68": Meaning("breaker_state", Kind.NUMBER),
    "96.3.4": Meaning("breaker_control", Kind.NUMBER),
    "17.0.0": Meaning("power_limit", Kind.NUMBER),
    "96.7.21": Meaning("power_failures", Kind.NUMBER),
    "96.7.9": Meaning("long_power_failures", Kind.NUMBER),
    "96.13.0": Meaning("message", Kind.MESSAGE),
    "96.13.1": Meaning("message_code", Kind.MESSAGE),
    "96.13.2": Meaning("message_2", Kind.MESSAGE),
    "96.13.3": Meaning("message_3", Kind.MESSAGE),
    "96.13.4": Meaning("message_4", Kind.MESSAGE),
    "96.13.5": Meaning("message_5", Kind.MESSAGE),
    "98.1.0": Meaning("demand_peaks", Kind.TEXT),
}
_ELECTRIC = {
    "0.0.0": Meaning("equipment_number", Kind.IDENTIFIER),
    "0.2.0": Meaning("firmware", Kind.TEXT),
    "0.9.1": Meaning("meter_clock", Kind.TEXT),
    "0.9.2": Meaning("meter_date", Kind.TEXT),
    "96.5.5": Meaning("status", Kind.TEXT),
    "99.97.0": Meaning("power_failure_log", Kind.TEXT),
    **{code: Meaning(name, Kind.NUMBER) for code, name in _NUMBERS.items()},
}
_DSMR_VERSION = Code(1, 3, 0, 2, 8)
_TARIFF_REGISTERS = {
    1: "energy_import",
    2: "energy_export",
    3: "reactive_energy_import",
    4: "reactive_energy_export",
}

_QUANTITIES = frozenset(
    {11, 12, 13, 14, 90} | {first + 20 * phase for first in (31, 32) for phase in range(3)}
)
"""Instantaneous values that are a quantity of the contract as they are."""
ANY_TARIFF = 255
"""What EasyMeter's older meters write where the tariff stands."""

MBUS_KINDS = {
    2: "electricity",
    3: "gas",
    4: "heat",
    6: "hot_water",
    7: "water",
    8: "heat_cost",
    10: "cooling",
    11: "cooling",
    12: "heat",
    13: "heat_cooling",
}
"""Device types of M-Bus; 4 and 12 measure heat in the return and in the flow."""
MBUS_TYPE, MBUS_VALVE = (24, 1, 0), (24, 4, 0)
MBUS_READINGS = frozenset({(24, 2, 1), (24, 2, 3)})
"""What was metered and when; ``24.2.3`` is gas without temperature correction."""
MBUS_OLD_READING = (24, 3, 0)
"""Time, status, interval, number of values, their code and unit, value (DSMR 2 and 3)."""
MBUS_IDENTIFIERS = frozenset({(96, 1, 0), (96, 1, 1), (96, 1, 2)})


def is_quantity(code: Code) -> bool:
    """Whether the line of ``code`` gives a quantity of the contract without others."""
    return (code.medium, code.channel, code.how) == (ELECTRICITY, 0, 7) and (
        code.what in _QUANTITIES
    )


def meaning_of(code: Code) -> Meaning | None:
    """What a line of the meter itself tells; None for what no table knows."""
    tariff = 0 if code.how == 7 and code.tariff == ANY_TARIFF else code.tariff
    key = f"{code.what}.{code.how}.{tariff}"
    if code == _DSMR_VERSION:
        return Meaning("version_dsmr", Kind.TEXT)
    if code.channel == 0 and code.medium == 0:
        return _GENERAL.get(key)
    if code.medium != ELECTRICITY:
        return None
    known = _ELECTRIC.get(key) or _phase_meaning(code, tariff)
    if known is None and code.how == 8 and 1 <= code.tariff <= 9:
        register = _TARIFF_REGISTERS.get(code.what)
        if register is not None:
            known = Meaning(f"{register}_tariff_{code.tariff}", Kind.NUMBER)
    if known is None and key in ("96.1.0", "96.1.1"):
        return _GENERAL[key]
    return known


def _phase_meaning(code: Code, tariff: int) -> Meaning | None:
    phase, base = divmod(code.what - 21, 20)
    if not 0 <= phase < 3 or tariff != 0:
        return None
    base += 21
    line = f"l{phase + 1}"
    if code.how == 7 and base in _PHASE_NUMBERS:
        return Meaning(f"{_PHASE_NUMBERS[base]}_{line}", Kind.NUMBER)
    if base == 32 and code.how in (32, 36):
        what = "voltage_sags" if code.how == 32 else "voltage_swells"
        return Meaning(f"{what}_{line}", Kind.NUMBER)
    if base == 31 and code.how == 4:
        return Meaning(f"current_limit_{line}", Kind.NUMBER)
    return None
