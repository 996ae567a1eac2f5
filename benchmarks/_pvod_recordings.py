"""PVOD plants for ``benchmarks.pvod``: files into sites, measurements and forecast weather.

Decides what is believed: the grid (a stamp that comes twice counts once, a gap is NaN), sensors
frozen for hours by day, irradiance that no sky gives. Power is left as recorded, because it is what
is scored. Reads whatever ``station*.csv`` or ``.csv.gz`` and ``metadata.csv`` lie in a folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from models.contract.timestamps import DAY_MS, STEP_MS, Instant
from models.features.site import FloatArray, Site, SiteSeries
from models.features.weather import WeatherSeries

_MOST_IRRADIANCE = 2000.0
"""W/m2; the pyranometers end there. Less is left to the models: one plant reads 1.4 times high."""
_FROZEN_STEPS = 12
"""So many equal readings above zero on end are a stuck sensor: three hours."""
_HPA = 100.0


class RecordingError(ValueError):
    """A folder or file that holds no usable plant; says which and why."""


@dataclass(frozen=True, eq=False)
class Plant:
    """One station: what was declared, measured, and forecast of the weather."""

    name: str
    declared: Site
    series: SiteSeries
    weather: WeatherSeries | None

    def before(self, instant: Instant) -> SiteSeries:
        """What had been measured before ``instant``."""
        return self.series.window(0, max(0, min(len(self.series), self.series.index(instant))))


def read_plants(folder: Path) -> list[Plant]:
    """Every station of ``folder``, or of its subfolder ``pvod``. Raises ``RecordingError``."""
    where = folder / "pvod" if (folder / "pvod" / "metadata.csv").exists() else folder
    if not (where / "metadata.csv").exists():
        raise RecordingError(f"{folder}: no metadata.csv here or in pvod/; --data names the folder")
    try:
        stations = pd.read_csv(where / "metadata.csv", encoding="utf-8-sig").set_index("Station_ID")
    except (KeyError, ValueError) as error:
        raise RecordingError(f"{where / 'metadata.csv'}: {error}") from None
    files: dict[str, list[Path]] = {}
    for path in sorted(where.glob("station*.csv*")):
        if found := re.match(r"(station\d+)", path.name):
            files.setdefault(found[1], []).append(path)
    if not files:
        raise RecordingError(f"{where}: no file station*.csv or station*.csv.gz")
    return [_plant(name, paths, stations) for name, paths in files.items()]


def _plant(name: str, paths: list[Path], stations: pd.DataFrame) -> Plant:
    if name not in stations.index:
        raise RecordingError(f"{name}: not in metadata.csv, so its place is not known")
    parts = [pd.read_csv(path, parse_dates=["date_time"]) for path in paths]
    table = pd.concat(parts).drop_duplicates("date_time").set_index("date_time").sort_index()
    if "power" not in table or not len(table):
        raise RecordingError(f"{paths[0]}: no column power, or no row")
    table = table.asfreq(f"{STEP_MS // 60_000}min")
    start = int(table.index[0].timestamp() * 1000)
    row = {str(key): str(value) for key, value in stations.loc[name].items()}
    capacity = float(row["Capacity"]) * 1000.0
    tilt = re.search(r"\d+(\.\d+)?", row["Array_Tilt"])
    declared = Site(
        latitude=float(row["Latitude"]),
        longitude=float(row["Longitude"]),
        dc_capacity_w=capacity,
        ac_capacity_w=capacity,
        tilt=float(tilt[0]) if tilt else 30.0,
        azimuth=180.0,
        elevation=_height(table),
    )
    series = SiteSeries(
        start,
        _column(table, "power") * 1e6,
        temp_air=_sensor(table, "lmd_temperature"),
        ghi=_irradiance(table, "lmd_totalirrad"),
        dhi=_irradiance(table, "lmd_diffuseirrad"),
    )
    return Plant(name, declared, series, _weather(table, start))


def _weather(table: pd.DataFrame, start: Instant) -> WeatherSeries | None:
    """The forecast; its direct irradiance is on the horizontal (never above the global)."""
    if "nwp_globalirrad" not in table:
        return None
    ghi = _column(table, "nwp_globalirrad")
    values = {
        "ghi": ghi,
        "dhi": np.maximum(ghi - _column(table, "nwp_directirrad"), 0.0),
        "temp_air": _column(table, "nwp_temperature"),
        "relative_humidity": _column(table, "nwp_humidity"),
        "wind_speed": _column(table, "nwp_windspeed"),
        "wind_direction": _column(table, "nwp_winddirection"),
        "pressure": _column(table, "nwp_pressure") * _HPA,
    }
    return WeatherSeries(start, values)


def _column(table: pd.DataFrame, name: str) -> FloatArray:
    if name not in table:
        return np.full(len(table), np.nan)
    return pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64, copy=True)


def _sensor(table: pd.DataFrame, name: str) -> FloatArray:
    values = _column(table, name)
    values[_frozen(values)] = np.nan
    return values


def _irradiance(table: pd.DataFrame, name: str) -> FloatArray:
    values = _sensor(table, name)
    values[(values < -20.0) | (values > _MOST_IRRADIANCE)] = np.nan
    return values


def _frozen(values: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Where a reading above zero has stood still for ``_FROZEN_STEPS``, the run's end included.

    The first readings of a run are kept: at their time nobody could know.
    """
    changed = np.flatnonzero(np.diff(values, prepend=np.nan) != 0.0)
    run_start = np.zeros(len(values), dtype=np.int64)
    run_start[changed] = changed
    age = np.arange(len(values)) - np.maximum.accumulate(run_start)
    return np.asarray((age >= _FROZEN_STEPS) & (values != 0.0))


def _height(table: pd.DataFrame) -> float:
    """Metres above the sea by the mean pressure, as the standard atmosphere has it."""
    for name in ("lmd_pressure", "nwp_pressure"):
        mean = float(np.nanmedian(_column(table.iloc[: 30 * DAY_MS // STEP_MS], name)))
        if 500.0 < mean < 1100.0:
            return float(np.clip(44_330.0 * (1.0 - (mean / 1013.25) ** 0.1903), -400.0, 6000.0))
    return 0.0
