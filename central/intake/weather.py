"""The values of the intake: a weather series, where it came from, and what was done to it.

Time. The index of a frame is the time stamp of the source row, in UTC. What a row says about the
sun differs by format and is stated in ``WeatherSource.irradiance``:

- ``instant`` (NSRDB): irradiance at the stamp itself, one satellite picture;
- ``preceding_mean`` (TMY3): mean over the ``resolution_minutes`` that END at the stamp
  (Wilcox & Marion, Users Manual for TMY3 Data Sets, NREL/TP-581-43156, 2008, table 1-3).

All other columns hold at the stamp in both formats. The stamps are therefore not moved to interval
starts here: that would be right for the irradiance and wrong for the temperature. Whoever makes
intervals (``central.site_series``) labels them by START.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

WeatherFormat = Literal["nsrdb", "nsrdb-tmy", "tmy3"]
Irradiance = Literal["instant", "preceding_mean"]

REQUIRED = ("ghi", "dni", "dhi", "temp_air")
"""Quantities that every weather frame has."""
OPTIONAL = (
    "wind_speed",
    "wind_direction",
    "relative_humidity",
    "pressure",
    "precipitable_water",
    "cloud_cover",
)
"""Quantities that a weather frame may have, in this order after the required ones."""

NOMINAL_YEAR = 2023
"""Calendar year on which a typical year is laid unless told otherwise. Not a leap year."""


@dataclass(frozen=True)
class WeatherSource:
    """Where a weather series came from."""

    file: str
    """Name of the file, without its directory."""
    format: WeatherFormat
    location: str
    """What the file calls its place."""
    latitude: float
    """Degrees, north positive."""
    longitude: float
    """Degrees, east positive."""
    elevation_m: float
    clock_offset_hours: float
    """What the file's own clock is ahead of UTC (the field ``Time Zone``)."""
    site_offset_hours: float
    """Local standard time of the place, hours ahead of UTC."""
    resolution_minutes: int
    irradiance: Irradiance
    sha256: str
    """Of the text after unpacking, so that gzip does not change the fingerprint."""
    nominal_year: int | None = None
    """Year on which a typical year was laid; None for recorded years."""
    month_years: tuple[int, ...] = ()
    """Of a typical year: the years its months came from, in calendar order."""


@dataclass(frozen=True)
class Gap:
    """Rows that should be there and are not: ``rows`` stamps, ``start`` to ``end`` inclusive."""

    start: str
    """First missing stamp, ISO 8601 UTC."""
    end: str
    rows: int
    after_line: int
    """Line of the last row before the gap."""


@dataclass(frozen=True)
class ReadReport:
    """What reading one file came to."""

    rows_in: int
    rows_out: int
    removed: dict[str, int] = field(default_factory=dict)
    """Rows removed, by the name of the rule that removed them."""
    examples: tuple[str, ...] = ()
    """The first removed rows of each rule, each as ``file:line: what was wrong``."""
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    """What was changed or left out without removing rows."""
    suspicions: tuple[str, ...] = ()
    """Why the file as a whole may be wrong although each row is possible."""

    @property
    def retained_share(self) -> float:
        """Rows kept over rows read, 0 to 1."""
        return self.rows_out / self.rows_in if self.rows_in else 0.0


@dataclass(frozen=True)
class Weather:
    """A weather series: ``frame`` has a strictly increasing UTC index called ``timestamp`` and
    columns from ``REQUIRED`` and ``OPTIONAL`` in base units, without NaN."""

    source: WeatherSource
    frame: pd.DataFrame
    report: ReadReport

    @property
    def irradiance_times(self) -> pd.DatetimeIndex:
        """The instants that the irradiance stands for: the stamps, or the interval midpoints."""
        index = pd.DatetimeIndex(self.frame.index)
        if self.source.irradiance == "instant":
            return index
        return index - pd.Timedelta(minutes=self.source.resolution_minutes / 2)
