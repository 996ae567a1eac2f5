"""Bad intervals of a power series: clipped, curtailed, stuck, dead, offset, outliers.

NumPy in, boolean masks out, on a regular grid with NaN holes; no position is needed, since what the
plant gives at a time of day is learned from the days around. The trainer calls :func:`judge_power`
to leave such intervals out; the intake writes them into its ``quality`` column.

*Clipped*: on several days the power stands at one level that nothing exceeds (inverter limit). Such
a value is true, but says nothing about the sun beyond it. *Curtailed*: it stands at a level below
what neighbouring days give at that time. *Stuck*: equal to the last digit for at least an hour, and
neither of the two. *Dead*: zero for at least an hour in full daylight of the days around.
*Offset*: the nights are not zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .held_power import DAY_MINUTES, LEAST_DAYS, held
from .runs import nan_quantile, run_bounds, stuck
from .table import BoolArray, FloatArray

_DAYS_AROUND = 10
_UNUSUALLY_HIGH = 1.3
_STUCK_MINUTES = 60.0
_SURELY_STUCK_MINUTES = 600.0
_BRIGHT_MINUTES = 120.0
_DEAD = 0.005
_OFFSET = 0.005


@dataclass(frozen=True)
class PowerQuality:
    """What is wrong with each interval; all masks have the length of the power."""

    daylight: BoolArray
    """Where the days around give power at this time of day."""
    clipped: BoolArray
    curtailed: BoolArray
    stuck: BoolArray
    dead: BoolArray
    offset: BoolArray
    outlier: BoolArray
    impossible: BoolArray
    """Far above anything the plant gives, or far below zero."""
    capacity: float
    """What the plant reaches: 99.5 % quantile by day, without outliers. 0 when it never runs."""
    clipping_level: float | None
    limits: tuple[float, ...]
    """Levels below the clipping level at which the power was held on more than one day."""
    offsets: tuple[tuple[int, int, float], ...]
    """Stretches whose nights are not zero: (first index, last index, by how much)."""

    @property
    def unfit(self) -> BoolArray:
        """Intervals that must not teach a model what the sun gives."""
        return (
            self.clipped | self.curtailed | self.stuck | self.dead | self.outlier | self.impossible
        )


def judge_power(power: FloatArray, step_minutes: float) -> PowerQuality:
    """Judge a series of generated power.

    Args:
        power: on a regular grid in any unit, generation positive; NaN where nothing is known.
        step_minutes: of the grid; must divide a day.
    """
    slots = round(DAY_MINUTES / step_minutes)
    none = np.zeros(power.size, dtype=np.bool_)
    finite = np.isfinite(power)
    if finite.sum() < 2 * max(4, slots // 24):
        empty = (none,) * 8
        return PowerQuality(*empty, 0.0, None, (), ())
    # What stands still for half a day is stuck whatever else is true, and would pass for a night.
    shortest = max(4, round(_STUCK_MINUTES / step_minutes) + 1)
    certain = _surely_stuck(power, slots, step_minutes)
    moving = np.where(certain, np.nan, power)
    base, offsets = _night_level(moving, slots)
    level = moving - base
    capacity = _capacity(level)
    if capacity <= 0:
        return PowerQuality(*((none,) * 8), 0.0, None, (), ())
    impossible = finite & ((level > _UNUSUALLY_HIGH * capacity) | (level < -0.05 * capacity))
    level = np.where(impossible, np.nan, level)
    expected = _expected(level, slots)
    daylight = expected > 0.01 * capacity
    clipping, limits, clipped, curtailed = held(level, expected, step_minutes, capacity)
    with np.errstate(invalid="ignore"):
        same = stuck(level, shortest) & (np.abs(level) > 0.002 * capacity)
    frozen = certain | _whole_runs(same, ~(clipped | curtailed))
    with np.errstate(invalid="ignore"):
        idle = finite & (np.abs(level) <= _DEAD * capacity) & (_low(level, slots) > 0.05 * capacity)
    dead = _long(idle, max(2, round(60 / step_minutes)))
    shifted = none.copy()
    for first, last, _ in offsets:
        shifted[first : last + 1] = finite[first : last + 1]
    return PowerQuality(
        daylight=daylight,
        clipped=clipped & ~frozen,
        curtailed=curtailed & ~frozen,
        stuck=frozen,
        dead=dead,
        offset=shifted,
        outlier=_spikes(level, expected, capacity, step_minutes) & ~frozen,
        impossible=impossible,
        capacity=capacity,
        clipping_level=clipping,
        limits=limits,
        offsets=offsets,
    )


def _surely_stuck(power: FloatArray, slots: int, step_minutes: float) -> BoolArray:
    """Equal values for half a day, of which a good part is not night: an offset may be constant."""
    same = stuck(power, round(_SURELY_STUCK_MINUTES / step_minutes)) & (power != 0)
    certain = np.zeros(power.size, dtype=np.bool_)
    if not same.any():
        return certain
    usual = np.nan_to_num(_around(power, slots, 0.85))
    floor = np.repeat(_by_day(usual, slots).min(axis=1), slots)[: power.size]
    bright = usual - floor > 0.03 * float(np.ptp(usual))
    least = round(_BRIGHT_MINUTES / step_minutes)
    for start, length in zip(*run_bounds(same), strict=True):
        part = slice(start, start + length)
        # A value that stands for more than a day and a night is stuck, bright or not.
        certain[part] = bright[part].sum() >= least or length > slots
    return certain


def _capacity(power: FloatArray) -> float:
    """99.5 % quantile of what is clearly above zero; robust to single wild values."""
    known = power[np.isfinite(power)]
    positive = known[known > 0]
    if positive.size < 4:
        return 0.0
    usual = float(np.quantile(positive, 0.95))
    # What is far above the usual top is wild: it may not define the scale.
    return float(np.quantile(positive[positive <= 2 * usual], 0.995))


def _by_day(values: FloatArray, slots: int) -> FloatArray:
    days = -(-values.size // slots)
    padded = np.full(days * slots, np.nan)
    padded[: values.size] = values
    return padded.reshape(days, slots)


def _around(values: FloatArray, slots: int, share: float) -> FloatArray:
    """Quantile of each time of day over the days around."""
    coarse = max(1, round(slots / 96))
    by_day = _by_day(values, slots)
    by_day = (
        by_day.reshape(by_day.shape[0], slots // coarse, coarse)
        if slots % coarse == 0
        else (by_day[:, :, None])
    )
    by_day = nan_quantile(by_day, 0.5 if coarse > 1 else 1.0)
    padded = np.pad(by_day, ((_DAYS_AROUND, _DAYS_AROUND), (0, 0)), constant_values=np.nan)
    found = np.empty_like(by_day)
    block = 64
    for first in range(0, by_day.shape[0], block):
        part = padded[first : first + block + 2 * _DAYS_AROUND]
        windows = np.lib.stride_tricks.sliding_window_view(part, 2 * _DAYS_AROUND + 1, axis=0)
        found[first : first + block] = nan_quantile(windows, share)
    return np.repeat(found, slots // found.shape[1], axis=1).ravel()[: values.size]


def _expected(power: FloatArray, slots: int) -> FloatArray:
    return np.nan_to_num(_around(power, slots, 0.85))


def _low(power: FloatArray, slots: int) -> FloatArray:
    """What even the poor days around give; days that are dead whole do not count."""
    by_day = _by_day(power, slots)
    top = np.nanmax(np.where(np.isfinite(by_day), by_day, -np.inf), axis=1)
    alive = top > 0.05 * max(float(top[np.isfinite(top)].max(initial=0.0)), 1e-12)
    lively = np.where(alive[:, None], by_day, np.nan).ravel()[: power.size]
    return np.nan_to_num(_around(lively, slots, 0.25))


def _night_level(
    power: FloatArray, slots: int
) -> tuple[FloatArray, tuple[tuple[int, int, float], ...]]:
    """The level of the nights, where it is not zero, and the stretches where it is not."""
    by_day = _by_day(power, slots)
    enough = np.isfinite(by_day).mean(axis=1) > 0.8
    lowest = np.where(enough, nan_quantile(by_day, 0.1), np.nan)
    if enough.sum() < LEAST_DAYS:
        return np.zeros(power.size), ()
    padded = np.pad(lowest, 2, constant_values=np.nan)
    smooth = nan_quantile(np.lib.stride_tricks.sliding_window_view(padded, 5), 0.5)
    scale = _capacity(power - np.nanmedian(lowest))
    with np.errstate(invalid="ignore"):
        off = np.abs(smooth) > _OFFSET * max(scale, 1e-12)
    stretches = []
    base = np.zeros(power.size)
    for first_day, days in zip(*run_bounds(off), strict=True):
        if days < LEAST_DAYS:
            continue
        amount = float(np.nanmedian(lowest[first_day : first_day + days]))
        first, last = first_day * slots, min((first_day + days) * slots, power.size) - 1
        first = _sharpen(power, first, slots, amount)
        base[first : last + 1] = amount
        stretches.append((int(first), int(last), amount))
    return base, tuple(stretches)


def _sharpen(power: FloatArray, first: int, slots: int, amount: float) -> int:
    """Where the offset begins within the two days before the first day that shows it whole."""
    begin = max(first - 2 * slots, 0)
    before = power[begin : first + slots]
    with np.errstate(invalid="ignore"):
        zero = np.flatnonzero(np.abs(before) < 0.3 * abs(amount))
    return begin + int(zero[-1]) + 1 if zero.size else first


def _whole_runs(same: BoolArray, allowed: BoolArray) -> BoolArray:
    """Runs of ``same`` of which more than half is ``allowed``."""
    kept = np.zeros_like(same)
    for start, length in zip(*run_bounds(same), strict=True):
        if allowed[start : start + length].mean() > 0.5:
            kept[start : start + length] = True
    return kept


def _long(mask: BoolArray, least: int) -> BoolArray:
    kept = np.zeros_like(mask)
    for start, length in zip(*run_bounds(mask), strict=True):
        kept[start : start + length] = length >= least
    return kept


def _spikes(
    power: FloatArray, expected: FloatArray, capacity: float, step_minutes: float
) -> BoolArray:
    """Single values that leap away from both neighbours and back.

    Clouds make dips and their edges make leaps: upwards a value must also exceed what the days
    around give; downwards, from quarter hours on, it must lose nearly all of it.
    """
    before = np.concatenate([[np.nan], power[:-1]])
    after = np.concatenate([power[1:], [np.nan]])
    with np.errstate(invalid="ignore"):
        higher = np.fmax(before, after)
        lower = np.fmin(before, after)
        up = (power - higher > 0.25 * capacity) & (power > 1.15 * np.maximum(expected, higher))
        down = (power < 0.15 * lower) & (lower > 0.5 * capacity) & (higher < 1.35 * lower)
        negative = power < -0.02 * capacity
    if step_minutes < 15:
        down = np.zeros_like(up)
    return np.asarray(up | down | negative)
