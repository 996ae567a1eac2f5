"""Archived weather forecasts of a site: what a box would have known at any past issue.

Decides which run counts: the newest that was issued ``latency`` before, because no weather service
answers at once; for times that run says nothing about, and for the days before it, the runs before
it. A recording that holds no issue times is one run that was always known: honest only under
weather mode ``nwp_unknown_issue``, and never a proof of what a live site would get.

File: CSV or Parquet with ``timestamp`` (interval START, UTC), optional ``issued_at``, and
quantities by their contract names in base units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from models.contract.quantities import QUANTITIES
from models.contract.timestamps import DAY_MS, HOUR_MS, MINUTE_MS, STEP_MS, Instant
from models.features.site import FloatArray, IntArray, Site, SiteSeries
from models.features.sky import Sky
from models.features.spec import HISTORY_DAYS
from models.features.weather import SkyWeather, WeatherSeries, laid, refined

from .errors import TrainingDataError

LATENCY_MS = 6 * HOUR_MS
"""From the start of a run of the weather model to its values at hand."""


@dataclass(frozen=True, eq=False)
class WeatherArchive:
    """Runs in the order of their issue; ``issued`` is None where issue times are not known."""

    runs: Sequence[WeatherSeries]
    issued: IntArray | None = None
    latency_ms: int = LATENCY_MS

    def __post_init__(self) -> None:
        if not self.runs:
            raise TrainingDataError("weather archive: holds no run")
        if self.issued is None and len(self.runs) != 1:
            raise TrainingDataError("weather archive: several runs need their issue times")
        if self.issued is not None and (
            len(self.issued) != len(self.runs) or (np.diff(self.issued) <= 0).any()
        ):
            raise TrainingDataError("weather archive: issue times must ascend, one for each run")

    @classmethod
    def unknown_issue(cls, series: WeatherSeries) -> WeatherArchive:
        """One series without issue times."""
        return cls((series,))

    def by_run(
        self, site: Site, series: SiteSeries, sky: Sky, issues: IntArray
    ) -> Iterator[tuple[IntArray, SkyWeather | None]]:
        """Issues (positions in ``series``) grouped by what was known, each with that weather."""
        if self.issued is None:
            yield issues, SkyWeather.over(site, series.start, sky, self.runs[0])
            return
        times = series.start + issues * series.step_ms
        newest = np.searchsorted(self.issued + self.latency_ms, times, side="right") - 1
        for run in np.unique(newest):
            chosen = issues[newest == run]
            known = self._known(site, int(run)) if run >= 0 else None
            yield chosen, SkyWeather.over(site, series.start, sky, known) if known else None

    def _known(self, site: Site, newest: int) -> WeatherSeries:
        """The runs up to ``newest`` laid over each other, newest on top."""
        assert self.issued is not None
        oldest = self.issued[newest] - (HISTORY_DAYS + 1) * DAY_MS
        first = int(np.searchsorted(self.issued, oldest))
        parts = [_refined(site, run) for run in self.runs[first : newest + 1]]
        start = min(part.start for part in parts)
        end = max(part.start + len(part) * part.step_ms for part in parts)
        steps = (end - start) // STEP_MS
        values: dict[str, FloatArray] = {}
        for part in parts:
            for name in part.values:
                row = laid(part, name, start, steps, STEP_MS)
                before = values.get(name)
                values[name] = row if before is None else np.where(np.isfinite(row), row, before)
        return WeatherSeries(start, values)


@lru_cache(maxsize=128)
def _refined(site: Site, run: WeatherSeries) -> WeatherSeries:
    # Each run lies under those of the nine days after it.
    return refined(site, run)


def read_weather_archive(file: Path, latency_ms: int = LATENCY_MS) -> WeatherArchive:
    """Read an archive file. Raises ``TrainingDataError`` naming file, column or line."""
    try:
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise TrainingDataError(f"{file}: cannot be read: {error}") from None
    if "timestamp" not in frame:
        raise TrainingDataError(f"{file}: has no column 'timestamp'")
    names = [name for name in frame.columns if name in QUANTITIES]
    if not names:
        raise TrainingDataError(f"{file}: has no column with the name of a quantity, such as 'ghi'")
    starts = _instants(frame["timestamp"], file, "timestamp")
    values = {
        name: pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64) for name in names
    }
    if "issued_at" not in frame:
        return WeatherArchive.unknown_issue(_series(file, starts, values))
    issued = _instants(frame["issued_at"], file, "issued_at")
    runs, times = [], []
    for when in np.unique(issued):
        rows = issued == when
        part = {name: row[rows] for name, row in values.items()}
        runs.append(_series(file, starts[rows], part))
        times.append(when)
    return WeatherArchive(tuple(runs), np.array(times, dtype=np.int64), latency_ms)


def _instants(column: pd.Series, file: Path, name: str) -> IntArray:
    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(column, utc=True)).as_unit("ms")
    except (ValueError, TypeError) as error:
        raise TrainingDataError(f"{file}: {name}: {error}") from None
    if stamps.hasnans:
        line = int(np.flatnonzero(stamps.isna())[0]) + 2
        raise TrainingDataError(f"{file}:{line}: {name} is empty")
    return np.asarray(stamps.asi8, dtype=np.int64)


def _series(file: Path, starts: IntArray, values: dict[str, FloatArray]) -> WeatherSeries:
    """Rows of one run on their own grid, NaN where one is missing."""
    order = np.argsort(starts, kind="stable")
    starts = starts[order]
    steps = np.diff(starts)
    if len(starts) < 2 or (steps <= 0).any():
        raise TrainingDataError(f"{file}: a run needs two rows at least, and no time twice")
    step = int(np.min(steps))
    if step % MINUTE_MS or (HOUR_MS % step and step % HOUR_MS) or (steps % step).any():
        raise TrainingDataError(f"{file}: rows are {step / MINUTE_MS:g} minutes apart, unevenly")
    start: Instant = int(starts[0])
    if start % step:
        raise TrainingDataError(f"{file}: rows do not lie on a grid of {step // MINUTE_MS} minutes")
    place = (starts - start) // step
    grid = {}
    for name, row in values.items():
        grid[name] = np.full(int(place[-1]) + 1, np.nan)
        grid[name][place] = row[order]
    return WeatherSeries(start, grid, step)
