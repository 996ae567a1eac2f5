"""Columns that speak of forecast weather: at the target, around it, and how right it was lately.

Without a forecast all of them are NaN.
"""

from __future__ import annotations

import numpy as np

from .recent import Ratio, Recent, Sums, look_up
from .site import FloatArray, IntArray, Site
from .sky import Sky
from .spec import PLAIN_WEATHER, WEATHER_COLUMNS
from .weather import SkyWeather


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
    power = weather.power_index * sky.power
    known_clear = np.where(np.isfinite(weather.power_index), sky.power, np.nan)
    around, day = Ratio(power, known_clear), _by_day(power, known_clear, solar_day)
    half = max(1, (3 * hour) // 2)
    columns = {
        "weather_ghi_index": weather.ghi_index[target],
        "weather_power_index": weather.power_index[target],
        "weather_power": weather.power_index[target] * sky.power[target] / site.ac_capacity_w,
        "weather_power_index_before": look_up(weather.power_index, target - hour),
        "weather_power_index_after": look_up(weather.power_index, target + hour),
        "weather_power_index_3h": around.over(target - half, target + half + 1),
        "weather_power_index_day": day[target],
        "weather_power_index_std_3h": Sums(weather.power_index).deviation(
            target - half, target + half + 1
        ),
        "weather_cloud_cover_before": look_up(weather.plain["cloud_cover"], target - hour),
        "weather_cloud_cover_after": look_up(weather.plain["cloud_cover"], target + hour),
        "weather_cloud_cover_day": _daylight_mean(weather.plain["cloud_cover"], sky, solar_day)[
            target
        ],
    }
    for name in PLAIN_WEATHER:
        columns[f"weather_{name}"] = weather.plain[name][target]
    return columns | {
        name: values[:, None]
        for name, values in _lately(recent, power, around, issue, hour).items()
    }


def _lately(
    recent: Recent, power: FloatArray, around: Ratio, issue: IntArray, hour: int
) -> dict[str, FloatArray]:
    """Measured against forecast, up to the issue."""
    length = len(recent.series)
    measured = recent.daylight_power
    right = Ratio(measured, np.where(power[:length] > 0, power[:length], np.nan))
    # The forecast's index over the intervals that were measured.
    said = Ratio(np.where(np.isfinite(measured), power[:length], np.nan), recent.sky.power[:length])
    day = 24 * hour
    return {
        "weather_power_index_issue": around.over(issue - hour, issue + hour),
        "weather_error_1h": recent.energy.over(issue - hour, issue)
        - said.over(issue - hour, issue),
        "weather_error_3h": recent.energy.over(issue - 3 * hour, issue)
        - said.over(issue - 3 * hour, issue),
        "weather_ratio_24h": right.over(issue - day, issue),
        "weather_ratio_7d": right.over(issue - 7 * day, issue),
    }


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
