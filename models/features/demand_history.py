"""A home's demand by local day and slot, with what is known at an issue, and weighted quantiles.

Tools of ``models.features.demand``; decides what "the same slot some days ago" means when a clock
was changed, and that nothing from the issue on is ever looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import DAY_MS, MINUTE_MS, Instant

from .site import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]
DAY_MINUTES = 24 * 60
STEPS_MINUTES = (15, 30, 60)
_THURSDAY = 3
"""1970-01-01 was one; Monday is 0."""


@dataclass(frozen=True, eq=False)
class DemandSeries:
    """Interval means of one home; element ``i`` of ``demand`` begins at ``local_minute[i]``.

    ``demand`` [W], NaN where not known. ``local_minute`` is the wall clock in minutes since
    1970-01-01 00:00 and runs on past the history, at least as far as is forecast. ``free_day``
    marks the steps of public holidays (weekends are known anyway), ``temp_air`` [degC] and
    ``circuits`` [W], shape (circuits, n), what sensors and sub-meters measured.
    """

    demand: FloatArray
    local_minute: IntArray
    step_minutes: int = 15
    free_day: BoolArray | None = None
    temp_air: FloatArray | None = None
    circuits: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.step_minutes not in STEPS_MINUTES:
            raise ValueError(f"step_minutes: {self.step_minutes}, must be one of {STEPS_MINUTES}")
        if self.demand.ndim != 1 or len(self.local_minute) < len(self.demand):
            raise ValueError("local_minute: must cover the whole of demand")
        if self.free_day is not None and self.free_day.shape != self.local_minute.shape:
            raise ValueError("free_day: must be as long as local_minute")
        for name, values in (("temp_air", self.temp_air), ("circuits", self.circuits)):
            if values is not None and values.shape[-1] != len(self.demand):
                raise ValueError(f"{name}: must be as long as demand")

    def __len__(self) -> int:
        return len(self.demand)

    @property
    def steps_per_day(self) -> int:
        """Intervals of one day on this series' own grid."""
        return DAY_MINUTES // self.step_minutes

    def window(self, first: int, last: int, ahead: int) -> DemandSeries:
        """Steps ``first`` up to but not including ``last``, with the clock of ``ahead`` more.

        Raises ``ValueError`` where the clock does not reach that far.
        """
        if not 0 <= first <= last <= len(self) or last + ahead > len(self.local_minute):
            raise ValueError("window: outside the series or past the end of its clock")
        return DemandSeries(
            self.demand[first:last],
            self.local_minute[first : last + ahead],
            self.step_minutes,
            None if self.free_day is None else self.free_day[first : last + ahead],
            None if self.temp_air is None else self.temp_air[first:last],
            None if self.circuits is None else self.circuits[:, first:last],
        )


def local_minutes(
    start: Instant, steps: int, step_minutes: int, utc_offset: Callable[[Instant], int]
) -> IntArray:
    """Wall clock at the start of each step, for ``DemandSeries.local_minute``.

    ``utc_offset`` gives local time minus UTC in minutes; it is asked about once a day, and about
    every step only on days on which it changes (a look-up in a zone is slow).
    """
    times = start + np.arange(steps, dtype=np.int64) * (step_minutes * MINUTE_MS)
    per_day = DAY_MS // (step_minutes * MINUTE_MS)
    offsets = np.empty(steps, dtype=np.int64)
    for first in range(0, steps, per_day):
        last = min(first + per_day, steps)
        edges = utc_offset(int(times[first])), utc_offset(int(times[last - 1]))
        if edges[0] == edges[1]:
            offsets[first:last] = edges[0]
        else:
            offsets[first:last] = [utc_offset(int(time)) for time in times[first:last]]
    return np.asarray(times // MINUTE_MS + offsets)


def weekday(local_minute: IntArray) -> IntArray:
    """0 = Monday."""
    return np.asarray((local_minute // DAY_MINUTES + _THURSDAY) % 7)


class SlotGrid:
    """Demand by local day and slot of the day.

    The hour that a clock change repeats is averaged into its slots, the one it skips stays
    unknown. A cell counts as known at an issue once all its steps lie before it.
    """

    def __init__(self, series: DemandSeries) -> None:
        day = series.local_minute // DAY_MINUTES
        self.slots = series.steps_per_day
        self.slot = (series.local_minute % DAY_MINUTES) // series.step_minutes
        self.cell = (day - day[0]) * self.slots + self.slot
        cells = int(self.cell.max(initial=-1)) + 1
        known = np.isfinite(series.demand)
        here = self.cell[: len(series)][known]
        count = np.bincount(here, minlength=cells)
        total = np.bincount(here, weights=series.demand[known], minlength=cells)
        self.value = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        self.last_step = np.full(cells, np.iinfo(np.int64).max, dtype=np.int64)
        self.last_step[self.cell] = np.arange(len(self.cell))

    def days_back(
        self, issue: IntArray, target: IntArray, back: IntArray, shift: int = 0
    ) -> FloatArray:
        """Slot of ``target``, ``shift`` slots on, ``back`` days before; (pairs, len(back))."""
        cell = self.cell[target][:, None] - back * self.slots + shift
        inside = (cell >= 0) & (cell < len(self.value))
        cell = np.where(inside, cell, 0)
        known = inside & (self.last_step[cell] < issue[:, None])
        return np.where(known, self.value[cell], np.nan)


class Running:
    """Running sums over a series with gaps: the mean of any window costs two look-ups."""

    def __init__(self, values: FloatArray) -> None:
        known = np.isfinite(values)
        self._count = np.concatenate([[0.0], np.cumsum(known)])
        self._sum = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])

    def count(self, first: IntArray, last: IntArray) -> FloatArray:
        """Known values in ``[first, last)``; outside the series there are none."""
        return self._between(self._count, first, last)

    def mean(self, first: IntArray, last: IntArray) -> FloatArray:
        """Mean of the known values in ``[first, last)``, NaN without any."""
        count = self.count(first, last)
        total = self._between(self._sum, first, last)
        return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)

    @staticmethod
    def _between(running: FloatArray, first: IntArray, last: IntArray) -> FloatArray:
        end = len(running) - 1
        return np.asarray(running[np.clip(last, 0, end)] - running[np.clip(first, 0, end)])


def mean_known(values: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Mean of each row over what is known, NaN without any."""
    weight = np.isfinite(values) * (1.0 if weights is None else weights)
    total = weight.sum(axis=1)
    summed = np.where(weight > 0, values * weight, 0.0).sum(axis=1)
    return np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan)


def quantiles_known(values: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """Quantiles of each row over what is known: (rows, columns) -> (levels, rows)."""
    ordered = np.sort(values, axis=1)  # unknown ones come last
    last = np.maximum(np.isfinite(values).sum(axis=1) - 1, 0)
    rows = np.arange(len(values))
    result = []
    for level in levels:
        place = last * level
        low = place.astype(np.int64)
        high = np.minimum(low + 1, last)
        share = place - low
        result.append(ordered[rows, low] * (1.0 - share) + ordered[rows, high] * share)
    return np.array(result)


def weighted_quantiles(
    values: FloatArray, weights: FloatArray, levels: tuple[float, ...]
) -> FloatArray:
    """Quantiles of each row with weights: (rows, columns) -> (levels, rows).

    Each value stands at the middle of its share of the weight; between them is interpolated. NaN
    values have no weight; a row without weight gives NaN.
    """
    known = np.isfinite(values) & (weights > 0)
    order = np.argsort(np.where(known, values, np.inf), axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    weight = np.take_along_axis(np.where(known, weights, 0.0), order, axis=1)
    total = weight.sum(axis=1, keepdims=True)
    middle = (np.cumsum(weight, axis=1) - weight / 2.0) / np.where(total > 0, total, 1.0)
    rows = np.arange(len(values))
    last = np.maximum(known.sum(axis=1) - 1, 0)
    result = []
    for level in levels:
        high = np.minimum((middle < level).sum(axis=1), last)
        low = np.maximum(high - 1, 0)
        gap = middle[rows, high] - middle[rows, low]
        share = np.where(gap > 0, (level - middle[rows, low]) / np.where(gap > 0, gap, 1.0), 1.0)
        share = np.clip(share, 0.0, 1.0)
        result.append(ordered[rows, low] * (1.0 - share) + ordered[rows, high] * share)
    return np.where(total[:, 0] > 0, np.array(result), np.nan)
