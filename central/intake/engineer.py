"""Engineered columns of the processed files: what people and simple trainers want beside raw data.

These are for looking at data and for training straight from a CSV, as the owner's runbook does.
What the shipped models see is built by ``models.features``, which agent and trainer share.

Sun and clear-sky columns hold at the instant the irradiance stands for (see ``weather``). Lags and
rolling statistics look backwards only, never further than the hours they name, and are NaN where
the file has no history; ``ENGINEERED`` lists every column with its unit and meaning.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pvlib
from pandas.api.typing import Rolling

from .sky import Place, mean_clear_ghi, sky_at
from .table import FloatArray
from .weather import Weather

ENGINEERED: dict[str, str] = {
    # the sun
    "solar_zenith": "deg, true, without refraction",
    "solar_elevation": "deg, apparent, with refraction",
    "solar_azimuth": "deg, clockwise from north",
    "cos_zenith": "cosine of the true zenith, 0 at night",
    "solar_hour": "h, true solar time, 0 to 24",
    "relative_airmass": "Kasten-Young 1989, 0 at night",
    "dni_extra": "W/m2, normal irradiance outside the atmosphere",
    "ghi_extra": "W/m2, horizontal irradiance outside the atmosphere",
    "is_daylight": "1 when the sun is above the horizon",
    # the calendar
    "hour_sin": "sine of the solar hour angle over a day",
    "hour_cos": "cosine of the same",
    "day_of_year_sin": "sine of the day over a year",
    "day_of_year_cos": "cosine of the same",
    # the cloudless sky and what clouds left of it
    "ghi_clear": "W/m2, Ineichen-Perez, Linke turbidity; interval mean where the source has means",
    "dni_clear": "W/m2",
    "dhi_clear": "W/m2",
    "clearsky_index": "ghi / ghi_clear, at most 2; 0 when ghi_clear is below 10 W/m2",
    "clearness_index": "ghi / ghi_extra, at most 2; 0 when ghi_extra is below 10 W/m2",
    "diffuse_fraction": "dhi / ghi, at most 1; 0 when ghi is below 1 W/m2",
    "beam_horizontal": "W/m2, dni times cos_zenith",
    "closure_error": "W/m2, ghi - beam_horizontal - dhi",
    # what a plant of the given capacity would do (horizontal, PVWatts temperature coefficient)
    "temp_cell_estimate": "degC, Faiman 2008 with wind (1 m/s where the file has none)",
    "power_estimate": "W, capacity times ghi / 1000 W/m2, -0.35 %/K above 25 degC",
    "power_clear_estimate": "W, the same under the cloudless sky at the same cell temperature rise",
    # the hours before
    "ghi_lag_1h": "W/m2, one hour before",
    "ghi_lag_2h": "W/m2",
    "ghi_lag_3h": "W/m2",
    "ghi_lag_24h": "W/m2",
    "clearsky_index_lag_1h": "one hour before",
    "clearsky_index_lag_24h": "a day before",
    "temp_air_lag_24h": "degC, a day before",
    "ghi_change_1h": "W/m2, against one hour before",
    "temp_air_change_1h": "K, against one hour before",
    "ghi_mean_3h": "W/m2, over the last 3 hours, this row included",
    "ghi_std_3h": "W/m2, population standard deviation over the same",
    "ghi_mean_24h": "W/m2, over the last 24 hours",
    "ghi_max_24h": "W/m2",
    "clearsky_index_mean_24h": "over the last 24 hours, nights counted as 0",
    "temp_air_mean_24h": "degC, over the last 24 hours",
    "temp_air_min_24h": "degC",
    "temp_air_max_24h": "degC",
}
"""Every engineered column, in file order, with unit and meaning."""

_TEMPERATURE_COEFFICIENT = -0.0035  # 1/K, PVWatts version 5 (Dobos, NREL/TP-6A20-62641, 2014)


def engineer(weather: Weather, capacity_w: float) -> pd.DataFrame:
    """The columns of ``ENGINEERED`` for each row of ``weather``, same index.

    ``capacity_w`` is the DC capacity that the power estimates stand for.
    """
    frame, source = weather.frame, weather.source
    instant = pd.DataFrame(_instant_columns(weather, capacity_w), index=frame.index)
    measured = frame[["ghi", "temp_air"]].assign(clearsky_index=instant["clearsky_index"])
    history = _history(measured, source.resolution_minutes)
    return instant.assign(**history)[list(ENGINEERED)]


def _instant_columns(weather: Weather, capacity_w: float) -> dict[str, FloatArray]:
    """Columns that need no other row."""
    frame, source = weather.frame, weather.source
    times = weather.irradiance_times
    place = Place(source.latitude, source.longitude, source.elevation_m)
    sky = sky_at(times, place)
    ghi, dni, dhi, temp_air = (
        frame[name].to_numpy(dtype=np.float64) for name in ("ghi", "dni", "dhi", "temp_air")
    )
    ghi_clear = sky.ghi_clear
    if source.irradiance == "preceding_mean":
        ghi_clear = mean_clear_ghi(times, source.resolution_minutes, place)
    cos_zenith = np.maximum(np.cos(np.radians(sky.zenith)), 0.0)
    ghi_extra = sky.dni_extra * cos_zenith
    airmass = np.asarray(pvlib.atmosphere.get_relative_airmass(sky.apparent_zenith))
    utc_hours = (times - times.normalize()) / pd.Timedelta(hours=1)
    solar_hour = utc_hours.to_numpy(dtype=np.float64) + source.longitude / 15
    solar_hour = np.mod(solar_hour + sky.equation_of_time / 60, 24.0)
    wind = frame["wind_speed"].to_numpy(dtype=np.float64) if "wind_speed" in frame else 1.0
    temp_cell = np.asarray(pvlib.temperature.faiman(ghi, temp_air, wind))
    year_angle = 2 * np.pi * times.dayofyear.to_numpy(dtype=np.float64) / 365.25
    efficiency = 1 + _TEMPERATURE_COEFFICIENT * (temp_cell - 25)
    return {
        "solar_zenith": sky.zenith,
        "solar_elevation": 90 - sky.apparent_zenith,
        "solar_azimuth": sky.azimuth,
        "cos_zenith": cos_zenith,
        "solar_hour": solar_hour,
        "relative_airmass": np.nan_to_num(airmass),
        "dni_extra": sky.dni_extra,
        "ghi_extra": ghi_extra,
        "is_daylight": (sky.apparent_zenith < 90).astype(np.float64),
        "hour_sin": np.sin(2 * np.pi * solar_hour / 24),
        "hour_cos": np.cos(2 * np.pi * solar_hour / 24),
        "day_of_year_sin": np.sin(year_angle),
        "day_of_year_cos": np.cos(year_angle),
        "ghi_clear": ghi_clear,
        "dni_clear": sky.dni_clear,
        "dhi_clear": sky.dhi_clear,
        "clearsky_index": ratio(ghi, ghi_clear, least=10.0, most=2.0),
        "clearness_index": ratio(ghi, ghi_extra, least=10.0, most=2.0),
        "diffuse_fraction": ratio(dhi, ghi, least=1.0, most=1.0),
        "beam_horizontal": dni * cos_zenith,
        "closure_error": ghi - dni * cos_zenith - dhi,
        "temp_cell_estimate": temp_cell,
        "power_estimate": np.maximum(capacity_w * ghi / 1000 * efficiency, 0.0),
        "power_clear_estimate": np.maximum(capacity_w * ghi_clear / 1000 * efficiency, 0.0),
    }


def _history(measured: pd.DataFrame, minutes: int) -> dict[str, pd.Series]:
    """Lags and trailing statistics, on the full grid so that a hole is no short cut."""
    index = pd.DatetimeIndex(measured.index)
    step = pd.Timedelta(minutes=minutes)
    grid = measured.reindex(pd.date_range(index[0], index[-1], freq=step, name=index.name))
    ghi, clearness, temp_air = grid["ghi"], grid["clearsky_index"], grid["temp_air"]
    hour = 60 // minutes
    day = 24 * hour

    def over(series: pd.Series, rows: int) -> Rolling[pd.Series]:
        return series.rolling(rows, min_periods=(rows + 1) // 2)

    columns = {
        "ghi_lag_1h": ghi.shift(hour),
        "ghi_lag_2h": ghi.shift(2 * hour),
        "ghi_lag_3h": ghi.shift(3 * hour),
        "ghi_lag_24h": ghi.shift(day),
        "clearsky_index_lag_1h": clearness.shift(hour),
        "clearsky_index_lag_24h": clearness.shift(day),
        "temp_air_lag_24h": temp_air.shift(day),
        "ghi_change_1h": ghi - ghi.shift(hour),
        "temp_air_change_1h": temp_air - temp_air.shift(hour),
        "ghi_mean_3h": over(ghi, 3 * hour).mean(),
        "ghi_std_3h": over(ghi, 3 * hour).std(ddof=0),
        "ghi_mean_24h": over(ghi, day).mean(),
        "ghi_max_24h": over(ghi, day).max(),
        "clearsky_index_mean_24h": over(clearness, day).mean(),
        "temp_air_mean_24h": over(temp_air, day).mean(),
        "temp_air_min_24h": over(temp_air, day).min(),
        "temp_air_max_24h": over(temp_air, day).max(),
    }
    return {name: series.reindex(index) for name, series in columns.items()}


def ratio(above: FloatArray, below: FloatArray, *, least: float, most: float) -> FloatArray:
    """``above / below`` within [0, most], and 0 where ``below`` is under ``least``."""
    usable = below >= least
    return np.where(usable, np.clip(above / np.where(usable, below, 1.0), 0.0, most), 0.0)
