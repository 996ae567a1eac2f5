"""Sudden and lasting changes of level: a module string lost, a sensor exchanged, a unit changed.

Looks at the tops of the days: their upper quantile over three weeks is nearly that of the cloudless
sky, so a step between three weeks and the next that is larger than the season's own drift (the
steps three weeks earlier and later) is no weather.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .runs import nan_quantile
from .table import FloatArray

_WINDOW_DAYS = 21
_CHECK_DAYS = 7
_MOST_PER_YEAR = 3
"""A level that steps more often follows snow and season, as plants of the far north do."""


@dataclass(frozen=True)
class LevelShift:
    """A lasting change of level."""

    date: str
    """First day on the new level."""
    ratio: float
    """New level over old one."""


def level_shifts(
    index: pd.DatetimeIndex, values: FloatArray, step_seconds: int, *, least_ratio: float
) -> tuple[LevelShift, ...]:
    """Changes by ``least_ratio`` (above 1) or its inverse, or more."""
    slots = 86_400 // step_seconds
    lead = int((index[0] - index[0].normalize()) / pd.Timedelta(seconds=step_seconds))
    total = -(-(lead + values.size) // slots) * slots
    padded = np.full(total, np.nan)
    padded[lead : lead + values.size] = values
    top = nan_quantile(padded.reshape(-1, slots), 0.97)
    usable = np.isfinite(top) & (top > 0)
    if usable.sum() < 2 * _WINDOW_DAYS:
        return ()
    dates = index[0].normalize().to_datetime64().astype("datetime64[D]") + np.arange(top.size)
    dates, level = dates[usable], np.log(top[usable])
    size = level.size
    upper = nan_quantile(np.lib.stride_tricks.sliding_window_view(level, _WINDOW_DAYS), 0.8)
    jump = np.zeros(size + 1)
    jump[_WINDOW_DAYS : size - _WINDOW_DAYS + 1] = upper[_WINDOW_DAYS:] - upper[:-_WINDOW_DAYS]
    drift = np.zeros_like(jump)
    w = _WINDOW_DAYS
    drift[w:-w] = 0.5 * (jump[: -2 * w] + jump[2 * w :]) if jump.size > 2 * w else 0.0
    excess = jump - drift
    remaining = np.abs(excess)
    found = []
    places: list[int] = []
    least = np.log(least_ratio)
    while remaining.max() >= least:
        place = int(remaining.argmax())
        remaining[max(place - w, 0) : place + w + 1] = 0
        place = _sharpest(level, place)
        remaining[max(place - w, 0) : place + w + 1] = 0
        if any(abs(place - other) < w for other in places):
            continue
        places.append(place)
        before = nan_quantile(level[max(place - 2 * _CHECK_DAYS, 0) : place], 0.8)
        after = nan_quantile(level[place : place + 2 * _CHECK_DAYS], 0.8)
        amount = float(after - before)
        if abs(amount) >= least and _apart(level, place, amount, least):
            found.append(LevelShift(str(dates[place]), round(float(np.exp(amount)), 3)))
    if len(found) > _MOST_PER_YEAR * max(1.0, size / 365):
        return ()
    return tuple(sorted(found, key=lambda shift: shift.date))


def _sharpest(level: FloatArray, place: int) -> int:
    """The day near ``place`` that best parts days near the old level from days near the new.

    Dark days are far from both and count the same wherever the cut is.
    """
    w = _WINDOW_DAYS
    old = float(nan_quantile(level[max(place - w, 0) : place], 0.8))
    new = float(nan_quantile(level[place : place + w], 0.8))
    cap = abs(new - old)
    first, last = max(place - w, 0), min(place + w, level.size)
    to_old = np.minimum(np.abs(level[first:last] - old), cap)
    to_new = np.minimum(np.abs(level[first:last] - new), cap)
    before = np.concatenate([[0.0], np.cumsum(to_old)])
    after = np.concatenate([np.cumsum(to_new[::-1])[::-1], [0.0]])
    costs = before + after
    inner = slice(_CHECK_DAYS, costs.size - _CHECK_DAYS)
    return first + _CHECK_DAYS + int(np.argmin(costs[inner]))


def _apart(level: FloatArray, place: int, amount: float, least: float) -> bool:
    """Whether hardly a day of the low side reaches what is usual on the high side: three weeks of
    cloud do have a clear day."""
    before, after = level[max(place - 30, 0) : place], level[place : place + 30]
    low, high = (before, after) if amount > 0 else (after, before)
    best_of_low = float(np.sort(low)[-2]) if low.size > 1 else float(low[-1])
    return float(nan_quantile(high, 0.8)) - best_of_low >= 0.6 * least
