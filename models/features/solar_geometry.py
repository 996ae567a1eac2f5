"""Where the sun is, for any instant and place, from NumPy alone.

Decides how an instant and a place become the sun's direction. Clear-sky irradiance belongs to
``clearsky``; which of these angles become model inputs belongs to the feature builder. Instants
are instants: for an interval mean pass the interval's midpoint.

Method: the leading terms of VSOP87 as tabulated by Meeus, *Astronomical Algorithms* (2nd ed.
1998, ch. 25 and appendix III), two nutation terms (ch. 22), aberration (ch. 25), apparent
sidereal time (ch. 12), solar parallax in elevation. Left out, each at most about 0.0003 degrees:
the sun's ecliptic latitude, smaller VSOP87 and nutation terms, the site's altitude.

Accuracy, 1990-2050, everywhere on Earth: within 0.002 degrees of NREL's Solar Position Algorithm
(tested); distance within 0.0001 au. Both take UTC for UT1: up to 0.9 s of Earth's rotation, or
0.004 degrees.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SOLAR_CONSTANT = 1361.0
"""Irradiance at 1 au [W/m2]; Kopp & Lean, Geophys. Res. Lett. 38 (2011) L01706."""

_J2000_MS = 946_728_000_000  # 2000-01-01 12:00 UTC
_MS_PER_DAY = 86_400_000.0
_DAYS_PER_CENTURY = 36_525.0
_BLOCK = 2048  # instants per matrix product: keeps the cosines in the processor's cache

# Amplitude [1e-8 rad or 1e-8 au], phase [rad], frequency [rad per Julian millennium].
_LONGITUDE = (
    (3_341_656, 4.6692568, 6283.07585),
    (34_894, 4.6261, 12566.1517),
    (3_497, 2.7441, 5753.3849),
    (3_418, 2.8289, 3.5231),
    (3_136, 3.6277, 77713.7715),
    (2_676, 4.4181, 7860.4194),
    (2_343, 6.1352, 3930.2097),
    (1_324, 0.7425, 11506.7698),
    (1_273, 2.0371, 529.691),
    (1_199, 1.1096, 1577.3435),
    (990, 5.233, 5884.927),
    (902, 2.045, 26.298),
    (857, 3.508, 398.149),
    (780, 1.179, 5223.694),
    (753, 2.533, 5507.553),
)
_LONGITUDE_PER_MILLENNIUM = ((206_059, 2.678235, 6283.07585), (4_303, 2.6351, 12566.1517))
_DISTANCE = ((1_670_700, 3.0984635, 6283.07585), (13_956, 3.05525, 12566.1517))
_DISTANCE_PER_MILLENNIUM = ((103_019, 1.10749, 6283.07585),)
# Nutation, Meeus ch. 22, in the same units: longitude is a sine series, hence the -pi/2.
_ARCSEC = np.pi / 648_000 * 1e8
_NODE = (np.radians(125.04452), np.radians(-19341.36261))  # ascending node of the Moon's orbit
_TWICE_SUN = (np.radians(560.9330), np.radians(720015.396))  # twice the sun's mean longitude
_NUTATION_LONGITUDE = (
    (-17.20 * _ARCSEC, _NODE[0] - np.pi / 2, _NODE[1]),
    (-1.32 * _ARCSEC, _TWICE_SUN[0] - np.pi / 2, _TWICE_SUN[1]),
)
_NUTATION_OBLIQUITY = ((9.20 * _ARCSEC, *_NODE), (0.57 * _ARCSEC, *_TWICE_SUN))

_SERIES = (
    _LONGITUDE,
    _LONGITUDE_PER_MILLENNIUM,
    _DISTANCE,
    _DISTANCE_PER_MILLENNIUM,
    _NUTATION_LONGITUDE,
    _NUTATION_OBLIQUITY,
)
_TERMS = np.array([term for series in _SERIES for term in series])
_PHASE, _FREQUENCY = _TERMS[:, 1:2], _TERMS[:, 2:3]
# One row per series, so that a single matrix product sums all of them.
_AMPLITUDE = (
    np.repeat(np.eye(len(_SERIES)), [len(s) for s in _SERIES], axis=1) * _TERMS[:, 0] * 1e-8
)


@dataclass(frozen=True, eq=False, slots=True)
class SolarPosition:
    """The sun seen from a place; every field has the broadcast shape of the inputs.

    Attributes:
        elevation: true (unrefracted) topocentric elevation of the centre of the disc, -90..90 [deg]
        azimuth: clockwise from north, 0 <= azimuth < 360 [deg]; at a pole relative to the
            meridian of the longitude given
        declination: apparent geocentric declination [deg]
        hour_angle: local apparent hour angle, -180..180, positive after solar noon [deg]
        ecliptic_longitude: apparent geocentric longitude, 0 <= longitude < 360, 0 at the March
            equinox: the season without leap-year jumps [deg]
        distance_au: distance between Earth and sun [au]
    """

    elevation: FloatArray
    azimuth: FloatArray
    declination: FloatArray
    hour_angle: FloatArray
    ecliptic_longitude: FloatArray
    distance_au: FloatArray

    @property
    def dni_extra(self) -> FloatArray:
        """Extraterrestrial normal irradiance [W/m2]: solar constant over distance squared."""
        return np.asarray(SOLAR_CONSTANT / self.distance_au**2)


def solar_position(
    time_ms: npt.ArrayLike, latitude: npt.ArrayLike, longitude: npt.ArrayLike
) -> SolarPosition:
    """Compute the position of the sun.

    Args:
        time_ms: UTC epoch milliseconds, integers of any shape; accurate for 1990-2050, finite
            for every int64
        latitude: geodetic, north positive, -90..90 [deg]; broadcasts against ``time_ms``
        longitude: east positive, any finite number [deg]; broadcasts likewise

    Raises:
        TypeError: ``time_ms`` is not of an integer type.
        ValueError: a latitude or longitude is out of range or not finite, or shapes differ.
    """
    time = np.asarray(time_ms)
    if time.dtype.kind not in "iu":
        raise TypeError(f"time_ms must be integer UTC epoch milliseconds, got {time.dtype}")
    lat = np.asarray(latitude, dtype=np.float64)
    lon = np.asarray(longitude, dtype=np.float64)
    if not np.all(np.abs(lat) <= 90.0):
        raise ValueError("latitude must lie in -90..90 degrees")
    if not np.all(np.isfinite(lon)):
        raise ValueError("longitude must be a finite number of degrees")

    # The geocentric part keeps the shape of time: a grid of times x places pays for it once.
    days = (time.astype(np.float64) - _J2000_MS) / _MS_PER_DAY
    ecliptic_longitude, obliquity, equation_of_equinoxes, distance = _geocentric(days)
    sin_longitude = np.sin(ecliptic_longitude)
    right_ascension = np.arctan2(np.cos(obliquity) * sin_longitude, np.cos(ecliptic_longitude))
    sin_declination = np.sin(obliquity) * sin_longitude
    declination = np.arcsin(np.clip(sin_declination, -1.0, 1.0))
    greenwich = _mean_sidereal_time(days) + np.degrees(equation_of_equinoxes - right_ascension)

    hour_angle = np.mod(greenwich + lon + 180.0, 360.0) - 180.0
    hour_angle_rad, lat_rad = np.radians(hour_angle), np.radians(lat)
    sin_lat, cos_lat = np.sin(lat_rad), np.cos(lat_rad)
    cos_declination = np.cos(declination)
    meridian = cos_declination * np.cos(hour_angle_rad)
    east = -cos_declination * np.sin(hour_angle_rad)
    north = sin_declination * cos_lat - meridian * sin_lat
    up = sin_declination * sin_lat + meridian * cos_lat
    # arctan2 stays exact near the zenith, where arcsin loses half its digits. Parallax lowers the
    # sun by 8.794" / distance times the cosine of its elevation (Meeus ch. 40, spherical Earth).
    horizontal = np.hypot(east, north)
    parallax = np.radians(8.794 / 3600.0) / distance * horizontal
    elevation = np.asarray(np.degrees(np.arctan2(up, horizontal) - parallax))

    shape = elevation.shape
    return SolarPosition(
        elevation=elevation,
        azimuth=_wrap_360(np.degrees(np.arctan2(east, north))),
        declination=_expand(np.degrees(declination), shape),
        hour_angle=_expand(hour_angle, shape),
        ecliptic_longitude=_expand(_wrap_360(np.degrees(ecliptic_longitude)), shape),
        distance_au=_expand(distance, shape),
    )


def apparent_elevation(
    elevation: npt.ArrayLike, *, pressure: npt.ArrayLike = 101_325.0, temp_air: float = 12.0
) -> FloatArray:
    """Add atmospheric refraction to the true elevation [deg].

    Reda & Andreas, Solar Energy 76 (2004) 577-589, eq. 42 (after Saemundsson 1986), with the
    paper's cut: no refraction while the whole refracted disc is below the horizon.

    Args:
        elevation: true elevation [deg]
        pressure: annual mean at the site [Pa]
        temp_air: annual mean at the site [degC]
    """
    true = np.asarray(elevation, dtype=np.float64)
    lowest = -(0.26667 + 0.5667)  # radius of the disc, refraction at the horizon
    seen = np.maximum(true, lowest)  # also keeps the formula away from its pole at -5.11
    density = np.asarray(pressure, dtype=np.float64) / 101_000.0 * (283.0 / (273.0 + temp_air))
    refraction = density * 1.02 / (60.0 * np.tan(np.radians(seen + 10.3 / (seen + 5.11))))
    return np.asarray(true + np.where(true >= lowest, refraction, 0.0))


def air_mass(apparent_elevation: npt.ArrayLike) -> FloatArray:
    """Relative optical air mass: 1 at the zenith, 37.9 at the horizon and for any sun below it.

    Kasten & Young, Applied Optics 28 (1989) 4735-4738. At sea level; multiply by
    pressure / 101325 Pa for the absolute air mass.
    """
    above = np.clip(np.asarray(apparent_elevation, dtype=np.float64), 0.0, 90.0)
    return np.asarray(1.0 / (np.sin(np.radians(above)) + 0.50572 * (above + 6.07995) ** -1.6364))


def aoi_projection(
    position: SolarPosition, tilt: npt.ArrayLike, azimuth: npt.ArrayLike
) -> FloatArray:
    """Cosine of the angle of incidence of the sun on a plane, -1..1; negative from behind.

    The dot product of the directions of sun and surface normal, from the true elevation.

    Args:
        position: sun position
        tilt: surface tilt, 0 = horizontal facing up, 90 = vertical [deg]
        azimuth: direction the surface faces, clockwise from north [deg]
    """
    tilt_rad = np.radians(np.asarray(tilt, dtype=np.float64))
    elevation = np.radians(position.elevation)
    facing = np.cos(np.radians(position.azimuth - np.asarray(azimuth, dtype=np.float64)))
    cosine = np.sin(elevation) * np.cos(tilt_rad) + np.cos(elevation) * np.sin(tilt_rad) * facing
    return np.asarray(np.clip(cosine, -1.0, 1.0))


def _geocentric(days: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Apparent longitude [rad], obliquity [rad], equation of equinoxes [rad], distance [au].

    ``days`` since J2000.0 in UT; every result has its shape.
    """
    t = (days + _delta_t(days) / 86_400.0) / (10.0 * _DAYS_PER_CENTURY)  # Julian millennia, TT
    longitude_0, longitude_1, distance_0, distance_1, nutation, nutation_obliquity = _sum_series(
        t.reshape(-1)
    ).reshape(len(_SERIES), *t.shape)
    distance = 1.00013989 + distance_0 + t * distance_1
    heliocentric = 1.75347046 + t * (6283.31966747 + t * 5.2919e-4 + longitude_1) + longitude_0
    aberration = np.radians(20.4898 / 3600.0) / distance
    longitude = heliocentric + np.pi + nutation - aberration
    obliquity = np.radians(23.4392911 - 0.130042 * t) + nutation_obliquity
    return longitude, obliquity, nutation * np.cos(obliquity), distance


def _sum_series(t: FloatArray) -> FloatArray:
    """Each of ``_SERIES`` at each of n millennia: shape (series, n)."""
    sums = np.empty((len(_SERIES), t.size))
    for start in range(0, t.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        sums[:, block] = _AMPLITUDE @ np.cos(_PHASE + _FREQUENCY * t[block])
    return sums


def _delta_t(days: FloatArray) -> FloatArray:
    """TT - UT [s], Espenak & Meeus' polynomial for 2005-2050 (NASA/TP-2006-214141).

    Used for all times: 4 s off in 1990, and even 30 s move the sun by only 0.0003 degrees.
    """
    years = days / 365.25
    return 62.92 + years * (0.32217 + years * 0.005589)


def _mean_sidereal_time(days: FloatArray) -> FloatArray:
    """Mean sidereal time at Greenwich [deg], not reduced; Meeus eq. 12.4."""
    centuries = days / _DAYS_PER_CENTURY
    return 280.46061837 + 360.98564736629 * days + 0.000387933 * centuries**2


def _wrap_360(degrees: npt.ArrayLike) -> FloatArray:
    wrapped = np.mod(degrees, 360.0)
    return np.where(wrapped < 360.0, wrapped, 0.0)  # mod rounds -1e-15 up to 360.0 itself


def _expand(values: npt.ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    return array if array.shape == shape else np.broadcast_to(array, shape).copy()
