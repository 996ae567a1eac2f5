"""The glossary as code: every quantity that may stand in a record, with its base unit and sign.

Decides names (pvlib's nomenclature where it has one), units, physical limits and accepted aliases.
Leaves to others: device scaling (``firmware_bridge``), conversion at the rim (``units``), and
whether a value within the limits is believable at this moment (plausibility is a device matter).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .errors import ContractError

Behaviour = Literal["instant", "counter", "state"]
"""What an interval keeps: of ``instant`` quantities the mean, of a ``counter`` (which never
decreases) and of a ``state`` the last value."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One measurable thing; ``lowest`` and ``highest`` limit the physically possible, base unit."""

    name: str
    unit: str
    lowest: float
    highest: float
    meaning: str
    behaviour: Behaviour = "instant"
    aliases: tuple[str, ...] = ()

    @property
    def limits(self) -> str:
        """``-80 to 70``, for documents and messages."""
        return f"{self.lowest:g} to {self.highest:g}".replace("e+0", "e").replace("e+", "e")


_MEGA = 1e6
_GIGA = 1e9
_PHASES = (1, 2, 3)
_STRINGS = range(1, 25)


def _per_phase() -> tuple[Quantity, ...]:
    """What a device measures on each phase; ``l1`` is the first, or the only one."""
    quantities: list[Quantity] = []
    for phase in _PHASES:
        line = f"l{phase}"
        quantities += (
            Quantity(f"ac_voltage_{line}", "V", 0, 50_000, f"voltage of L{phase} to neutral"),
            Quantity(f"ac_current_{line}", "A", -50_000, 50_000, f"current of L{phase}"),
            Quantity(
                f"ac_power_{line}", "W", -_MEGA, _GIGA, f"ac_power of L{phase}; generation positive"
            ),
            Quantity(
                f"grid_power_{line}", "W", -_GIGA, _GIGA, f"grid_power of L{phase}; import positive"
            ),
        )
    for first, second in ((1, 2), (2, 3), (3, 1)):
        name = f"ac_voltage_l{first}_l{second}"
        quantities.append(
            Quantity(name, "V", 0, 100_000, f"voltage between L{first} and L{second}")
        )
    return tuple(quantities)


def _per_string() -> tuple[Quantity, ...]:
    """What an inverter measures at each of its DC inputs (trackers or strings), from 1."""
    quantities: list[Quantity] = []
    for number in _STRINGS:
        quantities += (
            Quantity(f"dc_voltage_{number}", "V", 0, 5_000, f"dc_voltage of input {number}"),
            Quantity(f"dc_current_{number}", "A", -5_000, 5_000, f"dc_current of input {number}"),
            Quantity(f"dc_power_{number}", "W", -_MEGA, _GIGA, f"dc_power of input {number}"),
        )
    return tuple(quantities)


_ALL = (
    # irradiance and weather
    Quantity("ghi", "W/m2", -20, 2000, "global horizontal irradiance"),
    Quantity("dni", "W/m2", -20, 1500, "direct normal irradiance"),
    Quantity("dhi", "W/m2", -20, 1500, "diffuse horizontal irradiance"),
    Quantity("poa_global", "W/m2", -20, 2200, "total irradiance in the plane of the array"),
    Quantity("temp_air", "degC", -80, 70, "ambient air temperature", aliases=("temperature",)),
    Quantity("temp_cell", "degC", -80, 150, "photovoltaic cell temperature"),
    Quantity("temp_module", "degC", -80, 150, "temperature of the back of a module"),
    Quantity("wind_speed", "m/s", 0, 120, "wind speed at 10 m or as measured on site"),
    Quantity("wind_direction", "deg", 0, 360, "where the wind comes from, clockwise from north"),
    Quantity("relative_humidity", "%", 0, 110, "relative humidity of the air"),
    Quantity("pressure", "Pa", 40_000, 115_000, "air pressure at the station, not at sea level"),
    Quantity("cloud_cover", "%", 0, 100, "share of the sky covered by cloud"),
    Quantity("precipitable_water", "mm", 0, 120, "water in the air column"),
    Quantity("precipitation", "mm/h", 0, 500, "rain and melted snow"),
    Quantity("cloud_liquid_water", "kg/m2", 0, 20, "liquid water in the clouds above"),
    Quantity("cloud_ice_water", "kg/m2", 0, 20, "ice in the clouds above"),
    Quantity("longwave_down", "W/m2", 0, 700, "thermal radiation of the sky on a horizontal plane"),
    # inverter
    Quantity("ac_power", "W", -_MEGA, _GIGA, "active power of the inverter; generation positive"),
    Quantity("dc_power", "W", -_MEGA, _GIGA, "power from the array into the inverter"),
    Quantity("ac_voltage", "V", 0, 50_000, "phase to neutral voltage, mean over the phases"),
    Quantity("ac_current", "A", -50_000, 50_000, "AC current, sum over the phases"),
    Quantity("dc_voltage", "V", 0, 5_000, "voltage of the array at the inverter"),
    Quantity("dc_current", "A", -50_000, 50_000, "current of the array into the inverter"),
    Quantity("frequency", "Hz", 0, 100, "grid frequency"),
    Quantity(
        "reactive_power", "var", -_GIGA, _GIGA, "reactive power; injected (capacitive) positive"
    ),
    Quantity("apparent_power", "VA", 0, _GIGA, "apparent power"),
    Quantity("power_factor", "1", -1, 1, "active over apparent power"),
    Quantity("ac_energy", "Wh", 0, 1e15, "energy generated since commissioning", "counter"),
    Quantity("temp_inverter", "degC", -80, 200, "temperature inside the inverter cabinet"),
    Quantity("inverter_state", "1", 0, 65_535, "operating state, SunSpec St codes", "state"),
    # connection point and load
    Quantity("grid_power", "W", -_GIGA, _GIGA, "power at the connection point; import positive"),
    Quantity("load_power", "W", -_MEGA, _GIGA, "what the site consumes; consumption positive"),
    Quantity("grid_import_energy", "Wh", 0, 1e15, "energy bought since commissioning", "counter"),
    Quantity("grid_export_energy", "Wh", 0, 1e15, "energy sold since commissioning", "counter"),
    Quantity("load_energy", "Wh", 0, 1e15, "energy consumed since commissioning", "counter"),
    Quantity("dc_energy", "Wh", 0, 1e15, "energy of the array since commissioning", "counter"),
    *_per_phase(),
    *_per_string(),
    # battery
    Quantity("battery_voltage", "V", 0, 5_000, "voltage of the battery"),
    Quantity("battery_current", "A", -50_000, 50_000, "battery current; discharge positive"),
    Quantity("battery_soh", "%", 0, 110, "state of health", "state"),
    Quantity("temp_battery", "degC", -80, 150, "temperature of the battery"),
    Quantity("battery_power", "W", -_GIGA, _GIGA, "battery power; discharge positive"),
    Quantity("battery_soc", "%", 0, 100, "state of charge", "state"),
    Quantity(
        "battery_charge_energy", "Wh", 0, 1e15, "energy charged since commissioning", "counter"
    ),
    Quantity(
        "battery_discharge_energy",
        "Wh",
        0,
        1e15,
        "energy given back since commissioning",
        "counter",
    ),
    # tariff: places kept
    Quantity(
        "tariff_import", "1/kWh", -1e4, 1e4, "price of bought energy, currency of the site", "state"
    ),
    Quantity(
        "tariff_export", "1/kWh", -1e4, 1e4, "price of sold energy, currency of the site", "state"
    ),
)

QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _ALL}
"""Every quantity by its name."""

ALIASES: dict[str, str] = {alias: quantity.name for quantity in _ALL for alias in quantity.aliases}
"""Names accepted from plain devices, and what they stand for."""


def quantity(name: str) -> Quantity:
    """Return the quantity called ``name`` (no aliases). Raises ``ContractError`` if unknown."""
    try:
        return QUANTITIES[name]
    except KeyError:
        raise ContractError(f"unknown quantity {name!r}; see docs/NOMENCLATURE.md") from None
