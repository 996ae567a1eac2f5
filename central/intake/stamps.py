"""Calendar cells of the source to UTC instants, and typical years onto one calendar year.

A typical year is stitched from months of different years: within each month one year holds, the
months ascend through the file, and the years do not. It is laid on one nominal (non-leap) year
BEFORE hours are added, so that hour 24:00 of 31 January becomes 1 February of that year and not of
the year January came from; each month then hands over to the next without a seam or a jump.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from .errors import IntakeError
from .table import BoolArray, FloatArray

Instants = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class ClockStamps:
    """The stamps of the rows on the file's own clock, as read; NaN or nonsense where unreadable."""

    year: FloatArray
    month: FloatArray
    day: FloatArray
    minute_of_day: FloatArray
    """0 to 1440; 1440 is the midnight that ends the day."""


def typical_months(stamps: ClockStamps, usable: BoolArray) -> tuple[int, ...]:
    """The year of each month, in calendar order, when the rows form a typical year; else ``()``."""
    year, month = stamps.year[usable], stamps.month[usable]
    position = np.arange(year.size)
    years: list[int] = []
    places: list[float] = []
    for number in range(1, 13):
        rows = month == number
        if not rows.any():
            continue
        values, counts = np.unique(year[rows], return_counts=True)
        if counts.max() < 0.9 * counts.sum():  # the same month of several years: a record
            return ()
        years.append(int(values[counts.argmax()]))
        places.append(float(np.median(position[rows])))
    ascending = all(a < b for a, b in pairwise(places))
    return tuple(years) if ascending and len(set(years)) > 1 else ()


def on_nominal_year(stamps: ClockStamps, nominal_year: int, *, file: str) -> ClockStamps:
    """``stamps`` with every year replaced. Raises ``IntakeError`` for a leap year."""
    if nominal_year % 4 == 0 and (nominal_year % 100 != 0 or nominal_year % 400 == 0):
        raise IntakeError(
            f"a typical year has no 29 February, so it cannot be laid on {nominal_year}; choose a "
            f"nominal year that is not a leap year",
            file=file,
        )
    year = np.full_like(stamps.year, nominal_year)
    return ClockStamps(year, stamps.month, stamps.day, stamps.minute_of_day)


def to_utc(stamps: ClockStamps, clock_offset_hours: float) -> Instants:
    """UTC instants (datetime64[ms]); NaT where the cells are no possible date or time."""
    cells = {"year": stamps.year, "month": stamps.month, "day": stamps.day}
    whole = np.ones(stamps.year.size, dtype=np.bool_)
    for values in (*cells.values(), stamps.minute_of_day):
        whole &= np.isfinite(values) & (np.mod(values, 1) == 0)
    whole &= (stamps.year >= 1900) & (stamps.year <= 2200)
    whole &= (stamps.minute_of_day >= 0) & (stamps.minute_of_day <= 1440)
    frame = pd.DataFrame({name: np.where(whole, cell, 0) for name, cell in cells.items()})
    days = pd.to_datetime(frame.astype("int64"), errors="coerce").to_numpy(dtype="datetime64[ms]")
    minutes = np.where(whole, stamps.minute_of_day, 0) - clock_offset_hours * 60
    instants: Instants = days + np.round(minutes * 60_000).astype("timedelta64[ms]")
    return instants
