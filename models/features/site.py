"""What a forecast needs to know of a site, and its history on the 15-minute grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    """Interval means of one site; element ``i`` covers ``[start + i*step, + step)``.

    ``ac_power`` [W] and what the site's own sensors measured, ``temp_air`` [degC], ``ghi`` and
    ``dhi`` [W/m2], have one length; NaN stands for what is not known or not to be believed.
    ``start`` lies on the grid of ``step_ms``: a quarter of an hour on the box; recordings may be
    coarser, and are then not made finer than they are.
    """

    start: Instant
    ac_power: FloatArray
    temp_air: FloatArray | None = None
    ghi: FloatArray | None = None
    dhi: FloatArray | None = None
    step_ms: int = STEP_MS

    def __post_init__(self) -> None:
        if self.step_ms <= 0 or self.start % self.step_ms:
            raise ValueError(
                f"start: {self.start} is not on the grid of {self.step_ms // 60_000} minutes"
            )
        for other in (self.temp_air, self.ghi, self.dhi):
            if other is not None and other.shape != self.ac_power.shape:
                raise ValueError("series of one site must have one length")

    def __len__(self) -> int:
        return len(self.ac_power)

    @property
    def end(self) -> Instant:
        """First instant after the series."""
        return self.start + len(self) * self.step_ms

    def index(self, instant: Instant) -> int:
        """Number of intervals from the start up to ``instant`` (may lie outside)."""
        return (instant - self.start) // self.step_ms

    def part(self, first: int, last: int) -> SiteSeries:
        """Elements ``first`` up to but not including ``last``, as views."""

        def cut(values: FloatArray | None) -> FloatArray | None:
            return None if values is None else values[first:last]

        return replace(
            self,
            start=self.start + first * self.step_ms,
            ac_power=self.ac_power[first:last],
            temp_air=cut(self.temp_air),
            ghi=cut(self.ghi),
            dhi=cut(self.dhi),
        )

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
        start = self.start + first * self.step_ms
        return SiteSeries(
            start, power, cut(self.temp_air), cut(self.ghi), cut(self.dhi), self.step_ms
        )
