"""The values of the intake for tables with time stamps: one or more series, and their source."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from .known_columns import Source
from .stamps import Instants
from .table import BoolArray, FloatArray, RowLedger

MAIN_COLUMNS: dict[Source, tuple[str, ...]] = {
    "solar": ("ac_power_kw", "ac_power_normalized", "dc_power_kw"),
    "meter": ("active_power_kw", "current_a", "energy_kwh", "voltage_v", "frequency_hz"),
    "weather": ("ghi_wm2", "poa_wm2", "temperature_c", "wind_speed_ms", "humidity_percent"),
}
"""The column that a file of each source is about: the first that it has."""


@dataclass(frozen=True)
class SeriesSource:
    """Where a table came from."""

    file: str
    format: str
    """Name of the layout."""
    kind: Source
    main: str
    """The column that the file is about."""
    series: tuple[str, ...]
    """Names of the series in the file; one empty name when it holds one."""
    clock: str
    """``utc`` when the stamps are known in UTC, else ``file``: the file's own clock."""
    clock_offset_hours: float | None
    """What the stamps of the file state, hours ahead of UTC; of the first row."""
    step_seconds: int
    latitude: float | None
    longitude: float | None
    elevation_m: float
    sha256: str


@dataclass(frozen=True)
class ParsedSeries:
    """The cells of a table before the row rules, by row."""

    stamps: Instants
    """datetime64[ms], UTC or on the file's clock."""
    clock: str
    clock_offset_hours: float | None
    codes: npt.NDArray[np.int32]
    """Which series each row belongs to: an index into ``names``."""
    names: tuple[str, ...]
    columns: dict[str, FloatArray]
    sentinels: dict[str, BoolArray]
    """Where a column held a code for "no value"; only of columns that did."""
    ledger: RowLedger
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """One series on its regular grid: every stamp from first to last, NaN where no row is."""

    name: str
    index: pd.DatetimeIndex
    columns: dict[str, FloatArray]
    present: BoolArray
    """Where a row of the file stands."""
    lines: npt.NDArray[np.int64]
    """Line of that row in the file; 0 where there is none."""
    step_seconds: int


@dataclass(frozen=True)
class SeriesFile:
    """All series of a file after the row rules."""

    source: SeriesSource
    series: tuple[Series, ...]
    ledger: RowLedger
    notes: tuple[str, ...] = field(default=())
