"""What a plane of modules gives under a cloudless sky: the yardstick of a learned site.

A little closer to a real plant than the yardstick of ``sky`` (bright sky around the sun, reflection
at flat angles, warm modules, summer's moist air), because such effects would otherwise be taken for
an orientation, or for a change of the plant's size with the season.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .clearsky import simplified_solis
from .site import FloatArray, IntArray, Site
from .solar_geometry import SolarPosition, apparent_elevation

AEROSOLS = (0.05, 0.15, 0.35)
"""Optical depths that are told apart: clean, usual and hazy air."""
_ALBEDO = 0.2
_REFLECTION = 0.05  # ASHRAE's coefficient for glass
_GAMMA, _ROSS = -0.004, 0.031  # power per kelvin, kelvins per W/m2: as in ``clearsky``


@dataclass(frozen=True, eq=False)
class Suns:
    """The sun and a cloudless sky at n instants, as a tilted plane needs them."""

    direction: FloatArray
    """East, north, up; shape (3, n)."""
    beam: FloatArray
    """From the sun and the bright sky around it, on a plane that faces it [W/m2]."""
    dome: FloatArray
    """From the rest of the sky, on a horizontal plane [W/m2]."""
    ground: FloatArray
    """Reflected by the ground [W/m2]."""
    temp_air: FloatArray

    def part(self, where: IntArray) -> Suns:
        """The same at some of the instants."""
        return Suns(
            self.direction[:, where],
            self.beam[where],
            self.dome[where],
            self.ground[where],
            self.temp_air[where],
        )


def suns_under(
    site: Site, position: SolarPosition, aerosol: float, temp_air: FloatArray | None = None
) -> Suns:
    """A cloudless sky as the place and the season make it; ``temp_air`` where it was measured."""
    seen = apparent_elevation(position.elevation, pressure=site.pressure)
    usual = _usual_temperature(site, position.declination)
    warm = usual if temp_air is None else np.where(np.isfinite(temp_air), temp_air, usual)
    sky = simplified_solis(
        seen,
        aod700=aerosol,
        precipitable_water=np.clip(0.7 * np.exp(0.06 * warm), 0.4, 4.0),
        pressure=site.pressure,
        dni_extra=position.dni_extra,
    )
    el, az = np.radians(position.elevation), np.radians(position.azimuth)
    direction = np.stack([np.cos(el) * np.sin(az), np.cos(el) * np.cos(az), np.sin(el)])
    around = sky.dni / position.dni_extra  # Hay and Davies' share of the diffuse light
    return Suns(
        direction,
        sky.dni + sky.dhi * around / np.maximum(direction[2], 0.06),
        sky.dhi * (1.0 - around),
        sky.ghi * _ALBEDO,
        warm,
    )


def _usual_temperature(site: Site, declination: FloatArray) -> FloatArray:
    """Daytime temperature of a place and season, to some kelvins [degC]."""
    north = abs(site.latitude)
    summer = declination / 23.4 * (1.0 if site.latitude >= 0.0 else -1.0)
    return np.asarray(31.0 - 0.4 * north + 0.26 * north * summer - 0.005 * max(site.elevation, 0.0))


def lean(tilt: float, azimuth: float) -> FloatArray:
    """Orientation as a vector (east, north) as long as the tilt [deg]; smooth where it is flat."""
    turn = np.radians(azimuth)
    return np.array([tilt * np.sin(turn), tilt * np.cos(turn)])


def orientation(leaning: FloatArray) -> tuple[float, float]:
    """Tilt and azimuth of a ``lean``."""
    tilt = float(np.hypot(leaning[0], leaning[1]))
    return tilt, float(np.degrees(np.arctan2(leaning[0], leaning[1])) % 360.0)


def unit_power(suns: Suns, leaning: FloatArray) -> FloatArray:
    """Power of planes of 1 W at 1000 W/m2; ``leaning`` (2,) gives (n,), (2, g) gives (g, n)."""
    east, north = leaning[0], leaning[1]
    tilt = np.radians(np.hypot(east, north))
    part = np.radians(np.sinc(tilt / np.pi))  # sin(tilt) / tilt, per degree
    up = np.cos(tilt)
    normal = np.stack([east * part, north * part, up], axis=-1)
    cosine = normal @ suns.direction
    facing = np.maximum(cosine, 1e-3)
    passed = np.clip(1.0 - _REFLECTION * (1.0 / facing - 1.0), 0.0, 1.0)
    half = np.asarray((1.0 + up) / 2.0)[..., None]
    poa = suns.beam * np.maximum(cosine, 0.0) * passed
    poa = poa + suns.dome * half + suns.ground * (1.0 - half)
    warm = 1.0 + _GAMMA * (suns.temp_air + _ROSS * poa - 25.0)
    return np.asarray(poa / 1000.0 * warm)
