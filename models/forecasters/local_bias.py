"""What one site gives more or less than the fleet's model thinks: a factor learned on the box.

Soiling, a wrong capacity or orientation, a tree in the east. Decides by how much the median is
multiplied, per bucket of the lead time and per hour of the sun; the quartiles follow half the way
and the outer levels not at all: where the middle lies wrong says little of the tails, and those are
learned by ``conformal``, which comes after (moving them too gave one to two percent more pinball
loss). Pure, NumPy only; one arithmetic for the agent (``OnlineBias``) and for spans of past
forecasts (``correct_in_order``).

The factor is the product of two weighted medians of measured over forecast power, weighted by the
forecast: the factor with the least mean absolute error. The first is per lead bucket; the second
is of what that leaves over, per hour of the sun and group of buckets, joined linearly between the
middles of the hours. A median, because the mean of a skewed distribution would pull a right median
away. Each histogram of ratios holds a point mass at 1, of a fixed amount and of a share of what
was seen: where the model is right on the whole the factor is exactly 1, and it moves only when
clearly more than half of the outcomes lie on one side. Old outcomes fade with a half-life of
``HALF_LIFE_DAYS`` days that had daylight; gaps fade nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.contract.forecast import MEDIAN
from models.contract.timestamps import DAY_MS, Instant
from models.features.site import FloatArray, IntArray
from models.features.sky import DAYLIGHT_SHARE

from .blend import LEAD_BUCKETS
from .outcomes import (
    BUCKET_OF_STEP,
    BUCKETS,
    Waiting,
    buckets_and_weights,
    check_numbers,
    in_order,
    online_weight,
)

SLOTS = 12
"""Hours of the sun, 15 degrees of the hour angle each, six before noon and six after."""
GROUP_OF_BUCKET: IntArray = np.digitize([first for first, _ in LEAD_BUCKETS], (16, 48))
"""Up to 4 h, to 12 h, and beyond: one hour of the sun sees too little per bucket."""
HALF_LIFE_DAYS = 16.0
PRIOR, PRIOR_SHARE = 20.0, 0.10
"""Point mass at 1 per bucket: in outcomes at full power, and as a share of what was seen."""
SLOT_PRIOR, SLOT_PRIOR_SHARE = 10.0, 0.15
LOWEST, HIGHEST = 0.5, 1.5
"""Bounds of the factor: what lies beyond is a fault or a wrong form, not a bias."""
SHARE_OF_LEVEL = np.array((0.0, 0.0, 0.5, 1.0, 0.5, 0.0, 0.0))
"""How far each level follows the factor."""
UNIT_SHARE = 1e-4
_BINS, _TOP = 50, 2.0
_ONE = _BINS // 2
_GROUPS = int(GROUP_OF_BUCKET.max()) + 1
_SHAPE, _SLOT_SHAPE = (BUCKETS, _BINS), (_GROUPS, SLOTS, _BINS)


class LocalBias:
    """What has been learned; knows nothing of where forecasts wait for their outcomes."""

    def __init__(self) -> None:
        self._ratios = np.zeros(_SHAPE)
        self._slot_ratios = np.zeros(_SLOT_SHAPE)
        self._day: int | None = None
        self._update()

    def factor(self, bucket: IntArray, hour_angle: FloatArray) -> FloatArray:
        """What the median is to be multiplied by at each step."""
        place = np.clip(_slot_place(hour_angle) - 0.5, 0.0, SLOTS - 1.0)
        low = np.minimum(place.astype(np.int64), SLOTS - 2)
        share, group = place - low, GROUP_OF_BUCKET[bucket]
        slot = (1.0 - share) * self.by_slot[group, low] + share * self.by_slot[group, low + 1]
        return np.asarray(np.clip(self.by_bucket[bucket] * slot, LOWEST, HIGHEST))

    def apply(
        self, quantiles: FloatArray, hour_angle: FloatArray, limit: float, bucket: IntArray
    ) -> FloatArray:
        """Corrected quantiles ``(levels, steps)``: sorted, within ``[0, limit]``."""
        change = self.factor(bucket, hour_angle) - 1.0
        moved = quantiles * (1.0 + SHARE_OF_LEVEL[:, None] * change)
        # A median that leaves its interval takes the bounds along: sorting would move it back.
        median = moved[MEDIAN]
        np.minimum(moved[:MEDIAN], median, out=moved[:MEDIAN])
        np.maximum(moved[MEDIAN + 1 :], median, out=moved[MEDIAN + 1 :])
        return np.asarray(np.clip(np.sort(moved, axis=0), 0.0, limit))

    def learn(
        self,
        bucket: IntArray,
        weight: FloatArray,
        hour_angle: FloatArray,
        median: FloatArray,
        power: FloatArray,
        limit: float,
        ended: Instant,
    ) -> None:
        """Take outcomes that became known together. ``median`` is the raw forecast [W]."""
        use = median > DAYLIGHT_SHARE * limit
        if not use.any():
            return
        bucket, median = bucket[use], median[use]
        weight = weight[use] * np.minimum(median / limit, 1.0)
        self._fade(ended // DAY_MS)
        ratio = power[use] / median
        np.add.at(self._ratios, (bucket, _bin_of(ratio)), weight)
        group, slot = GROUP_OF_BUCKET[bucket], _slot_of(hour_angle[use])
        left = ratio / self.by_bucket[bucket]
        np.add.at(self._slot_ratios, (group, slot, _bin_of(left)), weight)
        self._update()

    def forecaster_changed(self) -> None:
        """Another model speaks: what was learned counts half, so that it can be unlearned soon."""
        self._ratios *= 0.5
        self._slot_ratios *= 0.5
        self._update()

    def save(self) -> dict[str, Any]:
        """JSON form; mostly zeros, below 15 kB."""
        return {
            "ratios": _thin(self._ratios),
            "slot_ratios": _thin(self._slot_ratios),
            "day": self._day,
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Take what :meth:`save` gave; raises what the parsing raises when it is not that."""
        ratios = check_numbers(saved["ratios"], _SHAPE)
        slots = check_numbers(saved["slot_ratios"], _SLOT_SHAPE)
        if min(ratios.min(), slots.min()) < 0:
            raise ValueError("a count below zero")
        self._day = None if saved["day"] is None else int(saved["day"])
        self._ratios, self._slot_ratios = ratios, slots
        self._update()

    def _fade(self, day: int) -> None:
        if self._day is not None and day != self._day:
            self._ratios *= 0.5 ** (1.0 / HALF_LIFE_DAYS)
            self._slot_ratios *= 0.5 ** (1.0 / HALF_LIFE_DAYS)
        self._day = day

    def _update(self) -> None:
        self.by_bucket = _median_near_one(self._ratios, PRIOR, PRIOR_SHARE)
        self.by_slot = _median_near_one(self._slot_ratios, SLOT_PRIOR, SLOT_PRIOR_SHARE)


class OnlineBias:
    """One forecaster of one site on the box: ``happened`` as it comes, then ``apply``, ``issued``.

    Steps are those of the contract's grid; quantiles are ``(levels, steps)`` in W.
    """

    def __init__(self, saved: dict[str, Any] | None = None) -> None:
        """Begin from :meth:`save`'s form, or afresh when there is none or it is damaged."""
        self.learned, self._waiting, self._limit = LocalBias(), Waiting(), 1.0
        if saved is None:
            return
        try:
            limit = float(saved["limit"])
            if not 0 < limit < float("inf"):
                raise ValueError("limit")
            self._waiting.load(saved["waiting"], _units(limit))
            self.learned.load(saved["learned"])
            self._limit = limit
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
            self.learned, self._waiting = LocalBias(), Waiting()

    def happened(self, start: Instant, power: float) -> None:
        """The mean power [W] of the interval at ``start``; NaN (curtailed, clipped) is no news."""
        issued = self._waiting.take(start)
        if not issued or not np.isfinite(power):
            return
        median, hour_angle = np.array([one.values for one in issued]).T
        self.learned.learn(
            BUCKET_OF_STEP[[one.lead for one in issued]],
            np.array([online_weight(one.lead) for one in issued]),
            hour_angle,
            median,
            np.full(len(issued), power),
            self._limit,
            start,
        )

    def apply(self, quantiles: FloatArray, hour_angle: FloatArray, limit: float) -> FloatArray:
        """Corrected quantiles; ``hour_angle`` [deg] at each step."""
        return self.learned.apply(
            quantiles, hour_angle, limit, BUCKET_OF_STEP[: quantiles.shape[1]]
        )

    def issued(
        self, start: Instant, quantiles: FloatArray, hour_angle: FloatArray, limit: float
    ) -> None:
        """Remember a forecast as it was handed to :meth:`apply`."""
        self._limit = limit
        median = quantiles[MEDIAN]
        self._waiting.add(start, np.stack([median, hour_angle]), median > DAYLIGHT_SHARE * limit)

    def forecaster_changed(self) -> None:
        """Another model speaks from now on: what the last one said is not its fault."""
        self.learned.forecaster_changed()
        self._waiting.clear()

    def save(self) -> dict[str, Any]:
        """JSON form, below 20 kB."""
        return {
            "limit": self._limit,
            "learned": self.learned.save(),
            "waiting": self._waiting.save(_units(self._limit)),
        }


def correct_in_order(
    issues: IntArray,
    quantiles: FloatArray,
    actual: FloatArray,
    hour_angle: FloatArray,
    *,
    step_ms: int,
    leads: IntArray,
    limit: float,
    state: LocalBias | None = None,
) -> FloatArray:
    """Correct past forecasts of one site, each by outcomes that were known at its issue.

    Arguments as for ``conformal.calibrate_in_order``, which comes after; ``hour_angle`` [deg] is
    the sun's at the middle of each target interval, ``(cases, leads)``.
    """
    state = LocalBias() if state is None else state
    issues, leads = np.asarray(issues, np.int64), np.asarray(leads, np.int64)
    bucket, weight = buckets_and_weights(issues, leads, step_ms)
    result = np.empty(quantiles.shape)
    median, known = quantiles[:, MEDIAN], np.isfinite(actual)
    for case, rows, columns in in_order(issues, leads, step_ms):
        use = known[rows, columns]
        if use.any():
            i, k = rows[use], columns[use]
            began = int((issues[i] + leads[k] * step_ms).max())
            state.learn(
                bucket[k], weight[k], hour_angle[i, k], median[i, k], actual[i, k], limit, began
            )
        result[case] = state.apply(quantiles[case], hour_angle[case], limit, bucket)
    return result


def _units(limit: float) -> tuple[float, float]:
    return UNIT_SHARE * limit, 0.1


def _slot_place(hour_angle: FloatArray) -> FloatArray:
    return (hour_angle + 90.0) * (SLOTS / 180.0)


def _slot_of(hour_angle: FloatArray) -> IntArray:
    return np.clip(_slot_place(hour_angle), 0, SLOTS - 1).astype(np.int64)


def _bin_of(ratio: FloatArray) -> IntArray:
    return np.clip(ratio * (_BINS / _TOP), 0, _BINS - 1).astype(np.int64)


def _median_near_one(ratios: FloatArray, prior: float, share: float) -> FloatArray:
    """Median over the last axis of histograms that hold a point mass at 1 besides."""
    running = np.cumsum(ratios, axis=-1)
    total = running[..., -1]
    mass = prior + share * total
    half = (total + mass) / 2.0
    # Above 1 the point mass lies below the median; at 1 it holds it.
    wanted = np.where(running[..., _ONE - 1] > half, half, np.maximum(half - mass, 0.0))
    found = np.minimum((running < wanted[..., None]).sum(axis=-1), _BINS - 1)[..., None]
    inside = np.take_along_axis(ratios, found, axis=-1)[..., 0]
    before = np.take_along_axis(running, found, axis=-1)[..., 0] - inside
    share_of_bin = np.where(inside > 0, (wanted - before) / np.where(inside > 0, inside, 1.0), 0.0)
    median = (found[..., 0] + share_of_bin) * (_TOP / _BINS)
    moved = (running[..., _ONE - 1] > half) | (half - mass > running[..., _ONE - 1])
    return np.asarray(np.clip(np.where(moved, median, 1.0), LOWEST, HIGHEST))


def _thin(counts: FloatArray) -> list[Any]:
    """One decimal, and whole numbers without one: most are 0."""
    rounded = np.round(counts, 1)

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        return int(value) if value == int(value) else value

    result: list[Any] = plain(rounded.tolist())
    return result
