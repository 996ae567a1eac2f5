"""Forecast weather of a site on the grid of its series, and what a plant would make of it.

Decides how a numerical forecast becomes columns: irradiance as an index of the cloudless sky (which
may be interpolated between coarse steps, as irradiance itself may not), power by the textbook chain
from horizontal irradiance to the tilted plane. It leaves to others: which run of the weather model
was known at an issue (the caller hands in that run), and how far it is to be believed (the models).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.contract.quantities import quantity
from models.contract.timestamps import STEP_MS, Instant

from .clearsky import ClearSky, clearsky_ac_power, clearsky_poa
from .site import FloatArray, Site
from .sky import CSI_MAX, Sky
from .spec import PLAIN_WEATHER

_LEAST_CLEAR = 5.0
"""Clear-sky irradiance [W/m2] below which an index says nothing."""
_LEAST_SINE = 0.035
"""Sine of two degrees: beam on the horizontal is not divided by less."""
_MOST_BEAM = 1100.0
"""W/m2; no more reaches the ground directly."""


@dataclass(frozen=True, eq=False)
class WeatherSeries:
    """A weather forecast: ``values[name][i]`` is the mean over ``[start + i*step, + step)``.

    Names and units are the contract's; NaN where the forecast says nothing. Raises ``ValueError``
    for arrays of different lengths, ``ContractError`` for an unknown quantity.
    """

    start: Instant
    values: Mapping[str, FloatArray]
    step_ms: int = STEP_MS

    def __post_init__(self) -> None:
        if self.step_ms <= 0 or self.start % self.step_ms:
            raise ValueError(f"start: {self.start} is not on the grid of {self.step_ms} ms")
        for name in self.values:
            quantity(name)
        if len({len(values) for values in self.values.values()}) > 1:
            raise ValueError("weather: all quantities must have one length")

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))


@dataclass(frozen=True, eq=False)
class SkyWeather:
    """Per interval of a ``Sky``: indices of irradiance and power, and ``PLAIN_WEATHER`` quantities.

    Everything is NaN where the forecast does not reach; the indices also at night.
    """

    ghi: FloatArray
    """Forecast global horizontal irradiance [W/m2]."""
    ghi_index: FloatArray
    """The same over the cloudless, 0..CSI_MAX."""
    direct_share: FloatArray
    """Share of the global irradiance that comes from the sun itself, where the forecast says so."""
    power_index: FloatArray
    """Power that the chain gives over clear-sky power, 0..CSI_MAX."""
    plain: Mapping[str, FloatArray]
    """As forecast, and the sine and cosine of the wind's direction."""

    @classmethod
    def over(cls, site: Site, start: Instant, sky: Sky, weather: WeatherSeries) -> SkyWeather:
        """``weather`` laid on the intervals of ``sky``, which begin at ``start``."""
        steps = len(sky.ghi)
        weather = refined(site, weather, sky.step_ms)
        index = _index(laid(weather, "ghi", start, steps, sky.step_ms), sky.ghi)
        diffuse = _diffuse(
            sky,
            laid(weather, "dhi", start, steps, sky.step_ms),
            laid(weather, "dni", start, steps, sky.step_ms),
            index,
        )
        ghi = index * sky.ghi
        power = chain_power(site, sky, ghi, diffuse)
        bright = sky.daylight & np.isfinite(power)
        ratio = np.where(bright, power / np.where(sky.daylight, sky.power, 1.0), np.nan)
        lit = np.where(ghi > _LEAST_CLEAR, ghi, np.nan)
        direction = np.radians(laid(weather, "wind_direction", start, steps, sky.step_ms))
        plain = {name: laid(weather, name, start, steps, sky.step_ms) for name in PLAIN_WEATHER}
        return cls(
            ghi=ghi,
            ghi_index=index,
            direct_share=np.clip(1.0 - diffuse / lit, 0.0, 1.0),
            power_index=np.clip(ratio, 0.0, CSI_MAX),
            plain=plain | {"wind_sin": np.sin(direction), "wind_cos": np.cos(direction)},
        )

    def part(self, first: int, last: int) -> SkyWeather:
        """Intervals ``first`` up to but not including ``last``."""
        cut = slice(first, last)
        return SkyWeather(
            ghi=self.ghi[cut],
            ghi_index=self.ghi_index[cut],
            direct_share=self.direct_share[cut],
            power_index=self.power_index[cut],
            plain={name: values[cut] for name, values in self.plain.items()},
        )


def chain_power(site: Site, sky: Sky, ghi: FloatArray, dhi: FloatArray | None = None) -> FloatArray:
    """AC power [W] of a plant without losses under ``ghi`` [W/m2], per interval of ``sky``.

    Where ``dhi`` is not known the diffuse share follows Erbs, Klein & Duffie, Solar Energy 28
    (1982) 293-302, from the clearness index. NaN where ``ghi`` is not known.
    """
    sine = np.sin(np.radians(sky.position.elevation))
    floor = np.maximum(sine, _LEAST_SINE)
    known = np.nan_to_num(ghi)
    clearness = np.clip(known / (sky.position.dni_extra * floor), 0.0, 1.0)
    diffuse = known * erbs_diffuse_share(clearness)
    if dhi is not None:
        diffuse = np.where(np.isfinite(dhi), np.minimum(np.nan_to_num(dhi), known), diffuse)
    beam = np.clip((known - diffuse) / floor, 0.0, _MOST_BEAM)
    poa = clearsky_poa(sky.position, ClearSky(known, beam, diffuse), site.tilt, site.azimuth)
    power = clearsky_ac_power(np.maximum(poa, 0.0), site.dc_capacity_w, site.ac_capacity_w)
    return np.where(np.isfinite(ghi), power, np.nan)


def _diffuse(sky: Sky, dhi: FloatArray, dni: FloatArray, index: FloatArray) -> FloatArray:
    """Diffuse irradiance as forecast, or what is left beside the forecast beam; else NaN."""
    sine = np.maximum(np.sin(np.radians(sky.position.elevation)), 0.0)
    rest = np.maximum(index * sky.ghi - dni * sine, 0.0)
    return np.where(np.isfinite(dhi), dhi, rest)


def erbs_diffuse_share(clearness: FloatArray) -> FloatArray:
    """Diffuse over global irradiance from the clearness index (Erbs et al. 1982, eq. 1)."""
    k = np.asarray(clearness, dtype=np.float64)
    middle = 0.9511 - 0.1604 * k + 4.388 * k**2 - 16.638 * k**3 + 12.336 * k**4
    return np.where(k <= 0.22, 1.0 - 0.09 * k, np.where(k <= 0.8, middle, 0.165))


def refined(site: Site, weather: WeatherSeries, step_ms: int = STEP_MS) -> WeatherSeries:
    """``weather`` in shorter steps: irradiance by the index of the cloudless sky between its steps.

    Irradiance itself bends too much at dawn to be interpolated. Steps that are short enough are
    left as they are.
    """
    if weather.step_ms <= step_ms or not len(weather):
        return weather
    start, steps = weather.start, len(weather) * (weather.step_ms // step_ms)
    coarse, fine = (
        Sky.over(site, start, count, step).ghi
        for count, step in ((len(weather), weather.step_ms), (steps, step_ms))
    )
    values = {name: laid(weather, name, start, steps, step_ms) for name in weather.values}
    for name in ("ghi", "dni", "dhi"):
        if name in values:
            index = _carried(_index(np.asarray(weather.values[name], np.float64), coarse))
            between = WeatherSeries(start, {name: index}, weather.step_ms)
            bright = np.where(fine >= _LEAST_CLEAR, fine, 0.0)
            values[name] = laid(between, name, start, steps, step_ms) * bright
    return WeatherSeries(start, values, step_ms)


def _index(ghi: FloatArray, clear: FloatArray) -> FloatArray:
    enough = clear >= _LEAST_CLEAR
    return np.where(enough, np.clip(ghi / np.where(enough, clear, 1.0), 0.0, CSI_MAX), np.nan)


def _carried(index: FloatArray) -> FloatArray:
    """Nights take the nearest daylight index, so that dawn is not interpolated from nothing."""
    known = np.flatnonzero(np.isfinite(index))
    if not len(known):
        return index
    return np.asarray(np.interp(np.arange(len(index)), known, index[known]))


def laid(weather: WeatherSeries, name: str, start: Instant, steps: int, step_ms: int) -> FloatArray:
    """One quantity at the middles of ``steps`` intervals from ``start``: itself, or interpolated.

    NaN where the forecast does not reach, or does not speak of ``name``.
    """
    values = weather.values.get(name)
    if values is None or not len(values):
        return np.full(steps, np.nan)
    values = np.asarray(values, dtype=np.float64)
    middle = start + step_ms // 2 + np.arange(steps, dtype=np.int64) * step_ms
    end = weather.start + len(values) * weather.step_ms
    inside = (middle >= weather.start) & (middle < end)
    if weather.step_ms <= step_ms:
        place = np.clip((middle - weather.start) // weather.step_ms, 0, len(values) - 1)
        return np.where(inside, values[place], np.nan)
    at = (middle - weather.start) / weather.step_ms - 0.5
    low = np.clip(np.floor(at).astype(np.int64), 0, max(len(values) - 2, 0))
    share = np.clip(at - low, 0.0, 1.0)
    high = np.minimum(low + 1, len(values) - 1)
    return np.where(inside, values[low] * (1.0 - share) + values[high] * share, np.nan)
