"""A site's history as solar days: which intervals look cloudless, and where power is cut off.

Needs no geometry: what a clear day is follows from the days around it, so that a wrong form cannot
lead the selection astray. Fitting an orientation to the result belongs to ``_learned_fit``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import DAY_MS, HOUR_MS, Instant

from .site import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

_NEIGHBOURS = 10
"""Days before and after that a day is compared with: the sun's path hardly changes in between."""
_STRIDE = 4
"""Days that share one comparison."""
_HIGH = 0.9
"""Quantile over the days around that stands for a cloudless sky."""
_CLEAR_FROM, _CLEAR_TO = 0.8, 1.15
"""Share of that quantile within which an interval may be cloudless."""
_ROUGH, _BEND_PER_H2 = 0.012, 0.11
"""How much cloudless power may bend from one interval to the next, as a share of the peak."""
_MANY_DAYS = 10
_MOST_OVER_PEAK = 1.25
_DAY_HOURS = 5
_PLATEAU_BAND = 0.012
"""Half width of a plateau, as a share of its level: inverters hold their limit to about 1 %."""
_PLATEAU_DAYS = 3
_PLATEAU_EXCESS = 2.5


@dataclass(frozen=True, eq=False)
class SolarDays:
    """Power in rows of one solar day each, from midnight to midnight of the sun.

    NaN where nothing is known. ``times`` are the middles of the intervals [ms].
    """

    times: IntArray
    power: FloatArray
    step_ms: int

    @classmethod
    def of(cls, start: Instant, power: FloatArray, step_ms: int, longitude: float) -> SolarDays:
        """Cut a series into solar days; the ends are filled with NaN."""
        slots = DAY_MS // step_ms
        solar = start + round(longitude / 15.0 * HOUR_MS)
        before = (solar % DAY_MS) // step_ms
        after = -(before + len(power)) % slots
        values = np.concatenate([np.full(before, np.nan), power, np.full(after, np.nan)])
        first = start - before * step_ms + step_ms // 2
        times = first + np.arange(len(values), dtype=np.int64) * step_ms
        return cls(times.reshape(-1, slots), values.reshape(-1, slots), step_ms)

    @property
    def capacity_w(self) -> float:
        """Most power given for two intervals on end, unless only a fault can have shown it."""
        best = self._daily_best()
        return float(min(best[0], _MOST_OVER_PEAK * self.peak_w)) if len(best) else 0.0

    @property
    def peak_w(self) -> float:
        """Power reached on several days: of the daily maxima the third."""
        best = self._daily_best()
        return float(best[2 if len(best) >= _MANY_DAYS else 0]) if len(best) else 0.0

    @property
    def known_days(self) -> int:
        """Days with some hours of measurements and some power."""
        known = np.isfinite(self.power).sum(axis=1) * self.step_ms >= _DAY_HOURS * HOUR_MS
        return int((known & (self._filled().max(axis=1) > 0.0)).sum())

    def _daily_best(self) -> FloatArray:
        """Best power of each day that was held for two intervals, highest first."""
        filled = self._filled()
        best = np.minimum(filled[:, 1:], filled[:, :-1]).max(axis=1)
        return np.asarray(np.sort(best[best > 0.0])[::-1])

    def _filled(self) -> FloatArray:
        return np.where(np.isfinite(self.power), self.power, -1.0)

    def envelope(self) -> FloatArray:
        """What the better days around gave at the same time of the sun, per interval."""
        days = len(self.power)
        filled = self._filled()
        result = np.zeros_like(self.power)
        for first in range(0, days, _STRIDE):
            last = min(first + _STRIDE, days)
            low, high = max(0, first - _NEIGHBOURS), min(days, last + _NEIGHBOURS)
            ordered = np.sort(filled[low:high], axis=0)
            known = (ordered >= 0.0).sum(axis=0)
            rank = np.floor(_HIGH * np.maximum(known - 1, 0)).astype(np.int64)
            rank += high - low - known  # the unknown come first
            best = np.take_along_axis(ordered, np.minimum(rank, high - low - 1)[None], axis=0)[0]
            result[first:last] = np.maximum(best, 0.0)
        return result

    def near_best(self, peak_w: float) -> BoolArray:
        """Which intervals gave about as much as the better days around at the same time."""
        best = self.envelope()
        with np.errstate(invalid="ignore", divide="ignore"):
            share = self.power / best
            return np.asarray(
                (share >= _CLEAR_FROM) & (share <= _CLEAR_TO) & (self.power > 0.05 * peak_w)
            )

    def smooth(self, peak_w: float) -> BoolArray:
        """Which intervals follow from their neighbours, as without clouds."""
        hours = self.step_ms / HOUR_MS
        # A cosine through the day bends by (2 pi / 24 h)^2 of its height; clouds bend it more.
        bend = np.full_like(self.power, np.inf)
        bend[:, 1:-1] = np.abs(self.power[:, 2:] - 2.0 * self.power[:, 1:-1] + self.power[:, :-2])
        return np.asarray(bend < (_ROUGH + _BEND_PER_H2 * hours**2) * peak_w)


def plateau(days: SolarDays, peak_w: float) -> float | None:
    """Level at which the power is cut off, or None when it is not.

    Cut-off power heaps at one level on many days, for hours, with nothing above it; a sunny plant
    that is not cut off passes its best values only now and then.
    """
    values = days.power[np.isfinite(days.power) & (days.power > 0.0)]
    if peak_w <= 0.0 or len(values) == 0:
        return None
    high = values[values > 0.5 * peak_w]
    # The heap: the level that most values near the top share.
    levels = peak_w * np.linspace(0.94, 1.02, 41)
    counts = np.array([(np.abs(high / level - 1.0) <= _PLATEAU_BAND).sum() for level in levels])
    level = float(levels[int(np.argmax(counts))])
    heap = np.abs(high / level - 1.0) <= _PLATEAU_BAND
    level = float(np.median(high[heap])) if heap.any() else level
    within = np.abs(days.power / level - 1.0) <= _PLATEAU_BAND
    above = (days.power > level * (1.0 + 2.0 * _PLATEAU_BAND)).sum()
    below = (
        (days.power < level * (1.0 - _PLATEAU_BAND))
        & (days.power >= level * (1.0 - 5.0 * _PLATEAU_BAND))
    ).sum() / 2.0  # twice the width
    hours = within.sum(axis=1) * days.step_ms / HOUR_MS
    long_days = int((hours >= 1.5).sum())
    if long_days < _PLATEAU_DAYS or within.sum() < _PLATEAU_EXCESS * (below + above):
        return None
    return level
