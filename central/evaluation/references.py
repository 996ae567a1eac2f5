"""What a forecast has to beat besides smart persistence: previous day, climatology, and CLIPER.

All work with the clear-sky index and are turned to power by the caller's clear-sky power. What is
fitted is fitted on the training span that the caller hands in, never on the span that is scored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.contract.timestamps import STEPS_PER_DAY, Instant
from models.features.site import FloatArray, IntArray
from models.features.sky import Sky, clear_sky_index, persisted_index

from .groups import solar_slots

SMOOTH_SLOTS = 4
"""The climatology of a slot is the mean over this many slots on either side: an hour."""
MIN_PAIRS = 50
"""A lag with fewer pairs has no autocorrelation that could be trusted: climatology alone."""


@dataclass(frozen=True, eq=False)
class Climatology:
    """Mean clear-sky index by solar time of day, ``(STEPS_PER_DAY,)``."""

    by_slot: FloatArray
    longitude: float

    @classmethod
    def fit(cls, times: IntArray, index: FloatArray, longitude: float) -> Climatology:
        """Learn from interval starts and their index (NaN at night and where nothing is known).

        Raises ``ValueError`` when no index is known.
        """
        known = np.isfinite(index)
        if not known.any():
            raise ValueError("climatology: the training span holds no clear-sky index")
        slot = solar_slots(times[known], longitude)
        total = np.bincount(slot, weights=index[known], minlength=STEPS_PER_DAY)
        count = np.bincount(slot, minlength=STEPS_PER_DAY).astype(np.float64)
        around = np.arange(-SMOOTH_SLOTS, SMOOTH_SLOTS + 1)
        near = (np.arange(STEPS_PER_DAY)[:, None] + around) % STEPS_PER_DAY
        total, count = total[near].sum(axis=1), count[near].sum(axis=1)
        overall = float(index[known].mean())
        return cls(np.where(count > 0, total / np.maximum(count, 1.0), overall), longitude)

    def index(self, times: IntArray) -> FloatArray:
        """Expected index at interval starts of any shape."""
        return np.asarray(self.by_slot[solar_slots(times, self.longitude)])


@dataclass(frozen=True, eq=False)
class Cliper:
    """The optimal convex blend of climatology and persistence (Yang, Solar Energy 193 (2019) 981).

    ``index(t + h) = w_h * persisted + (1 - w_h) * climatology(t + h)`` with ``w_h`` the lag-h
    autocorrelation of the clear-sky index, cut to [0, 1].
    """

    climatology: Climatology
    weights: FloatArray
    """By lag in intervals; element 0 is lag 1."""

    @classmethod
    def fit(cls, times: IntArray, index: FloatArray, longitude: float, lags: int) -> Cliper:
        """Learn from a training span without holes in ``times``; ``lags`` is the longest needed."""
        climatology = Climatology.fit(times, index, longitude)
        correlation = lag_autocorrelation(index, lags)
        return cls(climatology, np.clip(np.nan_to_num(correlation, nan=0.0), 0.0, 1.0))

    def index(
        self, targets: IntArray, persisted: FloatArray, age: IntArray | int = 0
    ) -> FloatArray:
        """Expected index at ``targets`` (cases, leads), first lead first.

        Args:
            persisted: the index known at each issue, (cases,)
            age: intervals between the newest one behind ``persisted`` and the issue, (cases,): at
                dawn the persisted index is of the evening before
        """
        cases, leads = targets.shape
        lag = np.arange(leads) + np.broadcast_to(np.asarray(age), (cases,))[:, None]
        weight = np.where(
            lag < len(self.weights), self.weights[np.minimum(lag, len(self.weights) - 1)], 0.0
        )
        return np.asarray(
            weight * persisted[:, None] + (1.0 - weight) * self.climatology.index(targets)
        )


def reference_powers(
    power: FloatArray,
    sky: Sky,
    start: Instant,
    issues: IntArray,
    steps: int,
    *,
    training: tuple[int, int],
    longitude: float,
    limit_w: float,
) -> dict[str, FloatArray]:
    """``smart_persistence``, ``climatology`` and ``cliper`` at the issues [W], (cases, steps) each.

    Args:
        power: the site's series from ``start`` on; what an issue does not know yet is not used
        sky: from ``start`` through the last target
        issues: number of intervals known at each issue; step 0 is the first unknown one
        training: first interval and end of the span that climatology and CLIPER are fitted on
        limit_w: what the plant can do
    """
    index = clear_sky_index(power, sky)
    first, last = training
    times = start + np.arange(first, last, dtype=np.int64) * sky.step_ms
    ages = age_of_newest(index, issues)
    lags = steps + int(ages.max(initial=0))
    cliper = Cliper.fit(times, index[first:last], longitude, min(lags, last - first))
    place = issues[:, None] + np.arange(steps)
    targets = start + place * sky.step_ms
    persisted = persisted_index(power, sky, issues)
    indices = {
        "smart_persistence": persisted[:, None],
        "climatology": cliper.climatology.index(targets),
        "cliper": cliper.index(targets, persisted, ages),
    }
    return {
        name: np.asarray(np.clip(one * sky.power[place], 0.0, limit_w))
        for name, one in indices.items()
    }


def lag_autocorrelation(index: FloatArray, lags: int) -> FloatArray:
    """Correlation of the index with itself 1 ... ``lags`` intervals later, over known pairs."""
    result = np.full(lags, np.nan)
    for lag in range(1, min(lags, len(index) - 1) + 1):
        before, after = index[:-lag], index[lag:]
        known = np.isfinite(before) & np.isfinite(after)
        if known.sum() >= MIN_PAIRS:
            x, y = before[known], after[known]
            x, y = x - x.mean(), y - y.mean()
            spread = float(np.sqrt((x @ x) * (y @ y)))
            result[lag - 1] = float(x @ y) / spread if spread > 0 else np.nan
    return result


def age_of_newest(index: FloatArray, issues: IntArray) -> IntArray:
    """Intervals between the newest known index before each issue and the issue itself.

    ``issues[k]`` is the number of intervals known at issue ``k``; a series that was never known
    before an issue counts as old as the series.
    """
    place = np.where(np.isfinite(index), np.arange(len(index)), -1)
    newest = np.concatenate([[-1], np.maximum.accumulate(place)])
    return np.asarray(issues - 1 - newest[np.minimum(issues, len(index))], dtype=np.int64)


def diurnal_persistence(
    power: FloatArray, issues: IntArray, steps: int, clear: FloatArray, limit_w: float
) -> FloatArray:
    """The latest known day's clear-sky index at the same time of day, times clear-sky power [W].

    ``clear`` is clear-sky power from the start of ``power`` through the last target.
    """
    lead = np.arange(steps)
    source = issues[:, None] + lead - (lead // STEPS_PER_DAY + 1) * STEPS_PER_DAY
    known = np.where(source >= 0, power[np.clip(source, 0, len(power) - 1)], np.nan)
    base = clear[np.clip(source, 0, len(clear) - 1)]
    index = np.clip(np.where(base > 0.02 * limit_w, known / np.maximum(base, 1.0), np.nan), 0, 1.6)
    filled = np.where(np.isfinite(index), index, 0.7)
    return np.asarray(np.clip(filled * clear[issues[:, None] + lead], 0.0, limit_w))
