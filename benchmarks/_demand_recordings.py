"""Recordings of household demand, read into ``DemandSeries``: whatever files and ids are there.

Decides units (all to W), grids (gaps become NaN, empty hours of the UCI file too), and what of a
recording cannot be used, with the reason. What is trained and scored is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.features.demand_history import DAY_MINUTES, DemandSeries
from models.features.site import FloatArray

CLOCK_AHEAD_DAYS = 3
_CIRCUITS = ("Sub_metering_1", "Sub_metering_2", "Sub_metering_3", "sub_metering_4")
_LEAST_DAYS = 7


@dataclass(frozen=True, eq=False)
class Recording:
    """One home. ``times`` are the local starts of the steps of ``series.demand``."""

    name: str
    times: npt.NDArray[np.datetime64]
    series: DemandSeries
    notes: dict[str, Any] = field(default_factory=dict)

    def step_of(self, when: str | np.datetime64) -> int:
        """First step at or after ``when``."""
        return int(np.searchsorted(self.times, np.datetime64(when)))

    def without_circuits(self) -> Recording:
        """The same home with its total demand alone."""
        series = self.series
        alone = DemandSeries(series.demand, series.local_minute, series.step_minutes)
        return Recording(self.name, self.times, alone, self.notes)


@dataclass
class Recordings:
    """What could be read, and what could not."""

    homes: list[Recording] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, frame: pd.DataFrame, minutes: int, **notes: Any) -> None:
        """Add ``frame`` (index of local times; ``demand`` [W] and circuits [W]) on its grid."""
        index = pd.DatetimeIndex(frame.index).round(f"{minutes}min")
        frame = frame.set_axis(index)[index.notna()].sort_index()
        known = frame["demand"].notna()
        repeated = int(frame.index.duplicated().sum())
        frame = frame[np.logical_not(frame.index.duplicated())]
        if known.sum() * minutes < _LEAST_DAYS * DAY_MINUTES:
            self.left_out[name] = f"fewer than {_LEAST_DAYS} days of known demand"
            return
        grid = pd.date_range(frame.index[0], frame.index[-1], freq=f"{minutes}min")
        frame = frame.reindex(grid)
        demand = frame["demand"].to_numpy(dtype=np.float64)
        # A negative or infinite mean power is no consumption.
        wrong = ~np.isfinite(demand) | (demand < 0)
        demand = np.where(wrong, np.nan, demand)
        circuits: FloatArray | None = None
        if len(frame.columns) > 1:
            circuits = frame.drop(columns="demand").to_numpy(dtype=np.float64).T.copy()
        times = grid.to_numpy().astype("datetime64[m]")
        ahead = CLOCK_AHEAD_DAYS * DAY_MINUTES // minutes
        minute = times.astype(np.int64)
        clock = np.concatenate([minute, minute[-1] + minutes * np.arange(1, ahead + 1)])
        notes |= {"unknown_steps": int(np.isnan(demand).sum()), "repeated_times": repeated}
        series = DemandSeries(demand, clock, minutes, circuits=circuits)
        self.homes.append(Recording(name, times, series, notes))


def read_uci(data: Path) -> Recordings:
    """The hourly sums of one French home: mean W, hours without any valid minute unknown."""
    found = Recordings()
    frames = []
    for path in _files(data / "uci-household"):
        frame = pd.read_csv(path, low_memory=False)
        if not {"datetime", "Global_active_power", "Voltage"} <= set(frame.columns):
            found.left_out[path.name] = "not the hourly file (no datetime and Voltage columns)"
            continue
        frames.append(frame)
    if not frames:
        found.left_out.setdefault("uci-household", "no hourly file")
        return found
    frame = pd.concat(frames, ignore_index=True)
    index = pd.DatetimeIndex(pd.to_datetime(frame["datetime"], errors="coerce"))
    empty = (pd.to_numeric(frame["Voltage"], errors="coerce").fillna(0.0) == 0).to_numpy()
    columns = {"demand": _number(frame["Global_active_power"]) * (1000.0 / 60.0)}
    # Watt-hours of an hour are mean W.
    columns |= {name: _number(frame[name]) for name in _CIRCUITS if name in frame}
    table = pd.DataFrame(columns)
    table.loc[empty] = np.nan
    years = index.year.to_numpy()
    by_year = {str(year): int(empty[years == year].sum()) for year in np.unique(years)}
    found.add("uci", table.set_index(index), 60, empty_hours_by_year=by_year)
    return found


def read_sgsc(data: Path) -> Recordings:
    """Homes of the Smart Grid Smart City trial: kWh per half hour."""
    found = Recordings()
    frames = [pd.read_csv(path) for path in _files(data / "sgsc-households")]
    frames = [frame for frame in frames if "customer_id" in frame and "reading_datetime" in frame]
    if not frames:
        found.left_out["sgsc-households"] = "no file with customer_id and reading_datetime"
        return found
    frame = pd.concat(frames, ignore_index=True)
    frame["time"] = pd.to_datetime(frame["reading_datetime"], errors="coerce")
    frame["demand"] = _number(frame["general_supply_kwh"]) * 2000.0
    for customer, group in frame.groupby("customer_id"):
        found.add(f"sgsc-{customer}", group.set_index("time")[["demand"]], 30)
    return found


def read_others(data: Path) -> Recordings:
    """Single homes from elsewhere, as further rows."""
    found = Recordings()
    readers: dict[str, Callable[[Path, Recordings], None]] = {
        "ausgrid-solarhome": _read_ausgrid,
        "melbourne-household": _read_melbourne,
        "fontana-homes": _read_fontana,
    }
    for folder, reader in readers.items():
        try:
            reader(data / folder, found)
        except (OSError, KeyError, ValueError) as error:
            found.left_out[folder] = f"cannot be read: {error}"
    return found


def _read_ausgrid(folder: Path, found: Recordings) -> None:
    for path in _files(folder):
        frame = pd.read_csv(path)
        table = pd.DataFrame({"demand": _number(frame["GC"]) * 1000.0})
        found.add(f"ausgrid-{path.name.split('_')[0]}", _at(table, frame["datetime"]), 30)


def _read_melbourne(folder: Path, found: Recordings) -> None:
    for path in _files(folder):
        frame = pd.read_csv(path)
        table = pd.DataFrame({"demand": _number(frame["ProfileReadValue"]) * 2000.0})
        found.add("melbourne", _at(table, frame["StartDate"], "%d/%m/%y %H:%M"), 30)


def _read_fontana(folder: Path, found: Recordings) -> None:
    for path in sorted(folder.glob("Building_*.csv")):
        frame = pd.read_csv(path)
        table = pd.DataFrame({"demand": _number(frame["non_shiftable_load"]) * 1000.0})
        # The file has no year; its first row is the last hour of July 2016.
        table.index = pd.date_range("2016-07-31 23:00", periods=len(table), freq="h")
        found.add(f"fontana-{path.stem}", table, 60)


def _files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.csv.gz"), *folder.glob("*.csv")])


def _number(column: pd.Series[Any]) -> pd.Series[Any]:
    return pd.to_numeric(column, errors="coerce")


def _at(table: pd.DataFrame, times: pd.Series[Any], form: str | None = None) -> pd.DataFrame:
    return table.set_index(pd.DatetimeIndex(pd.to_datetime(times, format=form, errors="coerce")))
