"""How large a plant is: what its cloudless intervals give, over what its planes would.

The size is effective, with every loss in it, so that a cloudless day has an index of about 1. It
follows the last weeks more than the first ones, as modules age and soil; the orientation does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._learned_days import BoolArray, SolarDays
from ._learned_fit import Fit
from ._learned_plane import AEROSOLS, lean, orientation, suns_under, unit_power
from .clearsky import clearsky_poa, simplified_solis
from .site import FloatArray, Site
from .solar_geometry import apparent_elevation, solar_position

_STRONG = 0.3
"""Share of the best power from which an interval says something of the size."""
_MEMORY_DAYS = 60.0
USUAL_YIELD = 0.9
"""Of the nameplate on a cloudless day: wiring, dirt, mismatch, inverter."""


@dataclass(frozen=True, eq=False)
class Size:
    """Planes with their sizes."""

    faces: tuple[tuple[float, float, float], ...]
    """Tilt, azimuth [deg], DC size [W] of each plane."""
    of_sky_w: float
    """DC size of all together under the plainer yardstick of ``sky`` [W]."""
    expected: FloatArray
    """What the planes give without cloud, shade or limit where asked for, else 0 [W]."""


def learn_size(
    declared: Site,
    days: SolarDays,
    fit: Fit,
    weight: float,
    near: BoolArray,
    seen: BoolArray,
) -> Size | None:
    """Sizes of the planes of ``fit``; None where no strong sun was seen.

    Args:
        declared: the form, which holds as far as ``weight`` is below 1
        days: the history
        fit: orientations and shares of the planes
        weight: of the measurements
        near: intervals to expect power for
        seen: cloudless ones among them, not cut off
    """
    shares = fit.scales / fit.scales.sum()
    said = lean(declared.tilt, declared.azimuth)[:, None]
    leans = weight * fit.leans + (1.0 - weight) * said
    faces = [orientation(leans[:, number]) for number in range(len(shares))]
    position = solar_position(days.times[near], declared.latitude, declared.longitude)
    ours, plain = np.zeros(days.power.shape), np.zeros(days.power.shape)
    ours[near] = shares @ unit_power(suns_under(declared, position, AEROSOLS[fit.aerosol]), leans)
    apparent = apparent_elevation(position.elevation, pressure=declared.pressure)
    sky = simplified_solis(apparent, pressure=declared.pressure, dni_extra=position.dni_extra)
    for share, (tilt, azimuth) in zip(shares, faces, strict=True):
        plain[near] += share * clearsky_poa(position, sky, tilt, azimuth) / 1000.0
    strong = seen & (ours > _STRONG * ours.max())
    if not strong.any():
        return None
    age = len(days.power) - 1 - np.nonzero(strong)[0]
    size, of_sky_w = (
        _typical(days.power[strong] / unit[strong], np.exp(-age / _MEMORY_DAYS)) ** weight
        * said_w ** (1.0 - weight)
        for unit, said_w in (
            (ours, USUAL_YIELD * declared.dc_capacity_w),
            (plain, declared.dc_capacity_w),
        )
    )
    rounded = tuple(
        (round(min(tilt, 90.0), 2), round(azimuth, 2) % 360.0, float(share) * size)
        for share, (tilt, azimuth) in zip(shares, faces, strict=True)
    )
    return Size(rounded, of_sky_w, size * ours)


def _typical(ratios: FloatArray, weights: FloatArray) -> float:
    """Where cloudless ratios crowd: the middle of the shortest stretch that holds half of them."""
    order = np.argsort(ratios)
    ordered, weight = ratios[order], weights[order]
    heap = np.cumsum(weight)
    last = np.searchsorted(heap, heap - weight + 0.5 * heap[-1])
    first = np.flatnonzero(last < len(ordered))
    best = first[int(np.argmin(ordered[last[first]] - ordered[first]))]
    middle = int(np.searchsorted(heap, heap[best] - weight[best] + 0.25 * heap[-1]))
    return float(ordered[min(middle, len(ordered) - 1)])
