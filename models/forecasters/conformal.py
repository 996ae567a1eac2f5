"""Intervals that mean what they say: quantiles moved by what this site's outcomes have taught.

Decides by how much each level is moved, per bucket of the lead time. It leaves the median alone
(``local_bias`` is for that) and the measured coverage to the agent. Pure, NumPy only; one
arithmetic for the agent (``OnlineConformal``) and for spans of past forecasts
(``calibrate_in_order``).

The published quantile is ``raw + offset * scale``, where the scale is a mixture of the forecast's
own width and of clear-sky power, so a cloudy winter morning teaches a summer noon. Offsets follow
the quantile by stochastic gradient steps on its pinball loss (conformal quantile tracking:
Angelopoulos, Candès, Tibshirani 2023, the P part; adaptive conformal inference: Gibbs & Candès
2021), in daylight only. There are two:

- the lasting one survives nights, restarts and bundle swaps;
- today's learns three times as fast and is reset once a day is over: when no outcome in daylight
  has come for ``DAY_OVER_MS``, or after 24 hours without such a pause. A gap resets it too: what
  the morning taught says nothing after an outage.

An outcome is judged twice. By what would be said now (the lasting offset of now, today's of its
issue): this finds the quantile, but a quantile that drifts is always a little behind. And, with
``PUBLISHED_SHARE`` of the step, by what was published: this makes up for past misses, the integral
part of the control. Alone it would repay a bad first week by intervals too wide for a month. Half
of it is what kept far bands honest on recorded plants (docs/adr/0022).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import DAY_MS, HOUR_MS, STEP_MS, Instant
from models.features.site import FloatArray, IntArray
from models.features.sky import DAYLIGHT_SHARE

from .outcomes import (
    BUCKET_OF_STEP,
    BUCKETS,
    Waiting,
    buckets_and_weights,
    check_numbers,
    in_order,
    online_weight,
)

RATE = 0.0015
"""Step of the lasting offset per outcome, in units of the scale: some ten days of daylight."""
PUBLISHED_SHARE = 0.5
EARLY_BOOST, EARLY_OUTCOMES = 5.0, 100.0
"""At first the steps are ``1 + EARLY_BOOST`` times as long; half of that after a day."""
TODAY_RATE = 0.003
MOST_TODAY, MOST_LASTING = 0.3, 3.0
WIDTH_SHARE, CLEAR_SHARE = 0.6, 0.3
DAY_OVER_MS = 2 * HOUR_MS
UNIT_SHARE = 1e-4
"""Saved forecasts are rounded to this share of the limit."""
_LEVELS = np.array(LEVELS)
_SHAPE = (BUCKETS, len(LEVELS))
ISSUED_ROWS = 2 * len(LEVELS) + 1


class ConformalOffsets:
    """What has been learned; knows nothing of where forecasts wait for their outcomes."""

    def __init__(self, start: npt.ArrayLike | None = None) -> None:
        """``start``: lasting offsets to begin with, ``(buckets, levels)``; default none at all.

        Raises ``ValueError`` when they are not finite or not of that shape.
        """
        self.lasting = np.zeros(_SHAPE)
        if start is not None:
            self.begin_at(start)
        self.today = np.zeros(_SHAPE)
        self.seen = np.zeros(BUCKETS)
        """Outcomes behind the lasting offsets, per bucket."""
        self._last_outcome: Instant | None = None
        self._day_began: Instant | None = None

    @property
    def taught(self) -> bool:
        """Whether any outcome stands behind the offsets."""
        return self._last_outcome is not None

    def begin_issue(self, now: Instant) -> None:
        """A forecast is about to be made at ``now``: today's offsets may have to go."""
        last, began = self._last_outcome, self._day_began
        if last is None or began is None:
            return
        if not (0 <= now - last <= DAY_OVER_MS and 0 <= now - began < DAY_MS):
            self.today[:] = 0.0
            self._day_began = None

    def begin_at(self, start: npt.ArrayLike) -> None:
        """Take ``start`` for the lasting offsets, as at the beginning."""
        lasting = check_numbers(np.asarray(start), _SHAPE)
        self.lasting = np.clip(lasting, -MOST_LASTING, MOST_LASTING)

    def apply(
        self, quantiles: FloatArray, clear: FloatArray, limit: float, bucket: IntArray
    ) -> FloatArray:
        """Calibrated quantiles ``(levels, steps)``: sorted, within ``[0, limit]``, same median."""
        offset = (self.lasting + self.today)[bucket].T
        return _finished(quantiles + offset * scale_of(quantiles, clear), quantiles[MEDIAN], limit)

    def as_issued(
        self, quantiles: FloatArray, clear: FloatArray, limit: float, bucket: IntArray
    ) -> FloatArray:
        """What an outcome is judged by later, ``(ISSUED_ROWS, steps)``.

        Quantiles with today's offset, quantiles as published, and the scale.
        """
        scale = scale_of(quantiles, clear)
        with_today = quantiles + self.today[bucket].T * scale
        published = self.apply(quantiles, clear, limit, bucket)
        return np.vstack([with_today, published, scale])

    def learn(
        self,
        bucket: IntArray,
        weight: FloatArray,
        issued: FloatArray,
        power: FloatArray,
        ended: Instant,
    ) -> None:
        """Take outcomes in daylight that became known together, the last at ``ended``.

        ``issued`` is ``(ISSUED_ROWS, n)``, the others ``(n,)``.
        """
        count, actual, scale = len(LEVELS), power[:, None], issued[-1][:, None]
        base = issued[:count].T + self.lasting[bucket] * scale
        under = (1.0 - PUBLISHED_SHARE) * (actual <= base)
        under += PUBLISHED_SHARE * (actual <= issued[count:-1].T)
        under_today = actual <= base + self.today[bucket] * scale
        boost = 1.0 + EARLY_BOOST / (1.0 + self.seen[bucket] / EARLY_OUTCOMES)
        np.add.at(self.lasting, bucket, (RATE * weight * boost)[:, None] * (_LEVELS - under))
        np.add.at(self.today, bucket, (TODAY_RATE * weight)[:, None] * (_LEVELS - under_today))
        np.clip(self.lasting, -MOST_LASTING, MOST_LASTING, out=self.lasting)
        np.clip(self.today, -MOST_TODAY, MOST_TODAY, out=self.today)
        self.seen += np.bincount(bucket, weight, minlength=BUCKETS)
        if self._day_began is None:
            self._day_began = ended
        self._last_outcome = ended

    def forecaster_changed(self) -> None:
        """Another model speaks: begin from what is known, learn as fast as at first."""
        self.seen[:] = 0.0
        self.today[:] = 0.0

    def save(self) -> dict[str, Any]:
        """JSON form of about 1 kB."""
        return {
            "lasting": np.round(self.lasting, 5).tolist(),
            "today": np.round(self.today, 5).tolist(),
            "seen": np.round(self.seen, 1).tolist(),
            "last_outcome": self._last_outcome,
            "day_began": self._day_began,
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Take what :meth:`save` gave; raises what the parsing raises when it is not that."""
        lasting, today = (check_numbers(saved[name], _SHAPE) for name in ("lasting", "today"))
        seen = check_numbers(saved["seen"], (BUCKETS,))
        last, began = (
            None if saved[name] is None else int(saved[name])
            for name in ("last_outcome", "day_began")
        )
        self.lasting = np.clip(lasting, -MOST_LASTING, MOST_LASTING)
        self.today = np.clip(today, -MOST_TODAY, MOST_TODAY)
        self.seen, self._last_outcome, self._day_began = np.maximum(seen, 0.0), last, began


class OnlineConformal:
    """One forecaster of one site on the box: ``happened`` as it comes, then ``apply``, ``issued``.

    Steps are those of the contract's grid; quantiles are ``(levels, steps)`` in W.
    """

    def __init__(self, saved: dict[str, Any] | None = None) -> None:
        """Begin from :meth:`save`'s form, or from nothing when there is none or it is damaged."""
        self.offsets, self._waiting, self._unit = ConformalOffsets(), Waiting(), 1.0
        if saved is None:
            return
        try:
            unit = float(saved["unit"])
            if not 0 < unit < float("inf"):
                raise ValueError("unit")
            self._waiting.load(saved["waiting"], _units(unit))
            self.offsets.load(saved["offsets"])
            self._unit = unit
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
            self.offsets, self._waiting = ConformalOffsets(), Waiting()

    def begin_at(self, start: npt.ArrayLike) -> None:
        """Offsets for a site that has taught nothing yet; one that has keeps its own."""
        if not self.offsets.taught:
            self.offsets.begin_at(start)

    def happened(self, start: Instant, power: float) -> None:
        """The mean power [W] of the interval at ``start``; NaN (curtailed, clipped) is no news."""
        issued = self._waiting.take(start)
        if not issued or not np.isfinite(power):
            return
        values = np.array([one.values for one in issued]).T
        self.offsets.learn(
            BUCKET_OF_STEP[[one.lead for one in issued]],
            np.array([online_weight(one.lead) for one in issued]),
            values,
            np.full(len(issued), power),
            start + STEP_MS,
        )

    def apply(
        self, start: Instant, quantiles: FloatArray, clear: FloatArray, limit: float
    ) -> FloatArray:
        """Calibrated quantiles of the forecast that begins at ``start``."""
        self.offsets.begin_issue(start)
        return self.offsets.apply(quantiles, clear, limit, BUCKET_OF_STEP[: quantiles.shape[1]])

    def issued(
        self, start: Instant, quantiles: FloatArray, clear: FloatArray, limit: float
    ) -> None:
        """Remember a forecast, as it was handed to :meth:`apply`."""
        bucket = BUCKET_OF_STEP[: quantiles.shape[1]]
        values = self.offsets.as_issued(quantiles, clear, limit, bucket)
        self._unit = UNIT_SHARE * limit
        self._waiting.add(start, values, clear > DAYLIGHT_SHARE * limit)

    def forecaster_changed(self) -> None:
        """Another model speaks from now on: what the last one said is not its fault."""
        self.offsets.forecaster_changed()
        self._waiting.clear()

    def save(self) -> dict[str, Any]:
        """JSON form: some 25 kB, 60 kB where the sun never sets."""
        return {
            "unit": self._unit,
            "offsets": self.offsets.save(),
            "waiting": self._waiting.save(_units(self._unit)),
        }


def calibrate_in_order(
    issues: IntArray,
    quantiles: FloatArray,
    actual: FloatArray,
    clear: FloatArray,
    *,
    step_ms: int,
    leads: IntArray,
    limit: float,
    state: ConformalOffsets | None = None,
) -> FloatArray:
    """Calibrate past forecasts of one site, each by outcomes that were known at its issue.

    Args:
        issues: start of the first unknown interval of each case, epoch ms, in any order
        quantiles: of the raw forecaster [W], ``(cases, levels, leads)``
        actual: mean power [W], ``(cases, leads)``; NaN where it is unknown or must not teach
        clear: clear-sky power [W], ``(cases, leads)``
        step_ms: length of an interval
        leads: steps from the first unknown interval, of ``step_ms`` each
        limit: what the plant can do [W]
        state: where to begin; it is carried on, so its ``lasting`` is what a bundle may ship
    """
    state = ConformalOffsets() if state is None else state
    issues, leads = np.asarray(issues, np.int64), np.asarray(leads, np.int64)
    bucket, weight = buckets_and_weights(issues, leads, step_ms)
    result = np.empty(quantiles.shape)
    issued = np.empty((len(issues), ISSUED_ROWS, len(leads)))
    teaches = np.isfinite(actual) & (clear > DAYLIGHT_SHARE * limit)
    for case, rows, columns in in_order(issues, leads, step_ms):
        use = teaches[rows, columns]
        if use.any():
            i, k = rows[use], columns[use]
            ended = int((issues[i] + (leads[k] + 1) * step_ms).max())
            state.learn(bucket[k], weight[k], issued[i, :, k].T, actual[i, k], ended)
        state.begin_issue(int(issues[case]))
        issued[case] = state.as_issued(quantiles[case], clear[case], limit, bucket)
        result[case] = issued[case, len(LEVELS) : -1]
    return result


def scale_of(quantiles: FloatArray, clear: FloatArray) -> FloatArray:
    """The unit of the offsets at each step [W]; nothing at night."""
    return np.asarray(WIDTH_SHARE * (quantiles[-1] - quantiles[0]) + CLEAR_SHARE * clear)


def _units(unit: float) -> list[float]:
    return [unit] * ISSUED_ROWS


def _finished(moved: FloatArray, median: FloatArray, limit: float) -> FloatArray:
    moved[MEDIAN] = median
    np.minimum(moved[:MEDIAN], median, out=moved[:MEDIAN])
    np.maximum(moved[MEDIAN + 1 :], median, out=moved[MEDIAN + 1 :])
    return np.asarray(np.clip(np.sort(moved, axis=0), 0.0, limit))
