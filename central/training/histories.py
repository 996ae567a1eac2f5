"""What is known of each site's past: its history file, continued by what its agent has sent.

Where both know an interval, the telemetry wins: it was measured by the devices that will go on
measuring.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from central.store import Queries
from models.contract.timestamps import STEP_MS, Instant, floor_to_step
from models.features.site import FloatArray, SiteSeries

from .dataset import TrainingDataError, TrainingSite
from .settings import SiteTable

_COLUMNS = ("ac_power", "temp_air", "ghi")


def read_history(file: Path) -> SiteSeries:
    """A history file: ``timestamp`` (interval START, UTC) and ``ac_power`` [W], on the grid.

    Optional columns ``temp_air`` and ``ghi``; others are ignored. Rows may be missing, never
    doubled.

    Raises:
        TrainingDataError: names file and what is wrong with it.
    """
    try:
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise TrainingDataError(f"{file}: cannot be read: {error}") from None
    for column in ("timestamp", "ac_power"):
        if column not in frame:
            raise TrainingDataError(f"{file}: has no column {column!r}")
    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(frame["timestamp"], utc=True)).as_unit("ms")
        values = {
            name: pd.to_numeric(frame[name]).to_numpy(np.float64, copy=True)
            for name in _COLUMNS
            if name in frame
        }
        for numbers in values.values():
            numbers[~np.isfinite(numbers)] = np.nan
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
    grid = _Grid(start, int(starts.max() - start) // STEP_MS + 1)
    return grid.series({name: grid.lay(starts, column) for name, column in values.items()})


def training_sites(
    tables: tuple[SiteTable, ...], queries: Queries | None, until: Instant, base: Path
) -> list[TrainingSite]:
    """Every site that has a past before ``until``; paths are relative to ``base``.

    Power alone: ``temp_air`` and ``ghi`` of a history are those of a weather file, and what a box
    measures is not kept per interval. Trees that learned from a sensor which the box has not
    forecast worse than trees that never saw it.
    """
    sites = []
    for table in tables:
        series = read_history(base / table.history) if table.history else None
        if queries is not None:
            series = _continued(series, queries, table.id, until)
        if series is None:
            continue
        last = series.index(floor_to_step(until))
        series = SiteSeries(series.start, series.ac_power[: max(0, last)])
        if len(series):
            sites.append(
                TrainingSite(table.id, table.site(), series, table.history_resolution_minutes)
            )
    return sites


def _continued(
    history: SiteSeries | None, queries: Queries, name: str, until: Instant
) -> SiteSeries | None:
    measured = queries.power_means(name, 0, floor_to_step(until))
    if not measured:
        return history
    starts = np.array([start for start, _ in measured], dtype=np.int64)
    power = np.array([value for _, value in measured])
    begin = min(history.start, int(starts[0])) if history else int(starts[0])
    end = max(history.end if history else 0, int(starts[-1]) + STEP_MS)
    grid = _Grid(begin, (end - begin) // STEP_MS)
    columns = {}
    if history is not None:
        old = history.window(history.index(begin), history.index(end))
        columns = {name: values for name in _COLUMNS if (values := getattr(old, name)) is not None}
    laid = grid.lay(starts, power)
    columns["ac_power"] = np.where(
        np.isfinite(laid), laid, columns.get("ac_power", np.full(grid.length, np.nan))
    )
    return grid.series(columns)


class _Grid:
    """A run of intervals to lay values on."""

    def __init__(self, start: Instant, length: int) -> None:
        self.start, self.length = start, length

    def lay(
        self, starts: np.ndarray[tuple[int], np.dtype[np.int64]], values: FloatArray
    ) -> FloatArray:
        """``values`` at their places, NaN elsewhere."""
        laid = np.full(self.length, np.nan)
        laid[(starts - self.start) // STEP_MS] = values
        return laid

    def series(self, columns: dict[str, FloatArray]) -> SiteSeries:
        """The series of these columns."""
        return SiteSeries(
            self.start, columns["ac_power"], columns.get("temp_air"), columns.get("ghi")
        )
