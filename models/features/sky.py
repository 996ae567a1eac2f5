"""The cloudless yardstick of one site over a run of intervals.

Computed once per series and used by features, baselines and forecasters alike, so that a clear-sky
index means the same everywhere. The sun is taken at the middle of each interval; irradiance and
power of intervals longer than a quarter of an hour are means over their quarters, because at dawn
the middle of an hour says little about it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from models.contract.timestamps import DAY_MS, STEP_MS, Instant

from .clearsky import clearsky_ac_power, clearsky_poa, simplified_solis
from .site import FloatArray, IntArray, Site
from .solar_geometry import (
    SolarPosition,
    air_mass,
    aoi_projection,
    apparent_elevation,
    solar_position,
)

if TYPE_CHECKING:
    from .learned_site import LearnedSite

CSI_MAX = 1.6
"""Clear-sky indices above this are cut: broken cloud exceeds 1 by tens of percent for minutes, and
near the horizon the ratio of two small numbers says nothing."""
DAYLIGHT_SHARE = 0.02
"""An interval is daylight when a cloudless sky would give this share of the AC capacity."""

RECENT_ENERGY = 0.2
"""Share of one step at full capacity that a cloudless sky must have given before an index is
carried forward: at noon the last interval says it all, at dusk several say little."""
LOOK_BACK_MS = 3 * DAY_MS
"""How far back it may lie."""
PRIOR_INDEX = 0.75
"""Index of a site that has never been seen in daylight."""


@dataclass(frozen=True, eq=False)
class Sky:
    """Per interval: position of the sun, clear-sky irradiance [W/m2] and AC power [W]."""

    position: SolarPosition
    ghi: FloatArray
    power: FloatArray
    incidence: FloatArray
    """Cosine of the angle of incidence on the modules."""
    air_mass: FloatArray
    daylight: np.ndarray[tuple[int], np.dtype[np.bool_]]
    capacity_w: float
    step_ms: int = STEP_MS

    @classmethod
    def over(
        cls,
        site: Site,
        start: Instant,
        steps: int,
        step_ms: int = STEP_MS,
        learned: LearnedSite | None = None,
    ) -> Sky:
        """The sky over ``steps`` intervals of ``step_ms`` from ``start``.

        With ``learned`` its clear-sky power is taken: planes, shade, haze and cut-off as measured.
        """
        midpoints = start + step_ms // 2 + np.arange(steps, dtype=np.int64) * step_ms
        position = solar_position(midpoints, site.latitude, site.longitude)
        seen = apparent_elevation(position.elevation, pressure=site.pressure)
        if step_ms > STEP_MS and step_ms % STEP_MS == 0:
            quarters = step_ms // STEP_MS
            fine = cls.over(site, start, steps * quarters, learned=learned)
            ghi, power = (
                values.reshape(steps, quarters).mean(axis=1) for values in (fine.ghi, fine.power)
            )
        else:
            clear = simplified_solis(seen, pressure=site.pressure, dni_extra=position.dni_extra)
            ghi = clear.ghi
            if learned is None:
                poa = clearsky_poa(position, clear, site.tilt, site.azimuth)
                power = clearsky_ac_power(poa, site.dc_capacity_w, site.ac_capacity_w)
            else:
                power = learned.clear_power_under(position)
                # Hills and labels: where it never gave anything it will not now.
                power = np.where(position.elevation < learned.lowest_elevation, 0.0, power)
        return cls(
            position=position,
            ghi=ghi,
            power=power,
            incidence=aoi_projection(position, site.tilt, site.azimuth),
            air_mass=air_mass(seen),
            daylight=power > DAYLIGHT_SHARE * site.ac_capacity_w,
            capacity_w=site.ac_capacity_w,
            step_ms=step_ms,
        )

    def part(self, first: int, last: int) -> Sky:
        """Intervals ``first`` up to but not including ``last``."""
        cut = slice(first, last)
        position = replace(
            self.position,
            **{one.name: getattr(self.position, one.name)[cut] for one in fields(self.position)},
        )
        return replace(
            self,
            position=position,
            ghi=self.ghi[cut],
            power=self.power[cut],
            incidence=self.incidence[cut],
            air_mass=self.air_mass[cut],
            daylight=self.daylight[cut],
        )

    def with_power(self, power: FloatArray) -> Sky:
        """The same sky over a plant that would give ``power`` [W] under it."""
        return replace(self, power=power, daylight=power > DAYLIGHT_SHARE * self.capacity_w)


def clear_sky_index(power: FloatArray, sky: Sky) -> FloatArray:
    """Measured over clear-sky power, 0..CSI_MAX; NaN without daylight or without a measurement."""
    index = np.full(len(power), np.nan)
    usable = sky.daylight[: len(power)] & np.isfinite(power)
    index[usable] = np.clip(power[usable] / sky.power[: len(power)][usable], 0.0, CSI_MAX)
    return index


def persisted_index(power: FloatArray, sky: Sky, issues: IntArray) -> FloatArray:
    """Clear-sky index to carry forward from each issue, shape ``(len(issues),)``.

    Ratio of measured to clear-sky energy over the last daylight intervals before the issue, as many
    as it takes for ``RECENT_ENERGY``; ``PRIOR_INDEX`` when there were none within ``LOOK_BACK_MS``.
    """
    look_back = LOOK_BACK_MS // sky.step_ms
    usable = sky.daylight[: len(power)] & np.isfinite(power)
    where = np.flatnonzero(usable)
    measured = np.concatenate([[0.0], np.cumsum(power[where])])
    possible = np.concatenate([[0.0], np.cumsum(sky.power[where])])
    last = np.searchsorted(where, issues)  # usable intervals before the issue
    enough = RECENT_ENERGY * sky.capacity_w
    first = np.searchsorted(possible, possible[last] - enough, side="right") - 1
    first = np.maximum(np.maximum(first, 0), np.searchsorted(where, issues - look_back))
    energy, clear = measured[last] - measured[first], possible[last] - possible[first]
    known = last > first
    index = np.full(len(issues), PRIOR_INDEX)
    index[known] = np.clip(energy[known] / clear[known], 0.0, CSI_MAX)
    return index
