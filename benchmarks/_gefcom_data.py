"""Reading of the solar track of GEFCom2014, Task 1, into sites and forecast weather.

Decides what the competition's columns mean here. A stamp is the END of an hour in UTC; forecasts
are issued daily at 00 UTC, and what is accumulated starts anew with each of them.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.contract.timestamps import HOUR_MS, Instant
from models.features.site import FloatArray, Site, SiteSeries
from models.features.weather import WeatherSeries

HOURS_PER_DAY = 24
CAPACITY_W = 1000.0
"""Power is given as a share of a capacity that is not told."""
LATITUDE, LONGITUDE = -35.4, 149.1
"""Where the forecast's top radiation and the plants' first and last light put all three plants. The
place told with the data (-37.5, 145) has the sun 16 minutes late."""
FORMS = {"1": (36.0, 38.0), "2": (35.0, 327.0), "3": (21.0, 31.0)}
"""Tilt and azimuth as the competition told them; what holds until the data say otherwise."""
_ACCUMULATED = ("VAR169", "VAR175", "VAR178", "VAR228")


class CompetitionDataError(ValueError):
    """Files that are not the competition's; names file and reason."""


@dataclass(frozen=True, eq=False)
class Zone:
    """One plant: power up to some hour, forecast weather beyond it."""

    name: str
    form: Site
    power: SiteSeries
    weather: WeatherSeries


@dataclass(frozen=True)
class Blank:
    """The quantile file to fill in: its rows as (zone, stamp), and their places in the series."""

    header: list[str]
    rows: list[tuple[str, str]]
    hours: list[int]


def read_zones(folder: Path) -> list[Zone]:
    """The three plants of ``train1.csv.gz`` and ``predictors1.csv.gz``."""
    power = _by_zone(folder / "train1.csv.gz")
    weather = _by_zone(folder / "predictors1.csv.gz")
    zones = []
    for name, columns in weather.items():
        if name not in power or name not in FORMS:
            raise CompetitionDataError(f"{folder}: zone {name} is not one of the competition's")
        start = int(columns["end"][0]) - HOUR_MS
        tilt, azimuth = FORMS[name]
        zones.append(
            Zone(
                name,
                Site(LATITUDE, LONGITUDE, CAPACITY_W, CAPACITY_W, tilt=tilt, azimuth=azimuth),
                SiteSeries(start, power[name]["POWER"] * CAPACITY_W, step_ms=HOUR_MS),
                WeatherSeries(start, _quantities(columns), HOUR_MS),
            )
        )
    return zones


def read_blank(folder: Path, start: Instant) -> Blank:
    """Rows and stamps of the organisers' benchmark, ``benchmark01.csv.gz``."""
    with gzip.open(folder / "benchmark01.csv.gz", "rt", encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        header = next(lines)
        rows = [(line[0], line[1]) for line in lines]
    hours = [(_instant(stamp) - HOUR_MS - start) // HOUR_MS for _, stamp in rows]
    return Blank(header, rows, hours)


def write_quantiles(path: Path, blank: Blank, quantiles: dict[str, FloatArray]) -> None:
    """``quantiles[zone]`` (hours of the series, 99) as a share of capacity, in the blank's rows."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(blank.header)
        for (zone, stamp), hour in zip(blank.rows, blank.hours, strict=True):
            writer.writerow([zone, stamp, *(f"{value:.6f}" for value in quantiles[zone][hour])])


def _by_zone(path: Path) -> dict[str, dict[str, FloatArray]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    names, table = lines[0], lines[1:]
    zones: dict[str, dict[str, FloatArray]] = {}
    for name in dict.fromkeys(line[0] for line in table):
        mine = [line for line in table if line[0] == name]
        ends = np.array([_instant(line[1]) for line in mine], dtype=np.float64)
        if len(ends) > 1 and not (np.diff(ends) == HOUR_MS).all():
            raise CompetitionDataError(f"{path}: zone {name} does not count hour by hour")
        values = np.array([line[2:] for line in mine], dtype=np.float64)
        zones[name] = {"end": ends, **dict(zip(names[2:], values.T, strict=True))}
    return zones


def _instant(stamp: str) -> Instant:
    moment = datetime.strptime(stamp, "%Y%m%d %H:%M").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _quantities(columns: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """ECMWF parameters (Instructions.txt) as the contract's quantities, means over the hour.

    Values told for the end of the hour stand for the hour; the models read their neighbours too.
    """
    hour = {name: _of_the_hour(columns[name], columns["end"]) for name in _ACCUMULATED}
    east, north = columns["VAR165"], columns["VAR166"]
    return {
        "ghi": np.maximum(hour["VAR169"], 0.0) / 3600.0,
        "longwave_down": hour["VAR175"] / 3600.0,
        "precipitation": np.maximum(hour["VAR228"], 0.0) * 1000.0,
        "cloud_cover": columns["VAR164"] * 100.0,
        "cloud_liquid_water": columns["VAR78"],
        "cloud_ice_water": columns["VAR79"],
        "temp_air": columns["VAR167"] - 273.15,
        "relative_humidity": columns["VAR157"],
        "pressure": columns["VAR134"],
        "wind_speed": np.hypot(east, north),
        "wind_direction": np.degrees(np.arctan2(-east, -north)) % 360.0,
    }


def _of_the_hour(values: FloatArray, ends: FloatArray) -> FloatArray:
    """What an accumulated field gained in each hour."""
    gained = np.diff(values, prepend=0.0)
    first = (ends // HOUR_MS) % HOURS_PER_DAY == 1
    return np.where(first, values, gained)
