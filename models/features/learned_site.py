"""What a site's own measurements say of it: orientation, size, cut-off, shade.

Forms are often wrong about roofs. ``learn_site`` reads a history and gives a ``LearnedSite`` that
keeps to the form while there is little to go by and moves to what was measured as evidence grows.
Soiling and slow drift are left to whoever follows the clear-sky index day by day; repairing a
clock is left to the intake (here it is only pointed out); clamping forecasts is the caller's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import HOUR_MS

from ._learned_choice import choose_orientation
from ._learned_days import BoolArray, SolarDays, plateau
from ._learned_fit import Clear
from ._learned_plane import AEROSOLS, lean, orientation, suns_under, unit_power
from ._learned_shade import (
    BINS,
    LOWEST_UNKNOWN,
    between_bins,
    clock_offset,
    lowest_elevation,
    shading,
)
from ._learned_size import USUAL_YIELD, learn_size
from .site import FloatArray, Site, SiteSeries
from .solar_geometry import SolarPosition, solar_position

VERSION = 1
FORM_DAYS = 7
"""Up to this many days with power the form is believed."""
LEARNED_DAYS = 21
"""From this many days on the measurements are."""
_CLEAR_DAYS = 8
"""Days with cloudless hours that the measurements need for their full weight."""
_MOST_INTERVALS = 1200
_LOWEST_SUN = 7.0  # below it hills, trees and thick air decide, not the roof
_MOST_OVER_DC = 1.25
"""Cold, bright noons give this much over what the modules give on a usual cloudless day."""
_UNCUT = 0.97
_BRIGHT, _BRIGHT_HOURS = 0.85, 2
_INLIER = 0.5


@dataclass(frozen=True)
class Plane:
    """A part of the modules that face one way; degrees, and effective W (all losses in it)."""

    tilt: float
    azimuth: float
    dc_capacity_w: float


@dataclass(frozen=True)
class Evidence:
    """How much stands behind what was learned."""

    days: int = 0
    """Days with some hours of measurements and some power."""
    clear_days: int = 0
    """Days with cloudless hours."""
    weight: float = 0.0
    """How far from the form (0) to the measurements (1)."""
    confidence: float = 0.0
    """Weight times the share of the cloudless-looking intervals that the result explains."""


@dataclass(frozen=True)
class LearnedSite:
    """A site as its measurements show it, as far as they go."""

    declared: Site
    site: Site
    """As one plane, usable wherever a ``Site`` is. ``dc_capacity_w`` is effective: on a cloudless
    day the clear-sky index is about 1. ``ac_capacity_w`` is the cut-off where one shows, else a
    limit that cuts nothing off."""
    planes: tuple[Plane, ...]
    """One, or two where one cannot explain the day."""
    capacity_w: float = 0.0
    """Most power that was given for two intervals on end; above or far below the nameplate."""
    plateau_w: float | None = None
    """Level at which the power is cut off."""
    lowest_elevation: float = LOWEST_UNKNOWN
    """With the sun (true elevation, middle of the interval) below this there was never power."""
    clock_offset_min: int = 0
    """Hint: the stamps seem to run ahead of the sun by this much."""
    aerosol: float = AEROSOLS[1]
    """Haze of its cloudless days, optical depth."""
    shading: tuple[tuple[int, float], ...] = ()
    """Factor on clear-sky power for bins of the sky (``_learned_shade``); others 1."""
    evidence: Evidence = Evidence()

    @classmethod
    def of_form(cls, declared: Site) -> LearnedSite:
        """A site without any history."""
        size = USUAL_YIELD * declared.dc_capacity_w
        plane = Plane(declared.tilt, declared.azimuth, size)
        return cls(declared, declared, (plane,))

    @property
    def limit_w(self) -> float:
        """Forecasts are clamped here: what was declared, or more if more was seen."""
        return max(self.declared.ac_capacity_w, self.capacity_w)

    def clear_power(self, times: npt.ArrayLike) -> FloatArray:
        """Clear-sky AC power [W] at UTC epoch milliseconds (middles of intervals)."""
        return self.clear_power_under(
            solar_position(times, self.site.latitude, self.site.longitude)
        )

    def clear_power_under(self, position: SolarPosition) -> FloatArray:
        """The same where the position of the sun is at hand already."""
        suns = suns_under(self.declared, position, self.aerosol)
        leans = np.stack([lean(p.tilt, p.azimuth) for p in self.planes], axis=1)
        sizes = np.array([p.dc_capacity_w for p in self.planes])
        dc_power = sizes @ unit_power(suns, leans) * self.shade(position)
        return np.asarray(np.clip(dc_power, 0.0, self.site.ac_capacity_w))

    def shade(self, position: SolarPosition) -> FloatArray:
        """Factor on clear-sky power by where the sun stands; 1 where nothing is known."""
        table = np.ones(BINS)
        for number, factor in self.shading:
            table[number] = factor
        by_sun = between_bins(table, position.elevation, position.azimuth)
        return np.asarray(np.where(position.elevation > 0.0, by_sun, 1.0))

    def to_json(self) -> str:
        """One line; ``from_json`` gives an equal site."""
        return json.dumps(
            {"version": VERSION} | asdict(self), allow_nan=False, separators=(",", ":")
        )

    @classmethod
    def from_json(cls, text: str) -> LearnedSite:
        """Read ``to_json``. Raises ``ValueError`` for anything else: learn the site anew then."""
        try:
            fields: dict[str, Any] = json.loads(text, parse_constant=_refused)
            if fields.pop("version") != VERSION:
                raise ValueError("of another version")
            planes = tuple(
                Plane(**{name: float(value) for name, value in plane.items()})
                for plane in fields["planes"]
            )
            shades = tuple((int(number), float(factor)) for number, factor in fields["shading"])
            if not planes or not all(0 <= n < BINS and 0.0 <= f <= 1.0 for n, f in shades):
                raise ValueError("without planes, or shaded beyond the sky")
            fields |= {
                "declared": Site(**fields["declared"]),
                "site": Site(**fields["site"]),
                "planes": planes,
                "shading": shades,
                "evidence": Evidence(**fields["evidence"]),
            }
            for name in ("capacity_w", "lowest_elevation", "aerosol"):
                fields[name] = float(fields[name])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a learned site ({error}); learn it anew") from None


def _refused(constant: str) -> float:
    raise ValueError(f"it holds {constant}")


def learn_site(declared: Site, series: SiteSeries) -> LearnedSite:
    """What ``series`` shows of the site, starting from what was ``declared``.

    Only ``series`` is read: cut it at the instant from which the result will be judged.
    """
    days = SolarDays.of(series.start, series.ac_power, series.step_ms, declared.longitude)
    known, peak = days.known_days, days.peak_w
    if peak <= 0.0:
        return LearnedSite.of_form(declared)
    position = solar_position(days.times, declared.latitude, declared.longitude)
    near = days.near_best(peak) & (position.elevation > 0.0)
    seen = near & days.smooth(peak) & (position.elevation > _LOWEST_SUN)
    clear_days = int(seen.any(axis=1).sum())
    weight = float(np.clip((known - FORM_DAYS) / (LEARNED_DAYS - FORM_DAYS), 0.0, 1.0))
    weight *= min(1.0, clear_days / _CLEAR_DAYS)
    form = replace(
        LearnedSite.of_form(declared),
        site=_lifted(declared, days.capacity_w),
        capacity_w=days.capacity_w,
        lowest_elevation=lowest_elevation(days, position.elevation, peak),
        clock_offset_min=clock_offset(days, position.elevation, peak),
        evidence=Evidence(known, clear_days),
    )
    if weight <= 0.0 or seen.sum() < 3 * _CLEAR_DAYS:
        return form
    level = plateau(days, peak)
    clear = _to_explain(declared, days, series, seen, peak, level)
    fit = choose_orientation(declared, clear, peak, two=weight >= 1.0)
    uncut = days.power < _UNCUT * level if level is not None else np.ones_like(seen)
    size = learn_size(declared, days, fit, weight, near & uncut, seen & uncut)
    if size is None:
        return form
    planes = tuple(Plane(*face) for face in size.faces)
    explained = float((fit.losses < _INLIER).mean())
    learned = replace(
        form,
        site=_as_one(declared, planes, size.of_sky_w, level, days.capacity_w),
        planes=planes,
        aerosol=AEROSOLS[fit.aerosol],
        plateau_w=level,
        evidence=Evidence(known, clear_days, round(weight, 3), round(weight * explained, 3)),
    )
    if weight < 1.0:
        return learned
    if level is not None:
        near = near & (size.expected < _UNCUT * level)
    return replace(learned, shading=_shading(days, position, near & uncut, seen, size.expected))


def _shading(
    days: SolarDays,
    position: SolarPosition,
    near: BoolArray,
    seen: BoolArray,
    expected: FloatArray,
) -> tuple[tuple[int, float], ...]:
    """Losses by the place of the sun, from days that were bright at other times."""
    share = np.divide(days.power, expected, out=np.full_like(expected, np.nan), where=expected > 0)
    bright = (seen & (share > _BRIGHT)).sum(axis=1) * days.step_ms >= _BRIGHT_HOURS * HOUR_MS
    rows, columns = np.nonzero(near & bright[:, None] & np.isfinite(share))
    found = shading(
        position.elevation[rows, columns],
        position.azimuth[rows, columns],
        share[rows, columns],
        rows,
    )
    return tuple(sorted(found.items()))


def _to_explain(
    declared: Site,
    days: SolarDays,
    series: SiteSeries,
    seen: BoolArray,
    peak: float,
    level: float | None,
) -> Clear:
    """Cloudless intervals, thinned out to what the search can look at."""
    rows, columns = np.nonzero(seen)
    stride = max(1, -(-len(rows) // _MOST_INTERVALS))
    rows, columns = rows[::stride], columns[::stride]
    times = days.times[rows, columns]
    temp_air = None
    if series.temp_air is not None:
        temp_air = series.temp_air[(times - series.start) // series.step_ms]
    position = solar_position(times, declared.latitude, declared.longitude)
    return Clear(
        tuple(suns_under(declared, position, aerosol, temp_air) for aerosol in AEROSOLS),
        days.power[rows, columns] / peak,
        level / peak if level is not None else np.inf,
        rows,
    )


def _as_one(
    declared: Site,
    planes: tuple[Plane, ...],
    size: float,
    level: float | None,
    capacity_w: float,
) -> Site:
    """The site with its planes taken together."""
    total = sum(plane.dc_capacity_w for plane in planes)
    leaning = sum(
        (lean(p.tilt, p.azimuth) * p.dc_capacity_w / total for p in planes), start=np.zeros(2)
    )
    tilt, azimuth = orientation(leaning)
    site = replace(
        declared,
        dc_capacity_w=size,
        tilt=round(min(tilt, 90.0), 2),
        azimuth=round(azimuth, 2) % 360.0,
        ac_capacity_w=min(declared.ac_capacity_w, _MOST_OVER_DC * size),
    )
    return replace(site, ac_capacity_w=level) if level is not None else _lifted(site, capacity_w)


def _lifted(site: Site, capacity_w: float) -> Site:
    """No limit below what the plant has given."""
    return replace(site, ac_capacity_w=max(site.ac_capacity_w, capacity_w))
