"""Columns that speak of forecast weather: at the target, around it, and how right it was lately.

Without a forecast all of them are NaN.
"""

from __future__ import annotations

import numpy as np

from .recent import Ratio, Recent, Sums, look_up
from .site import FloatArray, IntArray, Site
from .sky import CSI_MAX, Sky
from .spec import OFFSET_WEATHER, PLAIN_WEATHER, WEATHER_COLUMNS, WEATHER_OFFSETS
from .weather import SkyWeather

_BRIGHT = 20.0
"""Irradiance [W/m2] above which shares of it mean something."""
_SKEWED = {"cloud_liquid_water": 50.0, "cloud_ice_water": 100.0, "precipitation": 5.0}
"""Quantities that are read as ``log(1 + factor * value)``."""
_BELIEVED = (0.6, 1.4)
"""How far the forecast's level is corrected by what was measured lately."""


def weather_columns(
    site: Site,
    recent: Recent,
    weather: SkyWeather | None,
    issue: IntArray,
    target: IntArray,
    solar_day: IntArray,
) -> dict[str, FloatArray]:
    """Columns of shape ``(issues, leads)`` or ``(issues, 1)``, by name.

    ``target`` holds the positions of the targets in the sky, ``solar_day`` the number of the day of
    each position.
    """
    if weather is None:
        nothing = np.full((len(issue), 1), np.nan)
        return dict.fromkeys(WEATHER_COLUMNS, nothing)
    sky, hour = recent.sky, recent.hour
    plain = {name: _evened(name, values) for name, values in weather.plain.items()}
    power = weather.power_index * sky.power
    known_clear = np.where(np.isfinite(weather.power_index), sky.power, np.nan)
    around, day = Ratio(power, known_clear), _by_day(power, known_clear, solar_day)
    half = max(1, (3 * hour) // 2)
    now = plain["pressure"][target]
    columns = {
        "weather_ghi_index": weather.ghi_index[target],
        "weather_ghi": weather.ghi[target] / 1000.0,
        "weather_direct_share": weather.direct_share[target],
        "weather_power_index": weather.power_index[target],
        "weather_power": weather.power_index[target] * sky.power[target] / site.ac_capacity_w,
        "weather_power_index_3h": around.over(target - half, target + half + 1),
        "weather_power_index_day": day[target],
        "weather_power_index_std_3h": Sums(weather.power_index).deviation(
            target - half, target + half + 1
        ),
        "weather_cloud_cover_day": _daylight_mean(plain["cloud_cover"], sky, solar_day)[target],
        "weather_relative_humidity_change": plain["relative_humidity"][target]
        - plain["relative_humidity"][issue][:, None],
        "weather_pressure_change_3h": now - look_up(plain["pressure"], target - 3 * hour),
        "weather_pressure_change_24h": now - look_up(plain["pressure"], target - 24 * hour),
        "weather_pressure_ahead_2h": look_up(plain["pressure"], target + 2 * hour) - now,
        "weather_error_slot": _slot_error(recent, weather, issue, target),
    }
    for name in (*PLAIN_WEATHER, "wind_sin", "wind_cos"):
        columns[f"weather_{name}"] = plain[name][target]
    indices = {"power_index": weather.power_index, "ghi_index": weather.ghi_index}
    for name in OFFSET_WEATHER:
        values = indices.get(name, plain.get(name))
        for hours in WEATHER_OFFSETS:
            columns[f"weather_{name}_{hours:+d}h"] = look_up(values, target + hours * hour)
    lately = _lately(recent, weather, power, around, issue)
    columns |= {name: values[:, None] for name, values in lately.items()}
    columns["weather_power_adjusted"] = columns["weather_power"] * believed_ratio(
        columns["weather_ratio_7d"]
    )
    return columns


def _evened(name: str, values: FloatArray) -> FloatArray:
    """Water in clouds and rain span decades: their logarithm, 0 for none."""
    factor = _SKEWED.get(name)
    return values if factor is None else np.log1p(factor * np.maximum(values, 0.0))


def believed_ratio(ratio: FloatArray) -> FloatArray:
    """By how much the forecast's level is corrected by what was measured lately; 1 if unknown."""
    return np.clip(np.where(np.isfinite(ratio), ratio, 1.0), *_BELIEVED)


def _lately(
    recent: Recent, weather: SkyWeather, power: FloatArray, around: Ratio, issue: IntArray
) -> dict[str, FloatArray]:
    """Measured against forecast, up to the issue."""
    length, hour = len(recent.series), recent.hour
    measured = recent.daylight_power
    right = Ratio(measured, np.where(power[:length] > 0, power[:length], np.nan))
    # The forecast's index over the intervals that were measured.
    said = Ratio(np.where(np.isfinite(measured), power[:length], np.nan), recent.sky.power[:length])
    error = recent.csi - weather.power_index[:length]
    ghi_error = np.full(length, np.nan)
    if recent.series.ghi is not None:
        clear = recent.sky.ghi[:length]
        bright = clear > _BRIGHT
        ghi_error = np.where(
            bright,
            np.minimum(recent.series.ghi / np.where(bright, clear, 1.0), CSI_MAX)
            - weather.ghi_index[:length],
            np.nan,
        )
    day = 24 * hour

    def off(hours: int) -> FloatArray:
        first = issue - hours * hour
        return recent.energy.over(first, issue) - said.over(first, issue)

    return {
        "weather_power_index_issue": around.over(issue - hour, issue + hour),
        "weather_error_last": look_up(error, issue - 1),
        "weather_error_1h": off(1),
        "weather_error_3h": off(3),
        "weather_error_abs_3d": Sums(np.abs(error)).mean(issue - 3 * day, issue),
        "weather_ratio_24h": right.over(issue - day, issue),
        "weather_ratio_7d": right.over(issue - 7 * day, issue),
        "weather_ghi_error_1h": Sums(ghi_error).mean(issue - hour, issue),
    }


def _slot_error(
    recent: Recent, weather: SkyWeather, issue: IntArray, target: IntArray
) -> FloatArray:
    """The forecast's error at the target's time of day on the latest day that had it."""
    day = 24 * recent.hour
    lead = target - issue[:, None]
    before = target - (lead // day + 1) * day
    return look_up(recent.csi, before) - look_up(weather.power_index, before)


def _by_day(above: FloatArray, below: FloatArray, day: IntArray) -> FloatArray:
    """Ratio of daily sums, given back at every position of the day."""
    both = np.isfinite(above) & np.isfinite(below)
    top = np.bincount(day, weights=np.where(both, np.nan_to_num(above), 0.0))
    bottom = np.bincount(day, weights=np.where(both, np.nan_to_num(below), 0.0))
    share = np.where(bottom > 1e-6, top / np.maximum(bottom, 1e-6), np.nan)
    return np.asarray(share[day])


def _daylight_mean(values: FloatArray, sky: Sky, day: IntArray) -> FloatArray:
    light = np.where(sky.daylight & np.isfinite(values), 1.0, np.nan)
    return _by_day(values * light, light, day)
