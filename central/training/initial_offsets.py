"""Where the calibration of a new site begins: what the sites of the training would have needed.

A model's own quantiles are too narrow for days it has not seen, everywhere and in the same way. So
each site's forecasts on the span of the blend, by models that never saw it, are corrected as its
box would have done, and per lead bucket and level that offset is taken with which the level would
have held (split conformal: Papadopoulos et al., ECML 2002), every site counting the same once a
month stands behind it. Only the shares of the blend were fitted on these days. A box moves on from
there with its own outcomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, STEP_MS
from models.features.site import FloatArray, IntArray
from models.features.sky import DAYLIGHT_SHARE
from models.forecasters.conformal import MOST_LASTING, scale_of
from models.forecasters.local_bias import correct_in_order
from models.forecasters.outcomes import BUCKET_OF_STEP, BUCKETS

from .risk import ForecastCases

FULL_DAYS = 30
"""Days from which a site counts as much as any other."""
FEW_DAYS = 5.0
"""Days of all sites at which the result counts half: a week's weather says little of intervals."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of one site's forecasts, in daylight."""

    bucket: IntArray
    """Lead bucket, (n,)."""
    day: IntArray
    """Day of the issue since the epoch, (n,)."""
    above: FloatArray
    """Power minus quantile over the calibration's unit, (n, levels)."""

    @classmethod
    def of(
        cls,
        issues: IntArray,
        leads: IntArray,
        quantiles: FloatArray,
        actual: FloatArray,
        clear: FloatArray,
        limit: float,
    ) -> Outcomes:
        """Arguments as for ``calibrate_in_order``; ``leads`` in steps of the contract's grid."""
        use = np.isfinite(actual) & (clear > DAYLIGHT_SHARE * limit)
        by_level = np.moveaxis(quantiles, 1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):  # at night the unit is nothing
            above = (actual - by_level) / scale_of(by_level, clear)
        shape = actual.shape
        return cls(
            np.broadcast_to(BUCKET_OF_STEP[leads], shape)[use],
            np.broadcast_to((issues // DAY_MS)[:, None], shape)[use],
            np.moveaxis(above, 0, -1)[use],
        )


def offsets_that_hold(sites: Sequence[Outcomes]) -> FloatArray:
    """Per lead bucket and level, in the calibration's unit; nothing where nothing is known."""
    found = np.zeros((BUCKETS, len(LEVELS)))
    for bucket in range(BUCKETS):
        above, weight, days = [], [], 0
        for site in sites:
            here = site.bucket == bucket
            if not here.any():
                continue
            own_days = len(np.unique(site.day[here]))
            days += own_days
            above.append(site.above[here])
            weight.append(np.full(len(above[-1]), min(own_days, FULL_DAYS) / len(above[-1])))
        if days:
            held = _quantiles(np.concatenate(above), np.concatenate(weight))
            found[bucket] = held * (days / (days + FEW_DAYS))
    found[:, MEDIAN] = 0.0  # the local bias moves the median
    return np.clip(found, -MOST_LASTING, MOST_LASTING)


def initial_offsets(forecasts: Sequence[ForecastCases]) -> FloatArray:
    """``offsets_that_hold`` of forecasts whose days no model but the blend has seen."""
    return offsets_that_hold([_corrected(one) for one in forecasts])


def _corrected(forecasts: ForecastCases) -> Outcomes:
    cases = forecasts.cases
    site = cases.site
    issues = site.series.start + cases.issues * STEP_MS
    leads = np.arange(HORIZON_STEPS)
    limit = site.site.ac_capacity_w
    corrected = correct_in_order(
        issues,
        forecasts.quantiles,
        cases.actual,
        site.sky.position.hour_angle[cases.issues[:, None] + leads],
        step_ms=STEP_MS,
        leads=leads,
        limit=limit,
    )
    return Outcomes.of(issues, leads, corrected, cases.actual, cases.clear, limit)


def _quantiles(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted quantile of column k at level k."""
    found = np.empty(len(LEVELS))
    for place, level in enumerate(LEVELS):
        order = np.argsort(values[:, place])
        heap = np.cumsum(weight[order])
        found[place] = values[order[np.searchsorted(heap, level * heap[-1])], place]
    return found
