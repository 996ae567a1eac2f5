"""Judgement of a set of forecasts against the references, in daylight, by lead.

References: smart persistence and the previous day's index (diurnal persistence). Skill carries a
block-bootstrap interval over days (paired: model and reference share the draws), because quarter
hours of one day are not independent.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models import metrics
from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import DAY_MS, STEP_MS, STEPS_PER_DAY
from models.features.site import FloatArray, IntArray
from models.forecasters.blend import LEAD_BUCKETS

BOOTSTRAP_DRAWS = 2000
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
        days: a label per case or per pair, best :func:`solar_days` of the targets: forecasts of
            one day share its weather whenever issued; the bootstrap draws whole days
    """
    q = np.moveaxis(quantiles, 1, 0) / capacity_w
    truth, smart, before = actual / capacity_w, persistence / capacity_w, previous_day / capacity_w
    median, low, high = q[MEDIAN], q[0], q[-1]
    mae, mae_smart = metrics.mae(truth, median), metrics.mae(truth, smart)
    interval = _skill_interval(
        np.abs(median - truth), np.abs(smart - truth), days, np.random.default_rng(seed)
    )
    return Score(
        pairs=int(np.isfinite(truth).sum()),
        mae=mae,
        rmse=metrics.rmse(truth, median),
        mape=metrics.mape(truth, median, MAPE_FLOOR),
        bias=metrics.bias(truth, median),
        pinball=metrics.pinball(truth, q, LEVELS),
        coverage_90=metrics.coverage(truth, low, high),
        width_90=float(np.mean((high - low)[np.isfinite(truth)]))
        if np.isfinite(mae)
        else float("nan"),
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
    for first, last in LEAD_BUCKETS:
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


def diurnal_persistence(
    power: FloatArray, issues: IntArray, steps: int, clear: FloatArray, limit_w: float
) -> FloatArray:
    """The latest known day's clear-sky index at the same time of day, times clear-sky power [W].

    ``clear`` is clear-sky power from the start of ``power`` through the last target.
    """
    lead = np.arange(steps)
    source = issues[:, None] + lead - (lead // STEPS_PER_DAY + 1) * STEPS_PER_DAY
    known = np.where(source >= 0, power[np.clip(source, 0, len(power) - 1)], np.nan)
    base = clear[np.clip(source, 0, len(clear) - 1)]
    index = np.clip(np.where(base > 0.02 * limit_w, known / np.maximum(base, 1.0), np.nan), 0, 1.6)
    filled = np.where(np.isfinite(index), index, 0.7)
    return np.asarray(np.clip(filled * clear[issues[:, None] + lead], 0.0, limit_w))


def solar_days(times: IntArray, longitude: float) -> IntArray:
    """Days of mean solar time at ``longitude`` since the epoch: no day is cut at noon.

    ``times`` are starts of intervals, any shape.
    """
    return np.asarray((times + STEP_MS // 2 + round(longitude / 360 * DAY_MS)) // DAY_MS)


def _skill_interval(
    error: FloatArray, reference: FloatArray, days: IntArray, random: np.random.Generator
) -> tuple[float, float]:
    """Central 90 % of the skill over bootstrap draws of whole days."""
    usable = np.isfinite(error) & np.isfinite(reference)
    of_pair = np.broadcast_to(days if days.ndim == 2 else days[:, None], error.shape)
    labels, place = np.unique(of_pair[usable], return_inverse=True)
    ours, theirs = (
        np.bincount(place, weights=values[usable], minlength=len(labels))
        for values in (error, reference)
    )
    if len(labels) < 3 or not theirs.sum() > 0:
        return float("nan"), float("nan")
    draws = random.integers(0, len(labels), size=(BOOTSTRAP_DRAWS, len(labels)))
    skills = 1.0 - ours[draws].sum(axis=1) / np.maximum(theirs[draws].sum(axis=1), 1e-12)
    low, high = np.quantile(skills, [0.05, 0.95])
    return float(low), float(high)
