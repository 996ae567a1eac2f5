"""What stands between the sun and a plant, from where the sun was when power was missing.

Decides the loss by the sun's direction and the height of the sun below which nothing ever came. It
takes the orientation as given; what clouds took is kept out by looking at the best days only.
"""

from __future__ import annotations

import numpy as np

from ._learned_days import SolarDays
from .site import FloatArray, IntArray

_AZIMUTH_STEP, _ELEVATION_STEP = 6.0, 5.0
"""Size of the bins of the sky [deg]."""
_AZIMUTHS, _ELEVATIONS = 60, 18
BINS = _AZIMUTHS * _ELEVATIONS
LOWEST_UNKNOWN = -9.0
"""No plant gives power with the sun lower than this in the middle of even an hour [deg]."""

_QUANTILE = 0.5
_LEAST = 0.05
"""Share of the light that reaches a plant behind anything."""
_PRIOR_DAYS = 4.0
"""Days that what is thought beforehand of a bin weighs."""
_LEAST_LOSS = 0.02
"""A smaller loss is as likely the yardstick's error."""
_PRODUCES = 0.002
"""Share of the peak that counts as power: below it lies what meters show at night."""
_DAWN = 0.005
"""Share of the peak that begins and ends the day: the same for plants facing east and west."""
_CLOCK_DAYS = 5
_LEVEL, _TOP = 1.0, 10.0
"""Height of the levels looked at, and where to begin [deg]."""
_OBSERVED = 4
"""Intervals without power that show that a height gives none."""


def bin_of(elevation: FloatArray, azimuth: FloatArray) -> IntArray:
    """Number of the bin of the sky that holds each direction."""
    column = np.clip((azimuth / _AZIMUTH_STEP).astype(np.int64), 0, _AZIMUTHS - 1)
    row = np.clip((elevation / _ELEVATION_STEP).astype(np.int64), 0, _ELEVATIONS - 1)
    return np.asarray(row * _AZIMUTHS + column)


def between_bins(table: FloatArray, elevation: FloatArray, azimuth: FloatArray) -> FloatArray:
    """Values of bins at directions of the sun, without steps: linear between their middles."""
    grid = table.reshape(_ELEVATIONS, _AZIMUTHS)
    across = azimuth / _AZIMUTH_STEP - 0.5
    left = np.floor(across).astype(np.int64)
    right_share = across - left
    up = np.clip(elevation / _ELEVATION_STEP - 0.5, 0.0, _ELEVATIONS - 1.0)
    low = np.minimum(up.astype(np.int64), _ELEVATIONS - 2)
    high_share = up - low
    left, right = left % _AZIMUTHS, (left + 1) % _AZIMUTHS
    below = grid[low, left] * (1.0 - right_share) + grid[low, right] * right_share
    above = grid[low + 1, left] * (1.0 - right_share) + grid[low + 1, right] * right_share
    return np.asarray(below * (1.0 - high_share) + above * high_share)


def shading(
    elevation: FloatArray, azimuth: FloatArray, index: FloatArray, day: IntArray
) -> dict[int, float]:
    """Factor on clear-sky power for the bins of the sky where it is clearly not 1.

    Args:
        elevation, azimuth: of the sun at intervals of the better days [deg]
        index: measured over clear-sky power there
        day: number of the day of each interval
    """
    if len(index) == 0:
        return {}
    bins = bin_of(elevation, azimuth)
    order = np.lexsort((index, bins))
    bins, index, day = bins[order], index[order], day[order]
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    ends = np.append(starts[1:], len(bins))
    typical = index[starts + (_QUANTILE * (ends - starts - 1)).astype(np.int64)]
    evidence = np.zeros(BINS)  # days
    pairs = np.unique(np.stack([bins, day]), axis=1)[0]
    evidence[bins[starts]] = np.unique(pairs, return_counts=True)[1]
    found = np.ones(BINS)
    found[bins[starts]] = np.clip(typical, _LEAST, 1.0)
    # What shades one bin usually shades the next: a bin is first thought to be like those around.
    around = (_summed(evidence * found) + _PRIOR_DAYS) / (_summed(evidence) + _PRIOR_DAYS)
    factor = (evidence * found + _PRIOR_DAYS * around) / (evidence + _PRIOR_DAYS)
    lossy = np.flatnonzero(factor <= 1.0 - _LEAST_LOSS)
    return {int(number): round(float(factor[number]), 3) for number in lossy}


def _summed(bins: FloatArray) -> FloatArray:
    """Sum over each bin and the eight around it."""
    grid = bins.reshape(_ELEVATIONS, _AZIMUTHS)
    wide = grid + np.roll(grid, 1, axis=1) + np.roll(grid, -1, axis=1)
    total = wide.copy()
    total[1:] += wide[:-1]
    total[:-1] += wide[1:]
    return np.asarray(total.reshape(-1))


def lowest_elevation(days: SolarDays, elevation: FloatArray, peak_w: float) -> float:
    """Elevation of the sun below which the plant has never given power [deg].

    Going down from the day, the first two heights that were watched and gave nothing (on two days
    or more) end the search: what a meter shows at night lies below them. A height that no interval
    fell into may give power. ``LOWEST_UNKNOWN`` before a week is over.
    """
    if days.known_days < 7 or peak_w <= 0.0:
        return LOWEST_UNKNOWN
    levels = int((_TOP - LOWEST_UNKNOWN) / _LEVEL)
    level = np.floor((elevation - LOWEST_UNKNOWN) / _LEVEL).astype(np.int64)
    known = np.isfinite(days.power) & (level >= 0) & (level < levels)
    gives = known & (np.where(known, days.power, 0.0) > _PRODUCES * peak_w)
    row = np.broadcast_to(np.arange(len(days.power))[:, None], days.power.shape)
    giving_days = np.unique(np.stack([level[gives], row[gives]]), axis=1)[0]
    watched = np.bincount(level[known], minlength=levels)
    nothing = (watched >= _OBSERVED) & (np.bincount(giving_days, minlength=levels) < 2)
    something = np.bincount(giving_days, minlength=levels) >= 2
    lowest, empty = LOWEST_UNKNOWN, 0
    for number in range(levels - 1, -1, -1):
        if nothing[number]:
            if empty == 0:
                lowest = LOWEST_UNKNOWN + (number + 1) * _LEVEL
            empty += 1
            if empty == 2:
                return float(lowest)
        elif something[number]:
            empty, lowest = 0, LOWEST_UNKNOWN
    return float(lowest)


def clock_offset(days: SolarDays, elevation: FloatArray, peak_w: float) -> int:
    """Minutes by which the stamps run ahead of the sun (a hint); 0 unless clear.

    Dawn and dusk do not depend on where a plant faces: power that begins and ends late by the same
    time means a clock that is ahead. A hill moves one of the two, and counts half.
    """
    known = np.isfinite(days.power)
    gives = np.where(known, days.power, 0.0) > _DAWN * peak_w
    up = elevation > 0.0
    # Days with power through most of the daylight: on others clouds decide when it begins.
    full = (gives.sum(axis=1) >= 0.75 * up.sum(axis=1)) & gives.any(axis=1)
    if peak_w <= 0.0 or full.sum() < _CLOCK_DAYS:
        return 0
    late = gives.argmax(axis=1) - up.argmax(axis=1)
    early = gives[:, ::-1].argmax(axis=1) - up[:, ::-1].argmax(axis=1)
    minutes = days.step_ms / 60_000
    shift = float(np.median((late - early)[full])) / 2.0 * minutes
    return 15 * round(shift / 15.0) if abs(shift) >= max(25.0, 0.75 * minutes) else 0
