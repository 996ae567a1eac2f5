"""Where the calibration of a new site begins: what the sites of the training had to learn.

A model's own quantiles are too narrow for days it has not seen, everywhere and in the same way. So
each site's forecasts on the span of the blend, by models that never saw it, are corrected and
calibrated as its box would have done, and the mean of the offsets that this ended with travels in
the bundle. A box that has offsets of its own keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.contract.timestamps import HORIZON_STEPS, STEP_MS
from models.features.site import FloatArray
from models.forecasters.conformal import ConformalOffsets, calibrate_in_order
from models.forecasters.local_bias import correct_in_order

from .risk import ForecastCases


def interval_start(forecasts: Sequence[ForecastCases]) -> FloatArray:
    """Mean lasting offsets of the sites, ``(lead buckets, levels)``, in units of their scale."""
    return np.asarray(np.mean([_learned(one).lasting for one in forecasts], axis=0))


def _learned(forecasts: ForecastCases) -> ConformalOffsets:
    cases = forecasts.cases
    site = cases.site
    issues = site.series.start + cases.issues * STEP_MS
    leads = np.arange(HORIZON_STEPS)
    hour_angle = site.sky.position.hour_angle[cases.issues[:, None] + leads]
    limit = site.site.ac_capacity_w
    corrected = correct_in_order(
        issues,
        forecasts.quantiles,
        cases.actual,
        hour_angle,
        step_ms=STEP_MS,
        leads=leads,
        limit=limit,
    )
    offsets = ConformalOffsets()
    calibrate_in_order(
        issues,
        corrected,
        cases.actual,
        cases.clear,
        step_ms=STEP_MS,
        leads=leads,
        limit=limit,
        state=offsets,
    )
    return offsets
