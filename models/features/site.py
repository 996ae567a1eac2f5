"""What a forecast needs to know of a site, and its history on the 15-minute grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import STEP_MS, Instant

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Site:
    """Where a plant stands and what it can do. Declared values: orientation is not yet learned.

    ``tilt`` and ``azimuth`` in degrees (azimuth clockwise from north), capacities in W,
    ``elevation`` in m. Raises ``ValueError`` as ``key: reason`` for impossible values.
    """

    latitude: float
    longitude: float
    dc_capacity_w: float
    ac_capacity_w: float
    tilt: float = 0.0
    azimuth: float = 180.0
    elevation: float = 0.0

    def __post_init__(self) -> None:
        for name, lowest, highest in (
            ("latitude", -90.0, 90.0),
            ("longitude", -180.0, 180.0),
            ("tilt", 0.0, 90.0),
            ("azimuth", 0.0, 360.0),
            ("elevation", -450.0, 9000.0),
        ):
            if not lowest <= getattr(self, name) <= highest:
                raise ValueError(f"{name}: must be from {lowest:g} to {highest:g}")
        for name in ("dc_capacity_w", "ac_capacity_w"):
            if not 0 < getattr(self, name) < 1e10:
                raise ValueError(f"{name}: must be above 0 W")

    @property
    def pressure(self) -> float:
        """Mean air pressure at this height [Pa], ICAO standard atmosphere."""
        return float(101_325.0 * (1.0 - 2.25577e-5 * self.elevation) ** 5.25588)


@dataclass(frozen=True, eq=False)
class SiteSeries:
    """Interval means of one site; element ``i`` covers ``[start + i*STEP, + STEP)``.

    ``ac_power`` [W] and the optional ``temp_air`` [degC] and ``ghi`` [W/m2] have one length; NaN
    stands for what is not known or not to be believed. ``start`` lies on the 15-minute grid.
    """

    start: Instant
    ac_power: FloatArray
    temp_air: FloatArray | None = None
    ghi: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.start % STEP_MS:
            raise ValueError(f"start: {self.start} is not on the 15-minute grid")
        for other in (self.temp_air, self.ghi):
            if other is not None and other.shape != self.ac_power.shape:
                raise ValueError("series of one site must have one length")

    def __len__(self) -> int:
        return len(self.ac_power)

    @property
    def end(self) -> Instant:
        """First instant after the series."""
        return self.start + len(self) * STEP_MS

    def index(self, instant: Instant) -> int:
        """Number of intervals from the start up to ``instant`` (may lie outside)."""
        return (instant - self.start) // STEP_MS

    def window(self, first: int, last: int) -> SiteSeries:
        """Elements ``first`` up to but not including ``last``, filled with NaN beyond the ends."""

        def cut(values: FloatArray | None) -> FloatArray | None:
            if values is None:
                return None
            result = np.full(last - first, np.nan)
            low, high = max(first, 0), min(last, len(values))
            if low < high:
                result[low - first : high - first] = values[low:high]
            return result

        power = cut(self.ac_power)
        assert power is not None
        start = self.start + first * STEP_MS
        return SiteSeries(start, power, cut(self.temp_air), cut(self.ghi))
