"""Which columns the intake understands: what they are called in the world, in what unit, and what
they become. One table; a new alias is one word in it.

Processed files keep the units that people write (kW, degC, mbar), each in its column's name.
Limits come from the contract's quantities where there is one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from models.contract.quantities import quantity
from models.contract.units import CONVERSIONS, base_unit, from_base, to_base

Role = Literal["pv", "load", "weather", "label"]
"""What a column is about; decides the source of a file (see ``source_of``)."""
Source = Literal["solar", "meter", "weather"]


@dataclass(frozen=True)
class Known:
    """A column of the processed files."""

    name: str
    role: Role
    unit: str
    """Of the processed column: a unit of the contract, or ``1``."""
    aliases: tuple[str, ...]
    """Header names in simple form (:func:`simple_form`), with their unit after a colon where it
    is not ``unit``."""
    quantity: str = ""
    """The contract's quantity, which has the limits; else ``lowest`` and ``highest``."""
    lowest: float = -1e12
    highest: float = 1e12

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest possible value in ``unit``."""
        if not self.quantity:
            return self.lowest, self.highest
        known = quantity(self.quantity)
        return from_base(known.lowest, self.unit), from_base(known.highest, self.unit)


def _irradiance(name: str, known: str, *aliases: str) -> Known:
    return Known(f"{name}_wm2", "weather", "W/m2", (f"{name}_wm2", name, *aliases), known)


KNOWN: tuple[Known, ...] = (
    # what a photovoltaic system gives
    Known(
        "ac_power_kw", "pv", "kW",
        ("ac_power_kw", "ac_power:W", "ac_power_w:W", "pv_power_kw", "pv_power_w:W",
         "generation_kw", "solar_power_kw"), "ac_power",
    ),
    Known(
        "ac_power_normalized", "pv", "1",
        ("value_normalized", "ac_power_normalized"), "", -1e3, 1e3,
    ),
    Known("dc_power_kw", "pv", "kW", ("dc_power_kw", "dc_power:W", "dc_power_w:W"), "dc_power"),
    Known("daily_yield_kwh", "pv", "kWh", ("daily_yield", "daily_yield_kwh"), "", 0, 1e9),
    Known("total_yield_kwh", "pv", "kWh", ("total_yield", "total_yield_kwh"), "", 0, 1e12),
    # what a site uses
    Known(
        "active_power_kw", "load", "kW",
        ("active_power_kw", "global_active_power", "active_power:W", "active_power_w:W",
         "power_kw", "load_kw", "demand_kw", "consumption_kw", "load_power:W"), "grid_power",
    ),
    Known(
        "reactive_power_kvar", "load", "kvar",
        ("reactive_power_kvar", "global_reactive_power", "reactive_power:var"), "reactive_power",
    ),
    Known("apparent_power_kva", "load", "kVA", ("apparent_power_kva",), "apparent_power"),
    Known("voltage_v", "load", "V", ("voltage_v", "voltage"), "ac_voltage"),
    Known(
        "current_a", "load", "A", ("current_a", "current", "global_intensity"), "ac_current"
    ),
    Known("frequency_hz", "load", "Hz", ("frequency_hz", "frequency"), "frequency"),
    Known("power_factor", "load", "1", ("power_factor",), "power_factor"),
    Known("energy_kwh", "load", "kWh", ("energy_kwh", "energy_import_kwh"), "", -1e12, 1e12),
    *(
        Known(f"sub_metering_{n}_wh", "load", "Wh", (f"sub_metering_{n}",), "", -1e9, 1e9)
        for n in range(1, 5)
    ),
    # the weather
    _irradiance("ghi", "ghi", "global_horizontal", "shortwave_radiation", "dw_solar"),
    _irradiance("dni", "dni", "direct_normal", "direct_normal_irradiance", "direct_n"),
    _irradiance("dhi", "dhi", "diffuse_horizontal", "diffuse_radiation", "diffuse"),
    _irradiance(
        "poa", "poa_global", "poa_global", "plane_of_array", "poa_irradiance", "irradiation:kW/m2"
    ),
    _irradiance("ghi_clear", "ghi", "clearsky_ghi"),
    _irradiance("dni_clear", "dni", "clearsky_dni"),
    _irradiance("dhi_clear", "dhi", "clearsky_dhi"),
    Known(
        "temperature_c", "weather", "degC",
        ("temperature_c", "temperature", "temp_air", "ambient_temperature", "ambient_temp",
         "temperature_2m", "air_temperature", "temperature_k:K"), "temp_air",
    ),
    Known(
        "module_temperature_c", "weather", "degC",
        ("module_temperature_c", "module_temperature", "module_temp", "temp_module"),
        "temp_module",
    ),
    Known(
        "dew_point_c", "weather", "degC", ("dew_point_c", "dew_point", "dew_point_2m"), "temp_air"
    ),
    Known(
        "humidity_percent", "weather", "%",
        ("humidity_percent", "humidity", "relative_humidity", "relative_humidity_2m", "rh"),
        "relative_humidity",
    ),
    Known(
        "wind_speed_ms", "weather", "m/s",
        ("wind_speed_ms", "wind_speed", "windspeed", "wind_speed_10m", "windspd"), "wind_speed",
    ),
    Known("wind_speed_100m_ms", "weather", "m/s", ("wind_speed_100m",), "wind_speed"),
    Known(
        "wind_direction_deg", "weather", "deg",
        ("wind_direction_deg", "wind_direction", "wind_direction_10m", "winddir"),
        "wind_direction",
    ),
    Known(
        "wind_direction_100m_deg", "weather", "deg", ("wind_direction_100m",), "wind_direction"
    ),
    Known(
        "pressure_mb", "weather", "mbar",
        ("pressure_mb", "pressure_hpa", "pressure", "surface_pressure", "barometric_pressure",
         "pressure_pa:Pa"), "pressure",
    ),
    Known(
        "cloud_cover_percent", "weather", "%",
        ("cloud_cover_percent", "cloud_cover", "cloudcover", "cloud_cover_total"), "cloud_cover",
    ),
    Known(
        "precipitation_mm", "weather", "mm",
        ("precipitation_mm", "precipitation", "rain", "rainfall_mm"), "", 0, 1000,
    ),
    # what somebody found out before: carried through, never looked at
    Known("label_stale", "label", "1", ("stale_data_mask",), "", 0, 1),
    Known("label_outlier", "label", "1", ("outlier",), "", 0, 1),
)  # fmt: skip

BY_NAME = {known.name: known for known in KNOWN}
_BY_ALIAS = {
    alias.split(":")[0]: (known, alias.split(":")[1] if ":" in alias else known.unit)
    for known in KNOWN
    for alias in known.aliases
}
_UNIT_WORDS = {
    "degc": "degC", "c": "degC", "°c": "degC", "k": "K", "m/s": "m/s", "hpa": "hPa",
    "mbar": "mbar", "pa": "Pa", "kpa": "kPa", "mm": "mm", "mm/h": "mm", "%": "%",
    "unitless": "%", "deg": "deg", "°": "deg", "w/m2": "W/m2", "w/m²": "W/m2",
    "kw/m2": "kW/m2", "kw": "kW", "w": "W", "v": "V", "a": "A", "hz": "Hz", "kvar": "kvar",
}  # fmt: skip
_BRACKETS = re.compile(r"^(.*?)\s*[(\[]([^)\]]*)[)\]]\s*$")


def simple_form(header: str) -> str:
    """``Ambient Temperature`` -> ``ambient_temperature``; sensor numbers at the end are dropped."""
    match = _BRACKETS.match(header)
    text = (match.group(1) if match else header).strip().strip('"').lower()
    text = re.sub(r"[\s\-./]+", "_", text)
    return text if text in _BY_ALIAS else re.sub(r"_+\d+$", "", text).strip("_")


def known_column(header: str, units: dict[str, str]) -> tuple[Known, str] | None:
    """The known column that ``header`` names, and the unit of its values; None if unknown.

    ``units`` are the layout's own, by simple form; they win. A unit in brackets comes next.
    """
    name = simple_form(header)
    if name not in _BY_ALIAS:
        return None
    known, unit = _BY_ALIAS[name]
    match = _BRACKETS.match(header)
    if match and (stated := _UNIT_WORDS.get(match.group(2).strip().lower())):
        unit = stated
    return known, units.get(name, unit)


def factor_and_offset(known: Known, unit: str) -> tuple[float, float]:
    """``value * factor + offset`` brings a value in ``unit`` to the column's own unit."""
    if unit == known.unit:
        return 1.0, 0.0
    if base_unit(unit) != base_unit(known.unit):
        raise ValueError(f"{unit} is no unit of {known.name}")
    offset = from_base(to_base(0.0, unit), known.unit)
    return from_base(to_base(1.0, unit), known.unit) - offset, offset


def source_of(columns: list[Known]) -> Source:
    """``solar`` with any power of a photovoltaic system, else ``meter`` with any electrical
    quantity, else ``weather``."""
    roles = {column.role for column in columns}
    if "pv" in roles:
        return "solar"
    return "meter" if "load" in roles else "weather"


assert all(unit in CONVERSIONS or base_unit(unit) for _, unit in _BY_ALIAS.values())
