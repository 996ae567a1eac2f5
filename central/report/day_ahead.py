"""The band that was standing a day before: what the plot of the scored days shows.

For each interval the newest forecast issued at least 24 hours before it (up to 30, so that one
missed issue tears no hole).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.contract.forecast import LEVELS
from models.contract.timestamps import DAY_MS, STEP_MS, STEPS_PER_DAY, Instant
from models.features.site import FloatArray, IntArray

from .pairs import LivePairs

LEAD_STEPS = STEPS_PER_DAY
MAX_LEAD_STEPS = LEAD_STEPS + STEPS_PER_DAY // 4


@dataclass(frozen=True, eq=False)
class DayAhead:
    """Per interval of the window: start, measured power and day-ahead quantiles, both [W].

    ``measured`` has shape (n,), ``quantiles`` (levels, n); NaN where there was none.
    """

    times: IntArray
    measured: FloatArray
    quantiles: FloatArray

    def __len__(self) -> int:
        return len(self.times)


def day_ahead(pairs: LivePairs, start: Instant) -> DayAhead:
    """The trace from ``start`` to the end of what was measured."""
    series = pairs.measured
    first = series.index(start + STEP_MS - 1)
    times = series.start + np.arange(first, len(series), dtype=np.int64) * STEP_MS
    quantiles = np.full((len(LEVELS), len(times)), np.nan)
    case = np.searchsorted(pairs.starts, times - DAY_MS, side="right") - 1
    known = np.flatnonzero(case >= 0)
    lead = (times[known] - pairs.starts[case[known]]) // STEP_MS
    known, lead = known[lead < MAX_LEAD_STEPS], lead[lead < MAX_LEAD_STEPS]
    quantiles[:, known] = pairs.quantiles[case[known], :, lead].T
    return DayAhead(times, series.ac_power[first:], quantiles)
