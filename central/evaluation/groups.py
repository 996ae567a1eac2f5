"""Where a pair of forecast and measurement belongs: its solar day, month, lead bucket, sky regime.

The regime is that of the whole hour: measured energy over clear-sky energy of the clock hour (UTC)
in which the target lies, over its daylight intervals. Below ``OVERCAST`` the hour is overcast, from
``CLEAR`` on it is clear, between them broken. It is known only afterwards, so it explains errors;
a forecast is not better because it did well on hours that were chosen by their outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from models.contract.timestamps import DAY_MS, HOUR_MS, STEP_MS, STEPS_PER_DAY
from models.features.site import FloatArray, IntArray
from models.forecasters.blend import HOUR_BUCKETS

OVERCAST, CLEAR = 0.4, 0.85
REGIMES = ("overcast", "broken", "clear", "unknown", "night")
"""``unknown``: daylight without a clear-sky index; ``night``: what daylight scores leave out."""
UNKNOWN, NIGHT = REGIMES.index("unknown"), REGIMES.index("night")


@dataclass(frozen=True)
class Horizon:
    """A bucket of lead times: from ``first_ms`` up to but not including ``last_ms``.

    The lead of a target is counted from the issue to the start of its interval.
    """

    name: str
    first_ms: int
    last_ms: int


HORIZONS = tuple(
    Horizon(f"{first // 4}-{last // 4} h", first * STEP_MS, last * STEP_MS)
    for first, last in HOUR_BUCKETS
)
"""The lead buckets of the forecasters, in whole hours."""


def solar_days(times: IntArray, longitude: float) -> IntArray:
    """Days of mean solar time at ``longitude`` since the epoch: no day is cut at noon.

    ``times`` are starts of intervals, any shape.
    """
    return np.asarray((times + STEP_MS // 2 + _offset_ms(longitude)) // DAY_MS)


def solar_slots(times: IntArray, longitude: float) -> IntArray:
    """Quarter hours since midnight of mean solar time, 0 ... 95."""
    return np.asarray((times + STEP_MS // 2 + _offset_ms(longitude)) // STEP_MS % STEPS_PER_DAY)


def month_of(day: int) -> str:
    """``2019-03`` of a day since the epoch."""
    return f"{datetime.fromtimestamp(0, UTC) + timedelta(days=day):%Y-%m}"


def horizon_ids(leads_ms: IntArray, horizons: Sequence[Horizon]) -> IntArray:
    """Place of each lead in ``horizons``; ``len(horizons)`` where it is in none."""
    ids = np.full(len(leads_ms), len(horizons), dtype=np.int64)
    for place, one in enumerate(horizons):
        ids[(leads_ms >= one.first_ms) & (leads_ms < one.last_ms)] = place
    return ids


def regime_ids(
    targets: IntArray,
    actual: FloatArray,
    clear: FloatArray | None,
    daylight: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> IntArray:
    """Place of each pair in ``REGIMES``; all arrays (cases, leads), power in one unit."""
    ids = np.where(daylight, UNKNOWN, NIGHT).astype(np.int64)
    if clear is None:
        return ids
    usable = daylight & np.isfinite(actual) & (clear > 0)
    # Each interval counts once, however many forecasts were made for it.
    times, first = np.unique(targets[usable], return_index=True)
    hours, of_time = np.unique(times // HOUR_MS, return_inverse=True)
    measured, possible = (
        np.bincount(of_time, weights=values[usable][first], minlength=len(hours))
        for values in (actual, clear)
    )
    regime = np.digitize(measured / np.maximum(possible, 1e-9), [OVERCAST, CLEAR])
    ids[usable] = regime[np.searchsorted(hours, targets[usable] // HOUR_MS)]
    return ids


def _offset_ms(longitude: float) -> int:
    return round(longitude / 360 * DAY_MS)
