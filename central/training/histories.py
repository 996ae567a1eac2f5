"""What is known of each site's past: its history file, continued by what its agent has sent.

Where both know an interval, the telemetry wins: it was measured by the devices that will go on
measuring. Power alone is read: the ``temp_air`` and ``ghi`` of a history file are those of a
weather file, and trees that learned from a sensor which the box has not forecast worse than trees
that never saw it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from central.intake import judge_power
from central.store import Queries
from models.contract.timestamps import MINUTE_MS, STEP_MS, Instant, floor_to_step
from models.features.site import FloatArray, IntArray, SiteSeries

from .dataset import TrainingSite
from .errors import TrainingDataError
from .settings import SiteTable
from .weather_archive import read_weather_archive


def read_history(file: Path) -> SiteSeries:
    """A history file: ``timestamp`` (interval START, UTC) and ``ac_power`` [W], on the grid.

    Other columns are ignored. Rows may be missing, never doubled.

    Raises:
        TrainingDataError: names file and what is wrong with it.
    """
    series = read_column(file, "ac_power")
    if series is None:
        raise TrainingDataError(f"{file}: has no column 'ac_power'")
    return series


def read_column(file: Path, name: str) -> SiteSeries | None:
    """The same for another column [W]; None when the file has none of that name."""
    try:
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise TrainingDataError(f"{file}: cannot be read: {error}") from None
    if "timestamp" not in frame:
        raise TrainingDataError(f"{file}: has no column 'timestamp'")
    if name not in frame:
        return None
    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(frame["timestamp"], utc=True)).as_unit("ms")
        power = pd.to_numeric(frame[name]).to_numpy(np.float64, copy=True)
        power[~np.isfinite(power)] = np.nan
    except (ValueError, TypeError) as error:
        raise TrainingDataError(f"{file}: {error}") from None
    starts = np.asarray(stamps.asi8, dtype=np.int64)
    if not len(starts):
        raise TrainingDataError(f"{file}: holds no rows")
    off = np.flatnonzero(starts % STEP_MS)
    if len(off):
        raise TrainingDataError(f"{file}:{off[0] + 2}: is not on the 15-minute grid")
    if len(np.unique(starts)) < len(starts):
        raise TrainingDataError(f"{file}: an interval stands twice")
    start = int(starts.min())
    return _laid(start, int(starts.max()) + STEP_MS, starts, power)


def training_sites(
    tables: tuple[SiteTable, ...],
    queries: Queries | None,
    until: Instant,
    base: Path,
    *,
    weather: bool = False,
) -> list[TrainingSite]:
    """Every site that has a past before ``until``; paths are relative to ``base``.

    ``weather``: also read the sites' archives of weather forecasts.
    """
    sites = []
    for table in tables:
        series = read_history(base / table.history) if table.history else None
        if queries is not None:
            series = continued(series, queries.power_means(table.id, 0, floor_to_step(until)))
        if series is None:
            continue
        last = series.index(floor_to_step(until))
        power = series.ac_power[: max(0, last)]
        if len(power):
            # What a plant was kept from, or a logger made up, says nothing about the sky. What its
            # inverter cuts off does: the learned yardstick is cut off at the same level.
            judged = judge_power(power, STEP_MS // MINUTE_MS)
            power = np.where(judged.unfit & ~judged.clipped, np.nan, power)
            series = SiteSeries(series.start, power)
            archive = None
            if weather and table.weather:
                archive = read_weather_archive(base / table.weather)
            resolution = table.history_resolution_minutes
            sites.append(TrainingSite(table.id, table.site(), series, resolution, archive))
    return sites


def continued(
    history: SiteSeries | None, measured: Sequence[tuple[Instant, float]]
) -> SiteSeries | None:
    """``history``, and over it what was measured: starts of intervals and their means."""
    if not measured:
        return history
    starts = np.array([start for start, _ in measured], dtype=np.int64)
    power = np.array([value for _, value in measured])
    begin = min(history.start, int(starts[0])) if history else int(starts[0])
    end = max(history.end if history else 0, int(starts[-1]) + STEP_MS)
    telemetry = _laid(begin, end, starts, power)
    if history is None:
        return telemetry
    before = history.window(history.index(begin), history.index(end)).ac_power
    known = np.isfinite(telemetry.ac_power)
    return SiteSeries(begin, np.where(known, telemetry.ac_power, before))


def _laid(start: Instant, end: Instant, starts: IntArray, values: FloatArray) -> SiteSeries:
    """``values`` at their places on the grid of ``[start, end)``, NaN elsewhere."""
    power = np.full((end - start) // STEP_MS, np.nan)
    power[(starts - start) // STEP_MS] = values
    return SiteSeries(start, power)
