"""Every quantity of the contract at one moment of a simulated site.

Derived from the few columns of a series by simple electrical rules: plausible, consistent with each
other (powers are voltage times current, strings add up to the array), and no more.
"""

from __future__ import annotations

from .series import SiteState

NOMINAL_VOLTS, NOMINAL_HERTZ = 230.0, 50.0
_VOLTAGE_RISE = 0.02  # of the nominal voltage, at rated power
_CABINET_RISE = 25.0  # K above the air, at rated power
_MODULE_RISE = 25.0
_DC_VOLTS = 620.0
_SLEEPING, _MPPT = 2.0, 4.0
_COUNTERS_BEFORE = {
    "ac_energy": 1_000_000.0,
    "grid_import_energy": 2_000_000.0,
    "grid_export_energy": 500_000.0,
}
"""Wh on the counters before the series starts."""


def site_values(
    state: SiteState, *, rated_power: float, phases: int = 3, inputs: int = 2
) -> dict[str, float]:
    """Values in base units by quantity; ``inputs`` is the number of DC inputs that share."""
    generation = state.ac_power
    load_share = max(generation, 0.0) / rated_power if rated_power > 0 else 0.0
    volts = NOMINAL_VOLTS * (1 + _VOLTAGE_RISE * load_share)
    awake = generation > 0
    grid = state.grid_power
    irradiance = 1000.0 * load_share
    values = {
        "ac_power": generation,
        "dc_power": state.dc_power,
        "grid_power": grid,
        "load_power": state.load_power,
        "ac_voltage": volts,
        "ac_current": abs(generation) / volts,
        "frequency": NOMINAL_HERTZ,
        "reactive_power": 0.0,
        "apparent_power": abs(generation),
        "power_factor": 1.0,
        "temp_air": state.temp_air,
        "temp_inverter": state.temp_air + _CABINET_RISE * load_share,
        "temp_module": state.temp_air + _MODULE_RISE * load_share,
        "temp_cell": state.temp_air + _MODULE_RISE * load_share + 3.0,
        "temp_battery": state.temp_air + 3.0,
        "ghi": irradiance,
        "poa_global": irradiance,
        "inverter_state": _MPPT if awake else _SLEEPING,
        "dc_voltage": _DC_VOLTS if awake else 0.0,
        "dc_current": state.dc_power / _DC_VOLTS,
        "dc_energy": (_COUNTERS_BEFORE["ac_energy"] + state.ac_energy) / 0.96,
        "load_energy": 1_500_000.0 + state.ac_energy + state.grid_import_energy,
        "battery_power": 0.0,
        "battery_soc": 50.0,
        "battery_soh": 98.0,
        "battery_voltage": 51.2,
        "battery_current": 0.0,
        "battery_charge_energy": 300_000.0,
        "battery_discharge_energy": 280_000.0,
    }
    for name, before in _COUNTERS_BEFORE.items():
        values[name] = before + getattr(state, name)
    for phase in range(1, 4):
        there = phase <= phases
        values[f"ac_voltage_l{phase}"] = volts if there else 0.0
        values[f"ac_power_l{phase}"] = generation / phases if there else 0.0
        values[f"grid_power_l{phase}"] = grid / phases if there else 0.0
        values[f"ac_current_l{phase}"] = abs(generation) / phases / volts if there else 0.0
    for first, second in ((1, 2), (2, 3), (3, 1)):
        values[f"ac_voltage_l{first}_l{second}"] = volts * 3.0**0.5 if phases == 3 else 0.0
    for number in range(1, 25):
        share = state.dc_power / inputs if number <= inputs else 0.0
        values[f"dc_voltage_{number}"] = _DC_VOLTS if awake and number <= inputs else 0.0
        values[f"dc_current_{number}"] = share / _DC_VOLTS
        values[f"dc_power_{number}"] = share
    return values


def meter_values(values: dict[str, float]) -> dict[str, float]:
    """The same moment as a meter at the connection point sees it."""
    seen = dict(values)
    volts = values["ac_voltage"]
    seen["ac_current"] = abs(values["grid_power"]) / volts
    seen["apparent_power"] = abs(values["grid_power"])
    seen["power_factor"] = 1.0
    for phase in range(1, 4):
        seen[f"ac_current_l{phase}"] = abs(values[f"grid_power_l{phase}"]) / volts
    return seen
