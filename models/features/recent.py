"""Running sums over what is known of a series, so that any window costs two look-ups."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import HOUR_MS

from .site import FloatArray, IntArray, SiteSeries
from .sky import CSI_MAX, Sky, clear_sky_index

BoolArray = npt.NDArray[np.bool_]


class Sums:
    """Sums of the finite ``values`` over ``[first, last)``; windows are cut at the ends."""

    def __init__(self, values: FloatArray) -> None:
        known = np.isfinite(values)
        self._filled = np.where(known, values, 0.0).astype(np.float64, copy=False)
        self._count, self._sum = _running(known), _running(self._filled)

    @cached_property
    def _square(self) -> FloatArray:
        return _running(np.square(self._filled))

    def total(self, first: IntArray, last: IntArray) -> FloatArray:
        """Sum of what is known; 0 where nothing is."""
        return _between(self._sum, first, last)

    def count(self, first: IntArray, last: IntArray) -> FloatArray:
        """How many are known."""
        return _between(self._count, first, last)

    def mean(self, first: IntArray, last: IntArray) -> FloatArray:
        """Mean of what is known, NaN where nothing is."""
        return ratio(self.total(first, last), self.count(first, last))

    def deviation(self, first: IntArray, last: IntArray) -> FloatArray:
        """Population standard deviation of what is known."""
        mean = self.mean(first, last)
        square = ratio(_between(self._square, first, last), self.count(first, last))
        return np.asarray(np.sqrt(np.maximum(square - mean**2, 0.0)))


class Ratio:
    """Ratio of two sums over the intervals where both are known, within ``[0, CSI_MAX]``."""

    def __init__(self, above: FloatArray, below: FloatArray) -> None:
        both = np.isfinite(above) & np.isfinite(below)
        self._above = Sums(np.where(both, above, np.nan))
        self._below = Sums(np.where(both, below, np.nan))

    def over(self, first: IntArray, last: IntArray) -> FloatArray:
        """NaN where nothing is known."""
        found = ratio(self._above.total(first, last), self._below.total(first, last))
        return np.clip(found, 0.0, CSI_MAX)


class Recent:
    """The past of a site as features ask for it."""

    def __init__(self, series: SiteSeries, sky: Sky) -> None:
        self.series, self.sky = series, sky
        self.hour = max(1, HOUR_MS // series.step_ms)
        """Steps that one hour's window spans."""
        self.csi = clear_sky_index(series.ac_power, sky)
        self.index = Sums(self.csi)
        self.ramp = Sums(np.abs(np.diff(self.csi, prepend=np.nan)))
        self.valid = Sums(series.ac_power)
        daylight = np.where(np.isfinite(self.csi), series.ac_power, np.nan)
        self.daylight_power = daylight
        self.energy = Ratio(daylight, sky.power[: len(series)])

    def valid_share(self, first: IntArray, last: IntArray) -> FloatArray:
        """Share of intervals with a measurement, day or night; before the start there is none."""
        return np.asarray(self.valid.count(first, last) / np.maximum(last - first, 1))


def look_up(values: FloatArray | None, where: IntArray) -> FloatArray:
    """``values[where]``, NaN outside of them or without such values."""
    if values is None or not len(values):
        return np.full(where.shape, np.nan)
    inside = (where >= 0) & (where < len(values))
    return np.where(inside, values[_within(where, len(values) - 1)], np.nan)


def ratio(upper: FloatArray, lower: FloatArray) -> FloatArray:
    """``upper / lower``, NaN where ``lower`` is nothing."""
    # Differences of running sums carry rounding: what should be nothing may be 1e-12.
    some = lower > 1e-6
    return np.where(some, upper / np.where(some, lower, 1.0), np.nan)


def _running(values: FloatArray | BoolArray) -> FloatArray:
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, dtype=np.float64, out=sums[1:])
    return sums


def _between(running: FloatArray, first: IntArray, last: IntArray) -> FloatArray:
    top = len(running) - 1
    return np.asarray(running[_within(last, top)] - running[_within(first, top)])


def _within(where: IntArray, top: int) -> IntArray:
    # On the few numbers of one forecast np.clip takes four times as long.
    return np.minimum(np.maximum(where, 0), top)
