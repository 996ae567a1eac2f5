"""Short judgement of a set of forecasts, as it stands in a bundle and on the live report.

References: smart persistence and the previous day's index (diurnal persistence). The skill carries
a bootstrap interval over whole days, not blocks of them: a bundle's test span and a live window may
be a week long. ``evaluate`` judges more thoroughly, where there is more to judge.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models import metrics
from models.contract.forecast import LEVELS, MEDIAN
from models.features.site import FloatArray, IntArray
from models.forecasters.blend import HOUR_BUCKETS

from .significance import skill_interval

MAPE_FLOOR = 0.05
"""Percentage errors are taken where at least this share of the capacity was produced."""


@dataclass(frozen=True)
class Score:
    """Scores of one set of pairs; errors as shares of the AC capacity, daylight only."""

    pairs: int
    mae: float
    rmse: float
    mape: float
    bias: float
    pinball: float
    coverage_90: float
    width_90: float
    mae_persistence: float
    skill: float
    """1 - MAE over the MAE of smart persistence."""
    skill_low: float
    skill_high: float
    rmse_skill: float
    skill_previous_day: float

    def to_json(self) -> dict[str, Any]:
        """Numbers only; NaN as None."""
        return {k: (None if math.isnan(v) else v) for k, v in asdict(self).items()}


def score(
    actual: FloatArray,
    quantiles: FloatArray,
    persistence: FloatArray,
    previous_day: FloatArray,
    capacity_w: float,
    days: IntArray,
    seed: int = 0,
) -> Score:
    """Score cases x steps.

    Args:
        actual, persistence, previous_day: W, (cases, steps); NaN in ``actual`` leaves a pair out
        quantiles: W, (cases, levels, steps)
        days: a label per case or per pair, best ``groups.solar_days`` of the targets: forecasts of
            one day share its weather whenever issued; the bootstrap draws whole days
    """
    q = np.moveaxis(quantiles, 1, 0) / capacity_w
    truth, smart, before = actual / capacity_w, persistence / capacity_w, previous_day / capacity_w
    median, low, high = q[MEDIAN], q[0], q[-1]
    mae, mae_smart = metrics.mae(truth, median), metrics.mae(truth, smart)
    interval = skill_interval(np.abs(median - truth), np.abs(smart - truth), days, seed, block=1)
    return Score(
        pairs=int(np.isfinite(truth).sum()),
        mae=mae,
        rmse=metrics.rmse(truth, median),
        mape=metrics.mape(truth, median, MAPE_FLOOR),
        bias=metrics.bias(truth, median),
        pinball=metrics.pinball(truth, q, LEVELS),
        coverage_90=metrics.coverage(truth, low, high),
        width_90=metrics.width(truth, low, high),
        mae_persistence=mae_smart,
        skill=metrics.skill(mae, mae_smart),
        skill_low=interval[0],
        skill_high=interval[1],
        rmse_skill=metrics.skill(metrics.rmse(truth, median), metrics.rmse(truth, smart)),
        skill_previous_day=metrics.skill(mae, metrics.mae(truth, before)),
    )


def score_by_lead(
    actual: FloatArray,
    quantiles: FloatArray,
    persistence: FloatArray,
    previous_day: FloatArray,
    capacity_w: float,
    days: IntArray,
) -> dict[str, Score]:
    """One score for all leads (``all``) and one per lead bucket (``0-1 h`` ...)."""
    result = {"all": score(actual, quantiles, persistence, previous_day, capacity_w, days)}
    for first, last in HOUR_BUCKETS:
        cut = slice(first, last)
        result[f"{first // 4}-{last // 4} h"] = score(
            actual[:, cut],
            quantiles[:, :, cut],
            persistence[:, cut],
            previous_day[:, cut],
            capacity_w,
            days if days.ndim == 1 else days[:, cut],
        )
    return result
