"""What the household uses: a synthetic shape, or a recorded household replayed.

The synthetic shape is invented to look like a home (a base, a morning and an evening peak, later
and fuller weekends, noise that lasts about an hour) and is labelled synthetic wherever it is shown;
no demand result counts that was scored on it. A recording is replayed by local clock and weekday.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from central.intake.source_text import read_text
from central.intake.table import FloatArray, parse_table, split_header

from .plant import SiteSeriesError

_HALF_HOURS_PER_WEEK = 7 * 48


class Household(Protocol):
    """Something that uses power."""

    @property
    def label(self) -> str:
        """``synthetic``, or the name of the recording."""
        ...

    def load_power(self, local: pd.DatetimeIndex) -> FloatArray:
        """Power used [W], consumption positive, at ``local`` standard time (regular, no zone)."""
        ...


@dataclass(frozen=True)
class SyntheticHousehold:
    """The invented shape, the same for the same seed and times."""

    annual_energy_wh: float = 3.5e6
    """Wh per year; 3500 kWh is a European home of three."""
    seed: int = 1
    label: str = "synthetic"

    def __post_init__(self) -> None:
        if not 0 < self.annual_energy_wh < 1e12:
            raise SiteSeriesError(f"annual_energy_wh must be above 0, not {self.annual_energy_wh}")

    def load_power(self, local: pd.DatetimeIndex) -> FloatArray:
        hour = local.hour.to_numpy(dtype=np.float64) + local.minute.to_numpy(dtype=np.float64) / 60
        weekend = np.asarray(local.dayofweek >= 5)
        shape = np.where(weekend, _rest_day(hour), _workday(hour))
        day = np.arange(0.0, 24.0, 0.25)
        mean = (5 * _workday(day).mean() + 2 * _rest_day(day).mean()) / 7
        power = shape / mean * self.annual_energy_wh / 8760.0 * self._noise(local)
        return np.asarray(power, dtype=np.float64)

    def _noise(self, local: pd.DatetimeIndex) -> FloatArray:
        """Factors with mean 1 that forget themselves in about an hour."""
        steps = max(local.size, 2)
        spacing = (local[1] - local[0]) / pd.Timedelta(hours=1) if local.size > 1 else 0.25
        keep, sigma = float(np.exp(-spacing)), 0.35
        shocks = np.random.default_rng(self.seed).normal(size=steps)
        shocks[1:] *= np.sqrt(1.0 - keep**2)
        state = np.empty(steps)
        level = 0.0
        for step, shock in enumerate(shocks):
            level = keep * level + shock
            state[step] = level
        return np.asarray(np.exp(sigma * state - sigma**2 / 2)[: local.size])


@dataclass(frozen=True)
class RecordedHousehold:
    """Half-hourly means, repeated every whole number of weeks so that weekdays stay weekdays."""

    label: str
    start: pd.Timestamp
    """Local time of the first value, without a zone."""
    power: FloatArray
    """Mean power of each half hour [W]; a whole number of weeks."""

    def load_power(self, local: pd.DatetimeIndex) -> FloatArray:
        minutes = (local - self.start) // pd.Timedelta(minutes=30)
        slots = np.mod(minutes.to_numpy(dtype=np.int64), self.power.size)
        return np.asarray(self.power[slots], dtype=np.float64)


def read_household(path: Path) -> RecordedHousehold:
    """Read a smart-meter export: ``StartDate`` (d/m/yy H:MM, local) and ``ProfileReadValue`` (kWh
    per half hour).

    Missing half hours take the value of a week before (else after). Needs at least one week.

    Raises:
        IntakeError: the file cannot be read.
        SiteSeriesError: the header lacks a column, or there is less than a week.
    """
    text = read_text(path)
    header = split_header(text, 1)
    for name in ("StartDate", "ProfileReadValue"):
        if name not in header:
            raise SiteSeriesError(
                f"{text.file}:1: the header lacks {name}; a household recording has StartDate "
                f"(d/m/yy H:MM) and ProfileReadValue (kWh per half hour)"
            )
    table = parse_table(text, 1, ["ProfileReadValue"], ["StartDate"])
    stamps = _local_times(table.texts["StartDate"])
    energy = table.numbers["ProfileReadValue"]
    usable = table.ledger.alive & ~np.isnat(stamps) & (energy >= 0)
    step = np.timedelta64(30, "m")
    if not usable.any():
        raise SiteSeriesError(
            f"{text.file}:2: no row has a readable StartDate and value; check both"
        )
    start = stamps[usable].min()
    slot = ((stamps - start) // step).astype(np.int64)
    weeks = (int(slot[usable].max()) + 1) // _HALF_HOURS_PER_WEEK
    if weeks < 1:
        raise SiteSeriesError(
            f"{text.file}: holds less than one week; a household recording needs whole weeks"
        )
    inside = usable & (slot < weeks * _HALF_HOURS_PER_WEEK)
    power = np.full(weeks * _HALF_HOURS_PER_WEEK, np.nan)
    power[slot[inside]] = energy[inside] * 1000.0 / 0.5  # kWh in half an hour -> W
    by_week = pd.DataFrame(power.reshape(weeks, _HALF_HOURS_PER_WEEK)).ffill().bfill()
    filled = by_week.to_numpy(dtype=np.float64).ravel()
    if np.isnan(filled).any():
        raise SiteSeriesError(
            f"{text.file}: some half hour of the week has no value in any week; "
            f"use a longer recording"
        )
    return RecordedHousehold(label=text.file, start=pd.Timestamp(start), power=filled)


_STAMP = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2}|\d{4}) (\d{1,2}):(\d{2})")


def _local_times(cells: Sequence[str]) -> npt.NDArray[np.datetime64]:
    """``d/m/yy H:MM`` as datetime64[m]; NaT where a cell is no such time."""
    iso = []
    for cell in cells:
        match = _STAMP.fullmatch(cell)
        if match is None:
            iso.append("NaT")
            continue
        day, month, year, hour, minute = (int(part) for part in match.groups())
        year += 2000 if year < 100 else 0
        iso.append(f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}")
    parsed = pd.to_datetime(pd.Series(iso), format="%Y-%m-%dT%H:%M", errors="coerce")
    return parsed.to_numpy(dtype="datetime64[m]")


def _workday(hour: FloatArray) -> FloatArray:
    early, noon, late = _peak(hour, 7.2, 0.9), _peak(hour, 12.5, 1.5), _peak(hour, 19.3, 1.8)
    return np.asarray(0.35 + 0.9 * early + 0.15 * noon + 1.7 * late, dtype=np.float64)


def _rest_day(hour: FloatArray) -> FloatArray:
    early, noon, late = _peak(hour, 9.3, 1.4), _peak(hour, 13.0, 2.0), _peak(hour, 19.0, 2.0)
    return np.asarray(0.35 + 0.7 * early + 0.6 * noon + 1.5 * late, dtype=np.float64)


def _peak(hour: FloatArray, centre: float, width: float) -> FloatArray:
    away = np.mod(hour - centre + 12.0, 24.0) - 12.0
    return np.asarray(np.exp(-0.5 * (away / width) ** 2))
