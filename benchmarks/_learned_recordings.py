"""Plants with known orientation, recorded and simulated, for ``benchmarks.learned_site``.

A simulated plant is the chain of ``central.site_series`` (pvlib's models) under recorded weather:
another model than the one that learns, so that what is learned is not what was assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from central.intake.read import read_weather
from central.site_series.plant import plant_at
from central.site_series.series import compute_site_series, history_intervals
from models.contract.timestamps import HOUR_MS, STEP_MS
from models.features.site import FloatArray, Site, SiteSeries
from models.features.solar_geometry import solar_position

FORT_COLLINS = "nsrdb_psm3_40.53_-105.06_2018_30min.csv.gz"
NEW_JERSEY = "nsrdb_psm3_39.77_-74.22_2013_60min.csv"


@dataclass(frozen=True)
class Plant:
    """What was declared, what is true as far as it is known, and what was measured."""

    name: str
    declared: Site
    series: SiteSeries
    tilt: float | None = None
    azimuth: float | None = None
    two_planes: bool = False


def recorded(data: Path) -> list[Plant]:
    """Every recording whose place is known, declared with the usual guess of an installer."""
    return [*_gefcom(data), *_golden(data), *_pvod(data), _sma(data)]


def simulated(
    data: Path,
    weather: str,
    faces: tuple[tuple[float, float], ...],
    *,
    dc_capacity_w: float = 6000.0,
    ac_capacity_w: float = 9000.0,
) -> tuple[Site, SiteSeries]:
    """A plant under recorded weather: its true form, and a year of it.

    ``faces``: tilt and azimuth of the planes, which share the size equally.
    """
    source = read_weather(data / "nsrdb" / weather)
    total: FloatArray | float = 0.0
    for tilt, azimuth in faces:
        plant = plant_at(
            source.source,
            dc_capacity_w=dc_capacity_w / len(faces),
            ac_capacity_w=ac_capacity_w / len(faces),
            tilt=tilt,
            azimuth=azimuth,
        )
        history = history_intervals(compute_site_series(source, plant))
        total = total + history["ac_power"].to_numpy(dtype=np.float64)
    start = int(history["timestamp"].iloc[0].timestamp() * 1000)
    form = Site(
        plant.latitude,
        plant.longitude,
        dc_capacity_w,
        ac_capacity_w,
        *faces[0],
        elevation=plant.elevation_m,
    )
    return form, SiteSeries(
        start, np.asarray(total), temp_air=history["temp_air"].to_numpy(dtype=np.float64)
    )


def behind_a_chimney(
    form: Site, series: SiteSeries, azimuths: tuple[float, float], below: float, left: float
) -> SiteSeries:
    """The same with a share ``left`` of the power while the sun stands behind something."""
    middles = series.start + STEP_MS // 2 + np.arange(len(series), dtype=np.int64) * STEP_MS
    sun = solar_position(middles, form.latitude, form.longitude)
    hidden = (sun.azimuth > azimuths[0]) & (sun.azimuth < azimuths[1]) & (sun.elevation < below)
    return replace(series, ac_power=np.where(hidden, left, 1.0) * series.ac_power)


def invented(data: Path) -> list[Plant]:
    """Simulated plants with wrong forms."""
    result = []
    for weather, place in ((FORT_COLLINS, "Colorado"), (NEW_JERSEY, "New Jersey")):
        for tilt, azimuth in ((30.0, 180.0), (30.0, 90.0), (20.0, 270.0)):
            form, series = simulated(data, weather, ((tilt, azimuth),))
            wrong = replace(form, azimuth=(azimuth + 90.0) % 360.0, dc_capacity_w=9000.0)
            name = f"{place} {azimuth:.0f}/{tilt:.0f}"
            result.append(Plant(f"{name}, form right", form, series, tilt, azimuth))
            result.append(Plant(f"{name}, form +90 deg, x1.5", wrong, series, tilt, azimuth))
        form, series = simulated(data, weather, ((35.0, 200.0),), ac_capacity_w=4200.0)
        unaware = replace(form, ac_capacity_w=6000.0)
        result.append(Plant(f"{place} 200/35, clips at 4200 W", unaware, series, 35.0, 200.0))
        form, series = simulated(data, weather, ((30.0, 180.0),))
        shaded = behind_a_chimney(form, series, (120.0, 150.0), below=35.0, left=0.3)
        result.append(Plant(f"{place} 180/30, chimney", form, shaded, 30.0, 180.0))
        form, series = simulated(data, weather, ((25.0, 90.0), (25.0, 270.0)))
        south = replace(form, tilt=30.0, azimuth=180.0)
        result.append(Plant(f"{place} 90+270/25, form south", south, series, two_planes=True))
    return result


def _gridded(stamps: pd.Series, values: pd.Series, minutes: int) -> SiteSeries:
    """Means over the intervals of a grid, NaN where there is nothing."""
    means = pd.Series(values.to_numpy(dtype=np.float64), index=pd.DatetimeIndex(stamps))
    means = means.resample(f"{minutes}min").mean()
    start = int(means.index[0].timestamp() * 1000)
    return SiteSeries(start, means.to_numpy(), step_ms=minutes * 60_000)


def _gefcom(data: Path) -> list[Plant]:
    table = pd.read_csv(data / "gefcom2014-solar" / "train1.csv.gz")
    result = []
    for zone, (azimuth, tilt) in {1: (38, 36), 2: (327, 35), 3: (31, 21)}.items():
        rows = table[table["ZONEID"] == zone]
        ends = pd.to_datetime(rows["TIMESTAMP"], format="%Y%m%d %H:%M", utc=True)
        series = _gridded(ends - pd.Timedelta(milliseconds=HOUR_MS), rows["POWER"], 60)
        # Not where it is said to be (-37.5, 145): power begins and ends with the sun of Canberra.
        form = Site(-35.3, 149.1, 1.0, 1.0, tilt=20.0, azimuth=0.0, elevation=600.0)
        result.append(Plant(f"GEFCom zone {zone}", form, series, tilt, azimuth))
    return result


def _golden(data: Path) -> list[Plant]:
    table = pd.read_csv(data / "pvdaq-50" / "ac_power_15min_2011-2012.csv.gz")
    stamps = pd.to_datetime(table["measured_on"], utc=True)
    local = pd.DatetimeIndex(stamps).tz_convert("America/Denver")
    summer = pd.Series(
        [pd.Timedelta(stamp.dst() or timedelta()) for stamp in local], index=stamps.index
    )
    roof = pd.read_csv(data / "nrel-pv-quality" / "serf_east_15min_ac_power.csv.gz")
    form = Site(39.7406, -105.1775, 4000.0, 4000.0, tilt=30.0, azimuth=180.0, elevation=1800.0)
    right = _gridded(stamps - summer, table["ac_power_2"], 15)
    ahead = _gridded(stamps, table["ac_power_2"], 15)
    ahead = ahead.window(0, 180 * 96)  # a summer of the clock as it was
    east = _gridded(pd.to_datetime(roof["measured_on"], utc=True), roof["ac_power"], 15)
    large = replace(form, dc_capacity_w=6000.0, ac_capacity_w=6000.0)
    return [
        Plant("PVDAQ 50, clock put right", form, right, 45.0, 158.0),
        Plant("PVDAQ 50, clock an hour ahead", form, ahead, 45.0, 158.0),
        Plant("SERF East", large, east, 45.0, 158.0),
    ]


def _pvod(data: Path) -> list[Plant]:
    stations = pd.read_csv(data / "pvod" / "metadata.csv", encoding="utf-8-sig")
    stations = stations.set_index("Station_ID")
    result = []
    columns = ("Latitude", "Longitude", "Capacity")
    for file in sorted((data / "pvod").glob("station*_to_*.csv.gz")):
        name = file.name[:9]
        latitude, longitude, kilowatts = (float(str(stations.at[name, c])) for c in columns)
        tilt = float("".join(c for c in str(stations.at[name, "Array_Tilt"]) if c.isdigit()))
        size = kilowatts * 1e3
        table = pd.read_csv(file, usecols=["date_time", "power"])
        series = _gridded(pd.to_datetime(table["date_time"], utc=True), table["power"] * 1e6, 15)
        form = Site(latitude, longitude, size, size, tilt=tilt, azimuth=180.0)
        result.append(Plant(f"PVOD {name}", form, series, tilt, 180.0))
    return result


def _sma(data: Path) -> Plant:
    table = pd.read_csv(data / "rooftop-5min" / "TAEFC1044741_sma_7kw.csv.gz")
    table = table[table["meas_val_f"] > -10.0]  # a sentinel
    series = _gridded(pd.to_datetime(table["ts"], utc=True), table["meas_val_f"] * 1000.0, 15)
    # Somewhere in North America: the place fits the sun's noon, not more.
    form = Site(37.5, -122.0, 7000.0, 7000.0, tilt=20.0, azimuth=180.0)
    return Plant("SMA 7 kW (place guessed)", form, series)
