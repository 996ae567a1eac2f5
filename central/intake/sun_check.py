"""Does a weather file agree with the sun? Two tests of the file as a whole, for its report.

- *Clock*: the shift of the sun at which GHI correlates best with the cosine of the zenith, over the
  clearest quarter of the days. (Over all days regular afternoon clouds pass for a shift: 16 minutes
  in Golden, Colorado. On clear days the good files at hand stay within 2.) Wrong time zones and
  hour-ending stamps taken for instants show up here.
- *Closure*: GHI = DNI cos(zenith) + DHI, the median over daylight.

A suspicion is reported, never a reason to change data. Clocks that stepped within a file are found
by ``clock_shift``, rows at fault by ``judge_weather``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pvlib

from .table import BoolArray, FloatArray
from .weather import WeatherSource

CLOCK_LIMIT_MINUTES = 10.0
CLOSURE_LIMIT = 12.0
"""W/m2. The mean over an hour does not close exactly when taken at its midpoint."""
_LEAST_DAYLIGHT_ROWS = 200
_SEARCH_MINUTES = np.arange(-720.0, 721.0, 30.0)
_CLEAREST_DAYS = 0.75  # quantile of the daily clearness
_HIGH_SUN = 0.17  # cos(80 deg)


def suspicions(source: WeatherSource, times: pd.DatetimeIndex, frame: pd.DataFrame) -> list[str]:
    """What is suspicious about ``frame``, whose irradiance stands for the instants ``times``."""
    ghi, dni, dhi = (frame[name].to_numpy(dtype=np.float64) for name in ("ghi", "dni", "dhi"))
    cos_zenith = cosine_of_zenith(times, source.latitude, source.longitude)
    high = cos_zenith > _HIGH_SUN
    if np.count_nonzero(high) < _LEAST_DAYLIGHT_ROWS:
        return []
    found = []
    shift = clock_shift_minutes(source, times, ghi)
    if abs(shift) > CLOCK_LIMIT_MINUTES:
        found.append(
            f"GHI runs {abs(shift):.0f} minutes {'late' if shift > 0 else 'early'} against the "
            f"sun; check the time zone and what the stamps stand for"
        )
    closure = float(np.median(np.abs(ghi - dni * cos_zenith - dhi)[high]))
    if closure > CLOSURE_LIMIT:
        found.append(
            f"GHI, DNI and DHI disagree by {closure:.0f} W/m2 (median by day); "
            f"check the clock and the columns"
        )
    return found


def clock_shift_minutes(source: WeatherSource, times: pd.DatetimeIndex, ghi: FloatArray) -> float:
    """By how many minutes ``ghi`` runs late against the sun (negative: early)."""
    clear = _on_clear_days(source, times, ghi)
    times, ghi = times[clear], ghi[clear]
    correlation = np.empty(_SEARCH_MINUTES.size)
    for position, shift in enumerate(_SEARCH_MINUTES):
        moved = times - pd.Timedelta(minutes=float(shift))
        sun = cosine_of_zenith(moved, source.latitude, source.longitude)
        correlation[position] = np.corrcoef(ghi, np.maximum(sun, 0.0))[0, 1]
    best = int(np.clip(np.argmax(correlation), 1, correlation.size - 2))
    left, peak, right = correlation[best - 1 : best + 2]
    # Vertex of the parabola through the best three.
    bend = left - 2 * peak + right
    offset = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(_SEARCH_MINUTES[best] + offset * (_SEARCH_MINUTES[1] - _SEARCH_MINUTES[0]))


def _on_clear_days(source: WeatherSource, times: pd.DatetimeIndex, ghi: FloatArray) -> BoolArray:
    sun = np.maximum(cosine_of_zenith(times, source.latitude, source.longitude), 0.0)
    solar_days = (times + pd.Timedelta(hours=source.longitude / 15.0)).normalize()
    _, day = np.unique(solar_days, return_inverse=True)
    clearness = np.bincount(day, ghi) / np.maximum(np.bincount(day, sun), 1e-9)
    clear: BoolArray = (clearness >= np.quantile(clearness, _CLEAREST_DAYS))[day]
    return clear


def cosine_of_zenith(times: pd.DatetimeIndex, latitude: float, longitude: float) -> FloatArray:
    """Cosine of the true zenith by Spencer (1971), good to about 0.3 degrees and fast."""
    day = times.dayofyear.to_numpy(dtype=np.float64)
    declination = pvlib.solarposition.declination_spencer71(day)
    hours = (times - times.normalize()) / pd.Timedelta(hours=1)
    solar_hours = hours.to_numpy(dtype=np.float64) + (
        longitude / 15.0 + pvlib.solarposition.equation_of_time_spencer71(day) / 60.0
    )
    angle = np.radians(15.0 * (solar_hours - 12.0))
    phi = np.radians(latitude)
    cosine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(angle)
    return np.asarray(cosine, dtype=np.float64)
