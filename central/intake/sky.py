"""The sun and the cloudless sky over a place, for the intake and the site series.

pvlib's NREL SPA for the sun and Ineichen-Perez (2002) with pvlib's monthly Linke turbidity for the
sky. This is the centre's reference; what trainer and agent share is ``models.features``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pvlib

from .table import FloatArray

_MEAN_SAMPLES = 4
"""Instants per interval when a mean over the interval is wanted."""


@dataclass(frozen=True)
class Place:
    """Where; degrees north and east, metres above sea level."""

    latitude: float
    longitude: float
    elevation_m: float


@dataclass(frozen=True)
class Sky:
    """Sun and cloudless sky at each instant; angles in degrees, irradiance in W/m2, 0 at night."""

    zenith: FloatArray
    """True, without refraction."""
    apparent_zenith: FloatArray
    azimuth: FloatArray
    """Clockwise from north."""
    equation_of_time: FloatArray
    """Minutes."""
    dni_extra: FloatArray
    """Outside the atmosphere, normal to the sun."""
    ghi_clear: FloatArray
    dni_clear: FloatArray
    dhi_clear: FloatArray


def sky_at(times: pd.DatetimeIndex, place: Place) -> Sky:
    """Sun and clear sky at ``times`` (UTC)."""
    sun = pvlib.solarposition.get_solarposition(
        times, place.latitude, place.longitude, altitude=place.elevation_m
    )
    zenith = sun["apparent_zenith"]
    airmass = pvlib.atmosphere.get_absolute_airmass(
        pvlib.atmosphere.get_relative_airmass(zenith), pvlib.atmosphere.alt2pres(place.elevation_m)
    )
    turbidity = pvlib.clearsky.lookup_linke_turbidity(times, place.latitude, place.longitude)
    dni_extra = pvlib.irradiance.get_extra_radiation(times)
    clear = pvlib.clearsky.ineichen(
        zenith, airmass, turbidity, altitude=place.elevation_m, dni_extra=dni_extra
    )
    return Sky(
        zenith=_array(sun["zenith"]),
        apparent_zenith=_array(zenith),
        azimuth=_array(sun["azimuth"]),
        equation_of_time=_array(sun["equation_of_time"]),
        dni_extra=_array(dni_extra),
        ghi_clear=_array(clear["ghi"]),
        dni_clear=_array(clear["dni"]),
        dhi_clear=_array(clear["dhi"]),
    )


def mean_clear_ghi(midpoints: pd.DatetimeIndex, minutes: int, place: Place) -> FloatArray:
    """Clear-sky GHI averaged over intervals of ``minutes`` around ``midpoints`` [W/m2].

    Around sunrise and sunset the value at the midpoint is far from the mean.
    """
    offsets = (np.arange(_MEAN_SAMPLES) + 0.5) / _MEAN_SAMPLES - 0.5
    samples = [
        sky_at(midpoints + pd.Timedelta(minutes=minutes * offset), place).ghi_clear
        for offset in offsets
    ]
    return np.asarray(np.mean(samples, axis=0), dtype=np.float64)


def _array(values: pd.Series) -> FloatArray:
    return np.asarray(values, dtype=np.float64)
