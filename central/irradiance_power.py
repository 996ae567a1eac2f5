"""AC power that a plant gives at a measured irradiance: for plain devices that know only the sun.

One formula for two users, the forecasts for plain devices and the HTTP endpoint. PVWatts (Dobos,
"PVWatts Version 5 Manual", NREL/TP-6A20-62641, 2014): modules as in ``models.features.clearsky``,
14 % system losses, 96 % inverter efficiency. Orientation by Erbs' diffuse fraction and an isotropic
sky.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.features.clearsky import ClearSky, clearsky_ac_power, clearsky_poa
from models.features.site import FloatArray, Site
from models.features.solar_geometry import SolarPosition, solar_position

NAME = "pvwatts"
SYSTEM_LOSSES = 0.14
"""Soiling, shading, mismatch, wiring and the rest: PVWatts' default, manual table 6."""
INVERTER_EFFICIENCY = 0.96
"""PVWatts' default nominal efficiency."""
_DERATE = (1.0 - SYSTEM_LOSSES) * INVERTER_EFFICIENCY
_LOWEST_SUN_DEG = 3.0


def ac_power_in_plane(
    poa_global: npt.ArrayLike,
    temp_air: npt.ArrayLike,
    dc_capacity_w: float,
    ac_capacity_w: float,
) -> FloatArray:
    """AC power [W], 0..``ac_capacity_w``, at ``poa_global`` [W/m2] and ``temp_air`` [degC].

    Negative irradiance (a pyranometer's night offset) counts as none. Raises ``ValueError`` for
    values that are not finite.
    """
    poa = np.maximum(np.asarray(poa_global, dtype=np.float64), 0.0)
    lossless = clearsky_ac_power(poa, dc_capacity_w, ac_capacity_w / _DERATE, temp_air=temp_air)
    return np.asarray(_DERATE * lossless)


def ac_power_from_ghi(
    site: Site, time_ms: npt.ArrayLike, ghi: npt.ArrayLike, temp_air: npt.ArrayLike
) -> FloatArray:
    """AC power [W] of ``site`` when ``ghi`` [W/m2] was measured at ``time_ms``; arrays
    broadcast."""
    position = solar_position(time_ms, site.latitude, site.longitude)
    sky = erbs(np.maximum(np.asarray(ghi, dtype=np.float64), 0.0), position)
    poa = clearsky_poa(position, sky, site.tilt, site.azimuth)
    return ac_power_in_plane(poa, temp_air, site.dc_capacity_w, site.ac_capacity_w)


def erbs(ghi: npt.ArrayLike, position: SolarPosition) -> ClearSky:
    """Split global irradiance [W/m2] into diffuse and direct by the clearness index.

    Erbs, Klein & Duffie, Solar Energy 28 (1982) 293-302, eq. 1. With the sun below 3 degrees all of
    it counts as diffuse: the direct part would be a quotient of two small numbers.
    """
    total = np.asarray(ghi, dtype=np.float64)
    sine = np.sin(np.radians(position.elevation))
    extra = position.dni_extra * np.maximum(sine, 0.065)
    kt = np.clip(total / extra, 0.0, 1.0)
    polynomial = 0.9511 + kt * (-0.1604 + kt * (4.388 + kt * (-16.638 + kt * 12.336)))
    share = np.where(kt <= 0.22, 1.0 - 0.09 * kt, np.where(kt <= 0.8, polynomial, 0.165))
    high = position.elevation > _LOWEST_SUN_DEG
    dhi = np.where(high, share * total, total)
    dni = np.where(high, (total - dhi) / np.where(high, sine, 1.0), 0.0)
    return ClearSky(ghi=total, dni=np.asarray(dni), dhi=np.asarray(dhi))
