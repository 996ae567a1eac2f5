"""Which planes explain the cloudless intervals of a plant: the search for tilt and azimuth.

A coarse grid finds where to look, a damped Gauss-Newton search finishes. Most of what looks
cloudless is, the rest lies below: so the loss saturates, and the orientation that most intervals
agree on wins. Whether to believe it belongs to ``_learned_choice``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._learned_plane import Suns, unit_power
from .site import FloatArray, IntArray

SIGMA = 0.03
"""Scatter of cloudless power around the model, as a share of the peak."""
_CAP_ABOVE = 3.0
"""How much more power above the model may cost than power below it: clouds take, rarely give."""
_GRID_TILTS = np.array([0.0, 8.0, 16.0, 24.0, 32.0, 40.0, 50.0, 60.0, 75.0, 90.0])
_GRID_AZIMUTHS = np.arange(0.0, 360.0, 15.0)
_PAIR_TILTS = np.array([12.0, 25.0, 40.0])
_PAIR_SHARES = (0.35, 0.5, 0.65)
_QUANTILES = (0.5, 0.65, 0.8, 0.9)
_ROUNDS = 15
_STRETCH_DAYS = 20
_MOST_STRETCHES = 12
_STRETCH_SD = 0.02
"""How much brighter or duller than the rest a stretch of weeks usually is."""
_LEAN_SD = 10.0
"""How far a plane is from where it is said to be [deg], and (log of) its size."""
_SCALE_SD = 0.25


@dataclass(frozen=True, eq=False)
class Clear:
    """Cloudless intervals to explain: power as a share of the peak, cut off at ``limit``."""

    suns: tuple[Suns, ...]
    power: FloatArray
    limit: float
    day: IntArray

    @property
    def stretch(self) -> IntArray:
        """Number of the stretch of some weeks that each interval belongs to."""
        length = max(_STRETCH_DAYS, int(np.ptp(self.day) // _MOST_STRETCHES) + 1)
        return np.asarray((self.day - self.day.min()) // length)

    def part(self, where: IntArray) -> Clear:
        """Some of the intervals."""
        return Clear(
            tuple(s.part(where) for s in self.suns), self.power[where], self.limit, self.day[where]
        )


@dataclass(frozen=True, eq=False)
class Likely:
    """Scale of all planes together, and their leans, before any measurement is seen."""

    scale: float
    leans: FloatArray
    """Shape (2, planes) or (2, 1)."""


@dataclass(frozen=True, eq=False)
class Fit:
    """Planes that explain ``Clear``: per plane its scale and lean."""

    scales: FloatArray
    leans: FloatArray
    """Shape (2, planes)."""
    aerosol: int
    losses: FloatArray
    """Per interval, 0 to ``_CAP_ABOVE``."""
    cost: float
    """Mean loss with what the priors ask."""

    def power(self, clear: Clear) -> FloatArray:
        """What it expects, as a share of the peak."""
        return np.asarray(self.scales @ unit_power(clear.suns[self.aerosol], self.leans))


def losses(power: FloatArray, model: FloatArray, limit: float) -> FloatArray:
    """0 on the model, rising smoothly to 1 below it and to ``_CAP_ABOVE`` above it."""
    error = (power - np.minimum(model, limit)) / SIGMA
    cap = np.where(error > 0.0, _CAP_ABOVE, 1.0)
    return np.asarray(cap * (1.0 - np.exp(-(error**2) / (2.0 * cap))))


def search(clear: Clear) -> list[Fit]:
    """The best single planes of a coarse grid, best first, three for each aerosol."""
    leans = _grid(_GRID_TILTS)
    found: list[Fit] = []
    for number, suns in enumerate(clear.suns):
        scale, loss = _scaled(clear, unit_power(suns, leans))
        for g in np.argsort(loss)[:3]:
            found.append(
                Fit(scale[g : g + 1], leans[:, g : g + 1], number, loss[g : g + 1], float(loss[g]))
            )
    return sorted(found, key=lambda fit: fit.cost)


def search_pairs(clear: Clear, aerosol: int) -> list[Fit]:
    """The best roofs of two planes (back to back, or around a corner) of a coarse grid."""
    leans = _grid(_PAIR_TILTS)
    unit = unit_power(clear.suns[aerosol], leans)
    turns = len(_GRID_AZIMUTHS)
    first = np.arange(leans.shape[1])
    ring = first // turns * turns
    once = first - ring < turns // 2  # back to back, either may be the first
    one = np.concatenate([first[once], first])
    two = np.concatenate([first[once] + turns // 2, ring + (first - ring + turns // 4) % turns])
    found: list[Fit] = []
    for share in _PAIR_SHARES:
        scale, loss = _scaled(clear, share * unit[one] + (1.0 - share) * unit[two])
        for g in np.argsort(loss)[:2]:
            found.append(
                Fit(
                    scale[g] * np.array([share, 1.0 - share]),
                    leans[:, [one[g], two[g]]],
                    aerosol,
                    loss[g : g + 1],
                    float(loss[g]),
                )
            )
    return sorted(found, key=lambda fit: fit.cost)


def _grid(tilts: FloatArray) -> FloatArray:
    """Leans of every tilt in every direction, tilt by tilt; flat only once."""
    tilt, azimuth = (a.ravel() for a in np.meshgrid(tilts, _GRID_AZIMUTHS, indexing="ij"))
    keep = (tilt > 0.0) | (azimuth == 0.0)
    turn = np.radians(azimuth[keep])
    return np.stack([tilt[keep] * np.sin(turn), tilt[keep] * np.cos(turn)])


def start_at(clear: Clear, leans: FloatArray, aerosol: int) -> Fit:
    """One plane, at the scale that explains most."""
    scale, loss = _scaled(clear, unit_power(clear.suns[aerosol], leans))
    return Fit(scale, leans, aerosol, loss, float(loss[0]))


def _scaled(clear: Clear, unit: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Best scale and its mean loss for each row of ``unit``."""
    ratio = clear.power / np.maximum(unit, 1e-6)
    weak = unit < 0.25 * unit.max(axis=1, keepdims=True)
    capped = clear.power >= 0.985 * clear.limit
    ratio = np.where(weak | capped[None], np.nan, ratio)
    ordered = np.sort(ratio, axis=1)
    known = np.isfinite(ordered).sum(axis=1)
    rows = np.arange(len(unit))
    best_scale, best = np.ones(len(unit)), np.full(len(unit), np.inf)
    for level in _QUANTILES:
        scale = ordered[rows, (level * np.maximum(known - 1, 0)).astype(np.int64)]
        scale = np.where(np.isfinite(scale), scale, 1.0)
        loss = losses(clear.power, scale[:, None] * unit, clear.limit).mean(axis=1)
        better = loss < best
        best_scale, best = np.where(better, scale, best_scale), np.where(better, loss, best)
    return best_scale, best


def refine(
    clear: Clear,
    start: Fit,
    likely: Likely | None = None,
) -> Fit:
    """Let scales and leans move to the nearest best place.

    Every stretch of some weeks may be a little brighter or duller than the rest (haze, dust, heat):
    without that freedom a dusty winter would look like a flatter roof.

    Args:
        clear: what to explain
        start: where to begin
        likely: what is known beforehand; weighs as much as one cloudless day
    """
    planes = len(start.scales)
    suns = clear.suns[start.aerosol]
    stretches = clear.stretch.max(initial=0) + 1
    member = (np.arange(stretches)[:, None] == clear.stretch).astype(np.float64)
    geometry = 3 * planes
    x = np.concatenate([np.log(start.scales), start.leans.ravel(), np.zeros(stretches)])
    days = max(1, len(np.unique(clear.day)))
    each = len(clear.power) / days  # the intervals of one day stand and fall together
    known = 0.0 if likely is None else 1.0
    priors = each * np.concatenate(
        [
            np.full(planes, known * _SCALE_SD**-2),
            np.full(2 * planes, known * _LEAN_SD**-2),
            np.full(stretches, _STRETCH_SD**-2),
        ]
    )
    centre = x.copy()
    if likely is not None:
        centre[:planes] = np.log(likely.scale * start.scales / start.scales.sum())
        centre[planes:geometry] = np.broadcast_to(likely.leans, (2, planes)).ravel()

    def model(x: FloatArray) -> FloatArray:
        unit = unit_power(suns, x[planes:geometry].reshape(2, planes))
        return np.asarray(np.exp(x[:planes]) @ unit * np.exp(x[geometry:])[clear.stretch])

    def cost(values: FloatArray, x: FloatArray) -> float:
        total = float(losses(clear.power, values, clear.limit).sum())
        return total + 0.5 * float((priors * (x - centre) ** 2).sum())

    now = model(x)
    best = cost(now, x)
    damping = 1e-3
    steps = np.concatenate([np.full(planes, 0.01), np.full(2 * planes, 0.25)])
    for _ in range(_ROUNDS):
        shown = np.minimum(now, clear.limit)
        slope = np.empty((len(x), len(now)))
        for number, step in enumerate(steps):
            moved_x = x.copy()
            moved_x[number] += step
            slope[number] = (np.minimum(model(moved_x), clear.limit) - shown) / step
        slope[geometry:] = member * np.where(now < clear.limit, now, 0.0)
        slope /= SIGMA
        error = (clear.power - shown) / SIGMA
        cap = np.where(error > 0.0, _CAP_ABOVE, 1.0)
        weight = np.exp(-(error**2) / (2.0 * cap))
        normal = (slope * weight) @ slope.T + np.diag(priors)
        right = (slope * weight) @ error - priors * (x - centre)
        moved = False
        for _ in range(4):
            step = np.linalg.solve(normal + np.diag(damping * np.diag(normal) + 1e-9), right)
            step[:planes] = np.clip(step[:planes], -0.2, 0.2)
            step[planes:geometry] = np.clip(step[planes:geometry], -12.0, 12.0)
            trial = _within(x + step, planes)
            values = model(trial)
            new = cost(values, trial)
            if new < best - 1e-9:
                moved = new < best * (1.0 - 1e-5)
                x, now, best = trial, values, new
                damping = max(damping * 0.3, 1e-6)
                break
            damping *= 10.0
        if not moved:
            break
    return Fit(
        np.exp(x[:planes]),
        x[planes:geometry].reshape(2, planes),
        start.aerosol,
        losses(clear.power, now, clear.limit),
        best / len(now),
    )


def _within(x: FloatArray, planes: int) -> FloatArray:
    """No plane leans more than 90 degrees."""
    leans = x[planes : 3 * planes].reshape(2, planes)
    tilt = np.hypot(leans[0], leans[1])
    result = x.copy()
    result[planes : 3 * planes] = (leans * np.minimum(1.0, 90.0 / np.maximum(tilt, 1e-9))).ravel()
    return result
