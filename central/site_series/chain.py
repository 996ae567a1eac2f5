"""Weather to power: transposition, reflection, cell temperature, PVWatts array and inverter.

Models, all from pvlib: Hay & Davies (1980) transposition; physical incidence-angle modifier of the
beam (De Soto et al. 2006); SAPM cell temperature, open rack, glass/polymer (King et al.,
SAND2004-3535); PVWatts version 5 array and inverter (Dobos, NREL/TP-6A20-62641, 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pvlib

from central.intake.table import FloatArray

from .plant import PlantDescription
from .quarter_hours import GriddedWeather

INVERTER_EFFICIENCY = 0.96
"""Nominal, PVWatts version 5."""
_MOUNT = pvlib.temperature.TEMPERATURE_MODEL_PARAMETERS["sapm"]["open_rack_glass_polymer"]


@dataclass(frozen=True)
class PlantOutput:
    """One array per quantity at the instants of the weather; W/m2, degC, W."""

    poa_global: FloatArray
    temp_cell: FloatArray
    dc_power: FloatArray
    """What the inverter draws: where it clips it moves off the best point and draws less."""
    ac_power: FloatArray


def plant_output(weather: GriddedWeather, plant: PlantDescription) -> PlantOutput:
    """Output of ``plant`` under ``weather``. Zero with the sun below the horizon, never NaN."""
    sky = weather.sky
    poa = pvlib.irradiance.get_total_irradiance(
        plant.tilt,
        plant.azimuth,
        sky.apparent_zenith,
        sky.azimuth,
        weather.dni,
        weather.ghi,
        weather.dhi,
        dni_extra=sky.dni_extra,
        albedo=plant.albedo,
        model="haydavies",
    )
    up = sky.apparent_zenith < 90.0
    direct, diffuse = (
        np.where(up, np.nan_to_num(np.asarray(poa[name], dtype=np.float64)), 0.0)
        for name in ("poa_direct", "poa_diffuse")
    )
    poa_global = direct + diffuse
    incidence = pvlib.irradiance.aoi(plant.tilt, plant.azimuth, sky.apparent_zenith, sky.azimuth)
    effective = direct * np.nan_to_num(pvlib.iam.physical(incidence)) + diffuse
    temp_cell = pvlib.temperature.sapm_cell(
        poa_global, weather.temp_air, weather.wind_speed, **_MOUNT
    )
    available = pvlib.pvsystem.pvwatts_dc(
        effective, temp_cell, plant.dc_capacity_w, plant.temperature_coefficient
    ) * (1.0 - plant.losses)
    dc_limit = plant.ac_capacity_w / INVERTER_EFFICIENCY
    dc_power = np.clip(available, 0.0, dc_limit)
    ac_power = pvlib.inverter.pvwatts(dc_power, dc_limit, INVERTER_EFFICIENCY)
    return PlantOutput(
        poa_global=poa_global,
        temp_cell=np.asarray(temp_cell, dtype=np.float64),
        dc_power=np.asarray(dc_power, dtype=np.float64),
        ac_power=np.clip(np.asarray(ac_power, dtype=np.float64), 0.0, plant.ac_capacity_w),
    )
