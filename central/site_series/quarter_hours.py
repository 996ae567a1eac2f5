"""Hourly or half-hourly weather on the 15-minute grid, without bending the sun.

Irradiance is never interpolated itself: that would cut the shoulders of every day. The *clear-sky
index* (GHI over cloudless GHI) and the diffuse fraction are, and multiplied with the clear sky
recomputed at each new instant (the usual practice; e.g. Lave & Kleissl, Solar Energy 85, 2011).
For sources with interval means both are taken over the interval and placed at its midpoint.
DNI follows from closure, GHI = DNI cos(zenith) + DHI, so the three agree by construction.

The result is smooth between the source's samples: it has the sun's shape at 15 minutes and the
clouds' shape only at the source resolution. Whoever learns from it must not claim more.

A hole of up to ``SHORT_HOLE_HOURS`` is bridged; a longer one gets the same hours of the nearest
earlier (else later) day, and a note; ``LONGEST_HOLE_DAYS`` and more is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from central.intake.engineer import ratio
from central.intake.sky import Place, Sky, mean_clear_ghi, sky_at
from central.intake.table import BoolArray, FloatArray
from central.intake.weather import Weather

from .plant import SiteSeriesError

SHORT_HOLE_HOURS = 3
LONGEST_HOLE_DAYS = 7
DEFAULT_WIND_SPEED = 1.0
"""m/s, when the file has none: nearly calm, so that cells come out warm rather than cold."""
_LEAST_CLEAR_GHI = 20.0  # W/m2; below it the index is a ratio of two small numbers
_LARGEST_INDEX = 2.0
_LEAST_COS_ZENITH = 0.05  # about 3 degrees: below it DNI from closure explodes


@dataclass(frozen=True)
class GriddedWeather:
    """Weather at instants ``times`` (UTC, regular), one array per quantity in base units."""

    times: pd.DatetimeIndex
    sky: Sky
    ghi: FloatArray
    dni: FloatArray
    dhi: FloatArray
    temp_air: FloatArray
    wind_speed: FloatArray
    notes: tuple[str, ...]


def on_grid(weather: Weather, place: Place, step_minutes: int = 15) -> GriddedWeather:
    """``weather`` at every ``step_minutes`` of the span that its samples stand for.

    Raises:
        SiteSeriesError: a hole is too long to be filled, or the step does not divide an hour.
    """
    if not 1 <= step_minutes <= 60 or 60 % step_minutes:
        raise SiteSeriesError(f"step_minutes must divide 60, not {step_minutes}")
    samples, notes = _without_holes(_samples(weather, place), weather)
    at_stamp = _seconds(pd.DatetimeIndex(samples.index))
    half = pd.Timedelta(minutes=weather.source.resolution_minutes / 2)
    centre = pd.DatetimeIndex(samples.index)
    if weather.source.irradiance == "preceding_mean":
        centre = centre - half
    at_centre = _seconds(centre)
    step = pd.Timedelta(minutes=step_minutes)
    times = pd.date_range(
        (centre[0] - half).ceil(step), centre[-1] + half, freq=step, inclusive="left"
    ).as_unit("ms")
    sky, now = sky_at(times, place), _seconds(times)

    index = _between(now, at_centre, samples["clearsky_index"])
    fraction = _between(now, at_centre, samples["diffuse_fraction"])
    ghi = index * sky.ghi_clear
    cos_zenith = np.cos(np.radians(sky.apparent_zenith))
    high = cos_zenith > _LEAST_COS_ZENITH
    dhi = np.where(high, np.minimum(fraction, 1.0) * ghi, ghi)
    dni = np.where(high, (ghi - dhi) / np.where(high, cos_zenith, 1.0), 0.0)
    too_bright = dni > sky.dni_extra
    dni = np.where(too_bright, sky.dni_extra, dni)
    dhi = np.where(too_bright, ghi - dni * cos_zenith, dhi)
    return GriddedWeather(
        times=times,
        sky=sky,
        ghi=ghi,
        dni=dni,
        dhi=dhi,
        temp_air=_between(now, at_stamp, samples["temp_air"]),
        wind_speed=_between(now, at_stamp, samples["wind_speed"]),
        notes=notes,
    )


def _samples(weather: Weather, place: Place) -> pd.DataFrame:
    """What is interpolated, at the source's stamps; index and fraction are NaN where undefined."""
    frame, source = weather.frame, weather.source
    times = weather.irradiance_times
    ghi, dhi = (frame[name].to_numpy(dtype=np.float64) for name in ("ghi", "dhi"))
    if source.irradiance == "preceding_mean":
        clear = mean_clear_ghi(times, source.resolution_minutes, place)
    else:
        clear = sky_at(times, place).ghi_clear
    index = ratio(np.maximum(ghi, 0.0), clear, least=_LEAST_CLEAR_GHI, most=_LARGEST_INDEX)
    fraction = ratio(np.maximum(dhi, 0.0), ghi, least=1.0, most=1.0)
    dark = clear < _LEAST_CLEAR_GHI
    wind = frame.get("wind_speed", DEFAULT_WIND_SPEED)
    return pd.DataFrame(
        {
            "clearsky_index": np.where(dark, np.nan, index),
            "diffuse_fraction": np.where(dark | (ghi < 1.0), np.nan, fraction),
            "temp_air": frame["temp_air"],
            "wind_speed": wind,
        },
        index=frame.index,
    )


def _without_holes(samples: pd.DataFrame, weather: Weather) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """``samples`` with long holes filled from other days. Short holes need nothing: the
    interpolation bridges them as it does the nights."""
    minutes = weather.source.resolution_minutes
    day = 24 * 60 // minutes
    long = [gap for gap in weather.report.gaps if gap.rows * minutes > SHORT_HOLE_HOURS * 60]
    if not long:
        return samples, ()
    index = pd.DatetimeIndex(samples.index)
    full = pd.date_range(
        index[0], index[-1], freq=pd.Timedelta(minutes=minutes), name=index.name
    ).as_unit(index.unit)
    position = np.arange(full.size)
    known = full.isin(index)
    filled = samples.reindex(full)
    origin = position.copy()
    notes = []
    for gap in long:
        if gap.rows > LONGEST_HOLE_DAYS * day:
            raise SiteSeriesError(
                f"{weather.source.file}:{gap.after_line}: {gap.rows} rows are missing after this "
                f"line ({gap.start} to {gap.end}); more than {LONGEST_HOLE_DAYS} days cannot be "
                f"filled, use another file or cut this one at the hole"
            )
        rows = position[(full >= pd.Timestamp(gap.start)) & (full <= pd.Timestamp(gap.end))]
        for row in rows:
            origin[row] = _same_hour(int(row), known, day)
        notes.append(f"{gap.start} to {gap.end} filled with the same hours of the nearest day")
    filled = filled.iloc[origin].set_axis(full)
    return filled[filled["temp_air"].notna()], tuple(notes)


def _same_hour(row: int, known: BoolArray, day: int) -> int:
    """Nearest known row whole days before ``row``, else after; ``row`` itself if there is none."""
    for offsets in (range(row - day, -1, -day), range(row + day, known.size, day)):
        for candidate in offsets:
            if known[candidate]:
                return candidate
    return row


def _between(now: FloatArray, then: FloatArray, values: pd.Series) -> FloatArray:
    """Linear in time between defined values, constant beyond the ends; 0 if there are none.

    Across a night the undefined values are bridged, which only the minutes of twilight ever see.
    """
    array = values.to_numpy(dtype=np.float64)
    defined = np.isfinite(array)
    if not defined.any():
        return np.zeros_like(now)
    return np.asarray(np.interp(now, then[defined], array[defined]), dtype=np.float64)


def _seconds(times: pd.DatetimeIndex) -> FloatArray:
    return times.as_unit("ms").asi8 / 1000.0
