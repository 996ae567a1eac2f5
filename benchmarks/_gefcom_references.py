"""What stands beside our scores on GEFCom2014: quantiles anyone can have, and a point forecast.

All look at the hours before the month only; shapes are (hours of the month, levels).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks._gefcom_data import HOURS_PER_DAY
from models.features.site import FloatArray

RECENT_DAYS = 30
_LEVELS = tuple(np.arange(1, 100) / 100)


def hour_climatology(past: FloatArray, first: int, end: int, levels: Sequence[float]) -> FloatArray:
    """Quantiles of the power at the same hour over the last 30 days before the month."""
    hour = np.arange(end) % HOURS_PER_DAY
    recent = np.arange(first) >= first - RECENT_DAYS * HOURS_PER_DAY
    table = np.stack(
        [np.quantile(past[recent & (hour[:first] == one)], levels) for one in range(HOURS_PER_DAY)]
    )
    return np.asarray(table[hour[first:end]])


def index_climatology(past: FloatArray, yardstick: FloatArray, first: int, end: int) -> FloatArray:
    """Quantiles of the clear-sky index at the same hour over all days before, times clear sky."""
    hour = np.arange(end) % HOURS_PER_DAY
    lit = yardstick[:first] > 0
    table = np.zeros((HOURS_PER_DAY, len(_LEVELS)))
    for one in range(HOURS_PER_DAY):
        here = lit & (hour[:first] == one)
        if here.any():
            table[one] = np.quantile(past[here] / yardstick[:first][here], _LEVELS)
    return np.asarray(table[hour[first:end]] * yardstick[first:end, None])


def scaled_chain(past: FloatArray, chain: FloatArray, first: int, end: int) -> FloatArray:
    """Forecast irradiance through the textbook chain, scaled to the energy before: one value."""
    said = chain[:first].sum()
    scale = past.sum() / said if said > 0 else 1.0
    return np.asarray(scale * chain[first:end, None])
