"""Engineered columns of tables: photovoltaic power, meters, weather; for people and trainers.

What the shipped models see is built by ``models.features``; these are the columns of the processed
files. All look backwards only (``history``). Names say quantity, statistic, span and unit; the
manual (docs/operations/intake.md) lists them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from .engineer import ratio
from .history import LONGEST_HOURS, Past, calendar, completed
from .known_columns import BY_NAME
from .series import Series, SeriesSource
from .sky import Place, sky_at
from .table import BoolArray, FloatArray

_BLOCK_ROWS = 100_000
_WEEK = tuple(range(1, 8))
_FOUR_WEEKS = (7, 14, 21, 28)
_FORTNIGHT = tuple(range(1, 15))


def engineered_blocks(
    series: Series, kept: BoolArray, source: SeriesSource, capacity_kw: float
) -> Iterator[tuple[slice, pd.DataFrame]]:
    """Engineered columns for the grid rows of ``series``, block by block in order.

    Rows that are not ``kept`` count as missing.
    """
    overlap = LONGEST_HOURS * 3600 // series.step_seconds
    size = series.present.size
    for start in range(0, size, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, size)
        first = max(0, start - overlap)
        frame = pd.DataFrame(
            {
                name: np.where(kept[first:stop], values[first:stop], np.nan)
                for name, values in series.columns.items()
            },
            index=series.index[first:stop],
        )
        make = {"solar": _solar, "meter": _meter, "weather": _weather}[source.kind]
        columns = make(frame, source, series.step_seconds, capacity_kw)
        yield slice(start, stop), columns.iloc[start - first :]


def _local(index: pd.DatetimeIndex, source: SeriesSource) -> pd.DatetimeIndex:
    """The file's own clock."""
    return index + pd.Timedelta(hours=source.clock_offset_hours or 0.0)


def _past(frame: pd.DataFrame, name: str, step: int) -> Past:
    """``active_power_kw`` becomes the stem ``active_power`` with unit ``kw``."""
    stem, _, unit = name.rpartition("_")
    return Past(stem, "" if unit == "normalized" else unit, frame[name], step)


def _instants(frame: pd.DataFrame, columns: dict[str, FloatArray | pd.Series]) -> pd.DataFrame:
    return pd.DataFrame(columns, index=frame.index)


def _solar(
    frame: pd.DataFrame, source: SeriesSource, step: int, capacity_kw: float
) -> pd.DataFrame:
    power = _past(frame, source.main, step)
    values = power.values
    now = calendar(_local(pd.DatetimeIndex(frame.index), source))
    for name in ("day_of_week", "day_of_week_sin", "day_of_week_cos", "is_weekend"):
        del now[name]
    history = {
        **power.last(),
        **power.lags((1, 2, 3, 24, 48, 72)),
        **power.changes((1, 24)),
        **power.rolling(1, ("mean",)),
        **power.rolling(3, ("mean", "std", "max")),
        **power.rolling(24, ("mean", "std", "max")),
        **power.rolling(168, ("mean", "max")),
        **power.same_slot(_WEEK, "same_slot_7d", ("mean", "std", "min", "max")),
        **power.same_slot(_FORTNIGHT, "same_slot_14d", ("mean", "max")),
    }
    best = history[power.called("same_slot_14d_max")]
    top = values.rolling(power.rows(14 * 24), min_periods=1).max()
    # What clouds left of the best of the fortnight at this time of day.
    index = pd.Series(
        ratio(values.to_numpy(), best.fillna(0.0).to_numpy(), least=1e-9, most=2.0),
        index=frame.index,
    ).where(best.notna())
    clear = Past("clear_index", "", index, step)
    history |= {
        "clear_index": index,
        **clear.lags((1, 24)),
        **clear.rolling(3, ("mean", "std")),
        "ratio_to_top_14d": values / top.where(top > 0),
        "daylight_ratio_14d": best / top.where(top > 0),
    }
    if BY_NAME[source.main].unit == "kW":
        now["capacity_factor"] = values.to_numpy() / capacity_kw
    columns = completed(history, values, step)
    if "dc_power_kw" in frame and source.main == "ac_power_kw":
        dc = frame["dc_power_kw"].to_numpy()
        now["conversion_ratio"] = ratio(values.to_numpy(), dc, least=1e-3, most=2.0)
    return pd.concat(
        [_instants(frame, {**now, **_sun(frame, source)}), columns], axis="columns", sort=False
    )


def _meter(
    frame: pd.DataFrame, source: SeriesSource, step: int, capacity_kw: float
) -> pd.DataFrame:
    load = _past(frame, source.main, step)
    values = load.values
    local = _local(pd.DatetimeIndex(frame.index), source)
    now: dict[str, FloatArray | pd.Series] = {**calendar(local)}
    hour, weekend = now["hour"], now["is_weekend"]
    now["is_night"] = np.asarray((hour < 6) | (hour >= 22), dtype=np.float64)
    now["is_working_time"] = np.asarray(
        (hour >= 8) & (hour < 18) & (weekend == 0), dtype=np.float64
    )
    history = {
        **load.last(),
        **load.lags((1, 2, 3, 6, 12, 24, 48, 168)),
        **load.changes((1, 24, 168)),
        **load.rolling(3, ("mean", "std", "min", "max")),
        **load.rolling(24, ("mean", "std", "min", "max")),
        **load.rolling(168, ("mean", "max")),
        **load.same_slot(_WEEK, "same_slot_7d", ("mean", "std", "min", "max")),
        **load.same_slot(_FOUR_WEEKS, "same_weekday_4w", ("mean", "min", "max")),
    }
    peak = history[load.called("max_24h")]
    history["load_factor_24h"] = history[load.called("mean_24h")] / peak.where(peak != 0)
    history["ratio_to_peak_24h"] = values / peak.where(peak != 0)
    now |= _electrical(frame)
    for name in ("voltage_v", "frequency_hz", "current_a"):
        if name in frame and name != source.main:
            past = _past(frame, name, step)
            history |= past.rolling(24, ("mean",))
            usual = history[past.called("mean_24h")]
            history[past.called("deviation_24h")] = past.values - usual
            history[past.called("mean_24h")] = usual.fillna(past.values)
    if source.main == "active_power_kw":
        now["share_of_capacity"] = values.to_numpy() / capacity_kw
    return pd.concat(
        [_instants(frame, now), completed(history, values, step)], axis="columns", sort=False
    )


def _electrical(frame: pd.DataFrame) -> dict[str, FloatArray | pd.Series]:
    """Apparent power and what follows; from active and reactive power, else from volts and amps."""
    found: dict[str, FloatArray | pd.Series] = {}
    if "voltage_v" in frame and "current_a" in frame:
        found["volt_amperes_kva"] = (frame["voltage_v"] * frame["current_a"]).abs() / 1000.0
    if "active_power_kw" not in frame:
        return found
    active = frame["active_power_kw"].to_numpy()
    if "reactive_power_kvar" in frame:
        reactive = frame["reactive_power_kvar"].to_numpy()
        apparent = np.hypot(active, reactive)
        found["apparent_power_calculated_kva"] = apparent
        found["power_factor_calculated"] = np.where(
            apparent > 1e-9, active / np.maximum(apparent, 1e-9), 1.0
        )
        found["reactive_share"] = ratio(np.abs(reactive), np.abs(active), least=1e-3, most=10.0)
    return found


def _weather(
    frame: pd.DataFrame, source: SeriesSource, step: int, capacity_kw: float
) -> pd.DataFrame:
    now: dict[str, FloatArray | pd.Series] = {
        **calendar(_local(pd.DatetimeIndex(frame.index), source)),
        **_sun(frame, source),
    }
    history: dict[str, pd.Series] = {}
    whole: pd.Series | None = None
    for name in _followed(frame):
        past = _past(frame, name, step)
        own = {
            **past.last(),
            **past.lags((1, 3, 24)),
            **past.changes((1, 3, 24)),
            **past.rolling(3, ("mean", "std")),
            **past.rolling(24, ("mean", "std", "min", "max")),
            **past.same_slot(_WEEK, "same_slot_7d", ("mean", "std")),
        }
        filled = completed(own, past.values, step)
        complete = filled.pop("history_complete")
        history |= {str(column): filled[column] for column in filled}
        whole = complete if whole is None else whole.where(whole <= complete, complete)
    if whole is not None:
        history["history_complete"] = whole
    now |= _air(frame)
    return pd.concat([_instants(frame, now), pd.DataFrame(history)], axis="columns", sort=False)


def _followed(frame: pd.DataFrame) -> list[str]:
    """The columns whose past is told: what matters to a plant, and at least one."""
    wanted = ("ghi_wm2", "poa_wm2", "temperature_c", "humidity_percent", "wind_speed_ms",
              "pressure_mb", "cloud_cover_percent", "module_temperature_c")  # fmt: skip
    return [name for name in wanted if name in frame]


def _air(frame: pd.DataFrame) -> dict[str, FloatArray]:
    """What follows from temperature, humidity, wind and pressure at one instant."""
    found: dict[str, FloatArray] = {}
    columns = {str(name): frame[name].to_numpy(dtype=np.float64) for name in frame}
    if "temperature_c" in columns:
        warm = columns["temperature_c"]
        found["heating_kelvin"] = np.maximum(18.0 - warm, 0.0)
        found["cooling_kelvin"] = np.maximum(warm - 22.0, 0.0)
        saturation = 6.112 * np.exp(17.62 * warm / (243.12 + warm))  # hPa, Magnus (WMO 2008)
        if "humidity_percent" in columns:
            share = np.clip(columns["humidity_percent"] / 100.0, 0.01, 1.0)
            logarithm = np.log(share) + 17.62 * warm / (243.12 + warm)
            found["dew_point_calculated_c"] = 243.12 * logarithm / (17.62 - logarithm)
            found["vapour_pressure_hpa"] = share * saturation
            found["vapour_pressure_deficit_hpa"] = (1 - share) * saturation
        if "pressure_mb" in columns:
            found["air_density_kgm3"] = 100 * columns["pressure_mb"] / (287.05 * (warm + 273.15))
    if "wind_speed_ms" in columns and "wind_direction_deg" in columns:
        angle = np.radians(columns["wind_direction_deg"])
        found["wind_east_ms"] = -columns["wind_speed_ms"] * np.sin(angle)
        found["wind_north_ms"] = -columns["wind_speed_ms"] * np.cos(angle)
    if "ghi_wm2" in columns and "ghi_clear_wm2" in columns:
        found["clearsky_index"] = ratio(
            columns["ghi_wm2"], columns["ghi_clear_wm2"], least=10.0, most=2.0
        )
    if "ghi_wm2" in columns and "dhi_wm2" in columns:
        found["diffuse_fraction"] = ratio(
            columns["dhi_wm2"], columns["ghi_wm2"], least=1.0, most=1.0
        )
    if "module_temperature_c" in columns and "temperature_c" in columns:
        found["module_above_air_k"] = columns["module_temperature_c"] - columns["temperature_c"]
    return found


def _sun(frame: pd.DataFrame, source: SeriesSource) -> dict[str, FloatArray | pd.Series]:
    """Sun and cloudless sky, where place and clock are known."""
    if source.latitude is None or source.longitude is None or source.clock != "utc":
        return {}
    place = Place(source.latitude, source.longitude, source.elevation_m)
    sky = sky_at(pd.DatetimeIndex(frame.index).tz_localize("UTC"), place)
    return {
        "solar_zenith": sky.zenith,
        "solar_elevation": 90 - sky.apparent_zenith,
        "solar_azimuth": sky.azimuth,
        "cos_zenith": np.maximum(np.cos(np.radians(sky.zenith)), 0.0),
        "ghi_clear_calculated_wm2": sky.ghi_clear,
        "dni_clear_calculated_wm2": sky.dni_clear,
        "dhi_clear_calculated_wm2": sky.dhi_clear,
    }
