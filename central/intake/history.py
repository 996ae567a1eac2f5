"""Backward-looking columns of one quantity: lags, changes, rolling statistics, same time of day.

Nothing looks ahead, and nothing further back than ``LONGEST_HOURS``, so a long series can be worked
through in blocks that overlap by that much. Where the series has no history yet, a column falls
back to the mean of the last day, then to the present value; ``history_complete`` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .table import FloatArray

LONGEST_HOURS = 28 * 24 + 1


@dataclass(frozen=True)
class Past:
    """One quantity on a regular grid, and the columns made of it.

    ``name`` is what the columns begin with; ``unit`` stands at their end.
    """

    name: str
    unit: str
    values: pd.Series
    step_seconds: int

    def rows(self, hours: float) -> int:
        """Grid rows in so many hours, at least one."""
        return max(1, round(hours * 3600 / self.step_seconds))

    def called(self, what: str) -> str:
        """Column name for ``what``."""
        return f"{self.name}_{what}{'_' + self.unit if self.unit else ''}"

    def lags(self, hours: Sequence[int]) -> dict[str, pd.Series]:
        """Values so many hours before."""
        return {self.called(f"lag_{h}h"): self.values.shift(self.rows(h)) for h in hours}

    def changes(self, hours: Sequence[int]) -> dict[str, pd.Series]:
        """Against so many hours before."""
        return {
            self.called(f"change_{h}h"): self.values - self.values.shift(self.rows(h))
            for h in hours
        }

    def last(self) -> dict[str, pd.Series]:
        """The row before, and the change against it."""
        before = self.values.shift(1)
        return {self.called("lag_1row"): before, self.called("change_1row"): self.values - before}

    def rolling(self, hours: int, statistics: Sequence[str]) -> dict[str, pd.Series]:
        """``mean``, ``std``, ``min``, ``max`` over the last hours, this row included."""
        rows = self.rows(hours)
        window = self.values.rolling(rows, min_periods=max(1, rows // 2))
        found = {}
        for one in statistics:
            column = window.std(ddof=0) if one == "std" else getattr(window, one)()
            found[self.called(f"{one}_{hours}h")] = column
        return found

    def same_slot(
        self, days: Sequence[int], called: str, statistics: Sequence[str]
    ) -> dict[str, pd.Series]:
        """Statistics of the same time of day so many days before; at least half of them known."""
        stack = np.stack([_shifted(self.values, self.rows(24 * day)) for day in days])
        known = np.isfinite(stack)
        count = known.sum(axis=0)
        enough = count >= max(1, len(days) // 2)
        filled = np.where(known, stack, 0.0)
        mean = filled.sum(axis=0) / np.maximum(count, 1)
        columns = {"mean": mean}
        if "std" in statistics:
            spread = np.where(known, stack - mean, 0.0)
            columns["std"] = np.sqrt((spread**2).sum(axis=0) / np.maximum(count, 1))
        if "min" in statistics:
            columns["min"] = np.where(known, stack, np.inf).min(axis=0)
        if "max" in statistics:
            columns["max"] = np.where(known, stack, -np.inf).max(axis=0)
        return {
            self.called(f"{called}_{one}"): pd.Series(
                np.where(enough, columns[one], np.nan), index=self.values.index
            )
            for one in statistics
        }


def completed(columns: dict[str, pd.Series], base: pd.Series, step_seconds: int) -> pd.DataFrame:
    """``columns`` without NaN where ``base`` is known, and ``history_complete``.

    Levels fall back to the last day's mean of ``base``, then to ``base``; changes and deviations
    to 0; ratios to 1.
    """
    frame = pd.DataFrame(columns)
    complete = frame.notna().all(axis="columns")
    day = max(1, round(86_400 / step_seconds))
    usual = base.rolling(day, min_periods=1).mean()
    for name in frame.columns:
        if frame[name].isna().any():
            frame[name] = frame[name].fillna(_fallback(str(name), usual))
    frame["history_complete"] = complete.astype(np.float64)
    return frame


def _fallback(name: str, usual: pd.Series) -> pd.Series | float:
    if any(word in name for word in ("_change_", "_std", "deviation", "range")):
        return 0.0
    if any(word in name for word in ("ratio", "index", "factor")):
        return 1.0
    return usual


def _shifted(values: pd.Series, rows: int) -> FloatArray:
    return values.shift(rows).to_numpy(dtype=np.float64)


def calendar(local: pd.DatetimeIndex) -> dict[str, FloatArray]:
    """Clock and calendar of ``local`` time, once as numbers and once on circles."""
    hour = local.hour.to_numpy(dtype=np.float64) + local.minute.to_numpy(dtype=np.float64) / 60
    weekday = local.dayofweek.to_numpy(dtype=np.float64)
    year = 2 * np.pi * local.dayofyear.to_numpy(dtype=np.float64) / 365.25
    return {
        "hour": np.floor(hour),
        "day_of_week": weekday,
        "month": local.month.to_numpy(dtype=np.float64),
        "is_weekend": (weekday >= 5).astype(np.float64),
        "hour_sin": np.sin(2 * np.pi * hour / 24),
        "hour_cos": np.cos(2 * np.pi * hour / 24),
        "day_of_week_sin": np.sin(2 * np.pi * weekday / 7),
        "day_of_week_cos": np.cos(2 * np.pi * weekday / 7),
        "day_of_year_sin": np.sin(year),
        "day_of_year_cos": np.cos(year),
    }
