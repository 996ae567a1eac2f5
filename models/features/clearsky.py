"""Irradiance and power under a cloudless sky, in closed form from NumPy alone.

Decides what the sky, a tilted plane and an inverter would give without clouds: the yardstick
that normalises measurements over hours, seasons and sites. It is smooth, never NaN and exactly
zero with the sun down. It leaves the sun's position to ``solar_geometry`` and everything that
is learned about a site (real orientation, soiling, losses) to the models.

    position = solar_position(time_ms, latitude, longitude)
    sky = simplified_solis(apparent_elevation(position.elevation), dni_extra=position.dni_extra)
    poa = clearsky_poa(position, sky, tilt=30.0, azimuth=180.0)
    power = clearsky_ac_power(poa, dc_capacity_w=5000.0, ac_capacity_w=4600.0)

Every argument may be a number or an array; arrays broadcast.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.features.solar_geometry import FloatArray, SolarPosition, aoi_projection

_SEA_LEVEL_PA = 101_325.0


@dataclass(frozen=True, eq=False, slots=True)
class ClearSky:
    """Cloudless irradiance [W/m2], all >= 0: global and diffuse horizontal, direct normal.

    The model fits the three separately, so ``ghi`` is only nearly ``dni`` * sin(apparent
    elevation) + ``dhi``: within 11 W/m2 for the default atmosphere, within 25 for any.
    """

    ghi: FloatArray
    dni: FloatArray
    dhi: FloatArray


def simplified_solis(
    apparent_elevation: npt.ArrayLike,
    *,
    aod700: npt.ArrayLike = 0.1,
    precipitable_water: npt.ArrayLike = 1.0,
    pressure: npt.ArrayLike = _SEA_LEVEL_PA,
    dni_extra: npt.ArrayLike = 1364.0,
) -> ClearSky:
    """Clear-sky irradiance by the simplified Solis model.

    Ineichen, "A broadband simplified version of the Solis clear sky model", Solar Energy 82
    (2008) 758-762. The atmosphere is clamped to the span the model was fitted on (pressure up
    to 108 kPa, for high-pressure days at sea level), so odd weather gives a limiting value.

    Args:
        apparent_elevation: refracted elevation [deg]
        aod700: aerosol optical depth at 700 nm, 0..0.45
        precipitable_water: 0.2..10 [cm]
        pressure: at the site's altitude, 41000..108000 [Pa]
        dni_extra: extraterrestrial normal irradiance [W/m2]

    Raises:
        ValueError: an argument is not finite, or ``dni_extra`` is negative.
    """
    elevation = _finite("apparent_elevation", apparent_elevation)
    aod = np.clip(_finite("aod700", aod700), 0.0, 0.45)
    water = np.clip(_finite("precipitable_water", precipitable_water), 0.2, 10.0)
    ln_w = np.log(water)
    ln_p = np.log(np.clip(_finite("pressure", pressure), 41_000.0, 108_000.0) / _SEA_LEVEL_PA)
    extra = _not_negative("dni_extra", dni_extra)

    enhanced = extra * (
        0.12 * water**0.56 * aod**2
        + 0.97 * water**0.032 * aod
        + 1.08 * water**0.0051
        + 0.071 * ln_p
    )
    tau_beam = (
        (1.82 + 0.056 * ln_w + 0.0071 * ln_w**2) * aod
        + (0.33 + 0.045 * ln_w + 0.0096 * ln_w**2)
        + (0.0089 * water + 0.13) * ln_p
    )
    beam = (0.00925 * aod**2 + 0.0148 * aod - 0.0172) * ln_w + (
        -0.7565 * aod**2 + 0.5057 * aod + 0.4557
    )
    tau_global = (
        (1.24 + 0.047 * ln_w + 0.0061 * ln_w**2) * aod
        + (0.27 + 0.043 * ln_w + 0.0090 * ln_w**2)
        + (0.0079 * water + 0.1) * ln_p
    )
    global_ = -0.0147 * ln_w - 0.3079 * aod**2 + 0.2846 * aod + 0.3798
    tau_diffuse = _tau_diffuse(aod, water, ln_p)
    diffuse = -0.337 * aod**2 + 0.63 * aod + 0.116 + ln_p / (18.0 + 152.0 * aod)

    sine = np.sin(np.radians(np.clip(elevation, -90.0, 90.0)))
    enhanced = np.where(sine > 0.0, enhanced, 0.0)
    sine = np.where(sine > 0.0, sine, 1.0)  # at night: any value that is safe to divide by
    return ClearSky(
        ghi=np.asarray(enhanced * np.exp(-tau_global / sine**global_) * sine),
        dni=np.asarray(enhanced * np.exp(-tau_beam / sine**beam)),
        dhi=np.asarray(enhanced * np.exp(-tau_diffuse / sine**diffuse)),
    )


def clearsky_poa(
    position: SolarPosition,
    clearsky: ClearSky,
    tilt: npt.ArrayLike,
    azimuth: npt.ArrayLike,
    albedo: npt.ArrayLike = 0.2,
) -> FloatArray:
    """Global clear-sky irradiance on a tilted plane [W/m2] under an isotropic sky.

    Liu & Jordan, Solar Energy 7 (1963) 53-74: beam by the angle of incidence, diffuse and
    ground-reflected light by the share of sky and ground that the plane sees.

    Args:
        position: sun position at the instants of ``clearsky``
        clearsky: horizontal and direct normal irradiance
        tilt: surface tilt, 0 = horizontal facing up [deg]
        azimuth: direction the surface faces, clockwise from north [deg]
        albedo: reflectivity of the ground, 0..1
    """
    beam = clearsky.dni * np.maximum(aoi_projection(position, tilt, azimuth), 0.0)
    cos_tilt = np.cos(np.radians(np.asarray(tilt, dtype=np.float64)))
    sky = clearsky.dhi * (1.0 + cos_tilt) / 2.0
    ground = clearsky.ghi * np.asarray(albedo, dtype=np.float64) * (1.0 - cos_tilt) / 2.0
    return np.asarray(beam + sky + ground)


def clearsky_ac_power(
    poa_global: npt.ArrayLike,
    dc_capacity_w: npt.ArrayLike,
    ac_capacity_w: npt.ArrayLike,
    *,
    temp_air: npt.ArrayLike | None = None,
    gamma_pdc: float = -0.004,
    noct: float = 45.0,
) -> FloatArray:
    """AC power [W] of a lossless plant, clipped to 0..``ac_capacity_w``.

    ``dc_capacity_w * poa_global / 1000``; with an air temperature also times
    ``1 + gamma_pdc * (temp_cell - 25)`` (PVWatts: Dobos, NREL/TP-6A20-62641, 2014), where
    ``temp_cell = temp_air + (noct - 20) / 800 * poa_global`` (Ross, 14th IEEE PVSC, 1980).

    Args:
        poa_global: irradiance on the plane of array [W/m2]
        dc_capacity_w: nameplate of the modules at 1000 W/m2 and 25 degC [W]
        ac_capacity_w: limit of the inverter [W]
        temp_air: air temperature [degC]; None leaves temperature out
        gamma_pdc: relative change of power per kelvin [1/K]
        noct: nominal operating cell temperature of the modules [degC]

    Raises:
        ValueError: an argument is not finite, or a capacity is negative.
    """
    poa = _finite("poa_global", poa_global)
    power = _not_negative("dc_capacity_w", dc_capacity_w) * poa / 1000.0
    if temp_air is not None:
        temp_cell = _finite("temp_air", temp_air) + (noct - 20.0) / 800.0 * poa
        power = power * (1.0 + gamma_pdc * (temp_cell - 25.0))
    return np.asarray(np.clip(power, 0.0, _not_negative("ac_capacity_w", ac_capacity_w)))


def _tau_diffuse(aod: FloatArray, water: FloatArray, ln_p: FloatArray) -> FloatArray:
    """Ineichen 2008, diffuse optical depth: one fit for clean air, one for the rest."""
    clean = (
        (86.0 * water - 13800.0) * aod**4
        + (-3.11 * water + 79.4) * aod**3
        + (-0.23 * water + 74.8) * aod**2
        + (0.092 * water - 8.86) * aod
        + (0.0042 * water + 3.12)
        - 0.83 * (1.0 + aod) ** -17.2 * ln_p
    )
    turbid = (
        (-0.21 * water + 11.6) * aod**4
        + (0.27 * water - 20.7) * aod**3
        + (-0.134 * water + 15.5) * aod**2
        + (0.0554 * water - 5.71) * aod
        + (0.0057 * water + 2.94)
        - 0.71 * (1.0 + aod) ** -15.0 * ln_p
    )
    return np.where(aod < 0.05, clean, turbid)


def _finite(name: str, value: npt.ArrayLike) -> FloatArray:
    array = np.asarray(value, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite; replace missing values before the clear sky")
    return array


def _not_negative(name: str, value: npt.ArrayLike) -> FloatArray:
    array = _finite(name, value)
    if np.any(array < 0.0):
        raise ValueError(f"{name} must not be negative")
    return array
