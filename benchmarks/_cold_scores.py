"""Figures of ``benchmarks.cold_start``: error by lead, skill, coverage, and how sure they are.

Every row of the table is scored on the same pairs of issue and target: daylight by the sun alone
(above ``LOWEST_SUN``), because a yardstick that is learned differs from row to row. A figure is the
mean over lead buckets within one case (a plant at a date), then the mean over cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks._cold_box import LEADS, Forecasts
from benchmarks._pvod_tables import LOWEST_SUN
from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import DAY_MS, STEP_MS, Instant
from models.features.site import FloatArray
from models.forecasters.blend import LEAD_BUCKETS
from models.forecasters.outcomes import BUCKET_OF_STEP, BUCKETS

BUCKET_NAMES = tuple(f"{first / 4:g}-{last / 4:g} h" for first, last in LEAD_BUCKETS)
_INTERVALS = {"coverage_80": (LEVELS.index(0.1), LEVELS.index(0.9)), "coverage_90": (0, -1)}
_BLOCK_DAYS = 7
_DRAWS = 2000


@dataclass(frozen=True, eq=False)
class CaseScore:
    """One row's forecasts of one plant at one date; errors are shares of its capacity."""

    date: Instant
    error: FloatArray
    """Share of the mean absolute error that each day of issue gives, ``(days, buckets)``."""
    raw_error: FloatArray
    """The same before local bias."""
    persistence_error: FloatArray
    """The same of smart persistence with the same knowledge."""
    bias: float
    pinball: float
    coverage: dict[str, float]
    width_80: float
    pairs: int


def score_case(
    forecasts: Forecasts, first: Instant, last: Instant, days: int, norm_w: float
) -> CaseScore:
    """Score what was issued in the ``days`` from ``first`` on for targets before ``last``."""
    day = (forecasts.issues - first) // DAY_MS
    inside = (day >= 0) & (day < days)
    scored = (
        inside[:, None]
        & (forecasts.elevation > LOWEST_SUN)
        & np.isfinite(forecasts.actual)
        & (forecasts.targets + STEP_MS <= last)
    )
    weight = _equal_buckets(scored)
    cell = np.clip(day, 0, days - 1)[:, None] * BUCKETS + BUCKET_OF_STEP[LEADS]

    def by_day(power: FloatArray) -> FloatArray:
        shares = np.where(scored, np.abs(power - forecasts.actual) * weight, 0.0) / norm_w
        flat = np.bincount(cell.ravel(), shares.ravel(), minlength=days * BUCKETS)
        return np.asarray(flat.reshape(days, BUCKETS))

    def mean(values: FloatArray) -> float:
        return float(np.where(scored, values * weight, 0.0).sum())

    quantiles, actual = forecasts.published, forecasts.actual
    level = np.array(LEVELS)[None, :, None]
    above = actual[:, None] - quantiles
    loss = np.maximum(level * above, (level - 1.0) * above).mean(axis=1)
    coverage = {
        name: mean(((actual >= quantiles[:, low]) & (actual <= quantiles[:, high])) * 1.0)
        for name, (low, high) in _INTERVALS.items()
    }
    low, high = _INTERVALS["coverage_80"]
    return CaseScore(
        date=first,
        error=by_day(quantiles[:, MEDIAN]),
        raw_error=by_day(forecasts.raw[:, MEDIAN]),
        persistence_error=by_day(forecasts.persistence),
        bias=mean((quantiles[:, MEDIAN] - actual) / norm_w),
        pinball=mean(loss / norm_w),
        coverage=coverage,
        width_80=mean((quantiles[:, high] - quantiles[:, low]) / norm_w),
        pairs=int(scored.sum()),
    )


def _equal_buckets(scored: np.ndarray[Any, np.dtype[np.bool_]]) -> FloatArray:
    """Weight of each pair so that every bucket that has pairs counts the same; they sum to 1."""
    counts = np.bincount(BUCKET_OF_STEP[LEADS], scored.sum(axis=0), minlength=BUCKETS)
    filled = max(1, int((counts > 0).sum()))
    return np.asarray((1.0 / np.maximum(counts, 1.0) / filled)[BUCKET_OF_STEP[LEADS]])


def table_row(own: Sequence[CaseScore], known: Sequence[CaseScore], seed: int) -> dict[str, Any]:
    """Means over the cases of one row, beside the known plant's on the same pairs."""
    dates = [one.date for one in own]
    error = np.stack([one.error for one in own])
    persistence = np.stack([one.persistence_error for one in own])
    reference = np.stack([one.error for one in known])
    known_persistence = np.stack([one.persistence_error for one in known])
    by_bucket = error.sum(axis=1).mean(axis=0) * BUCKETS
    persistence_by_bucket = persistence.sum(axis=1).mean(axis=0) * BUCKETS
    total = {
        name: float(values.sum(axis=(1, 2)).mean())
        for name, values in {
            "nmae": error,
            "persistence_nmae": persistence,
            "known_nmae": reference,
            "known_persistence_nmae": known_persistence,
            "uncorrected_nmae": np.stack([one.raw_error for one in own]),
        }.items()
    }
    return total | {
        "cases": len(own),
        "pairs": sum(one.pairs for one in own),
        "skill": 1.0 - total["nmae"] / total["persistence_nmae"],
        "skill_against_known_persistence": 1.0 - total["nmae"] / total["known_persistence_nmae"],
        "of_known": total["nmae"] / total["known_nmae"],
        "of_known_95": _bounds(error, reference, dates, seed),
        "of_persistence_95": _bounds(error, persistence, dates, seed),
        "bias": float(np.mean([one.bias for one in own])),
        "pinball": float(np.mean([one.pinball for one in own])),
        "known_pinball": float(np.mean([one.pinball for one in known])),
        "width_80": float(np.mean([one.width_80 for one in own])),
        **{name: float(np.mean([one.coverage[name] for one in own])) for name in _INTERVALS},
        "nmae_by_lead": dict(zip(BUCKET_NAMES, by_bucket.tolist(), strict=True)),
        "skill_by_lead": dict(
            zip(BUCKET_NAMES, (1.0 - by_bucket / persistence_by_bucket).tolist(), strict=True)
        ),
        "nmae_by_case": [float(one.error.sum()) for one in own],
        "skill_by_case": [
            1.0 - float(one.error.sum() / one.persistence_error.sum()) for one in own
        ],
    }


def _bounds(
    ours: FloatArray, theirs: FloatArray, dates: Sequence[Instant], seed: int
) -> list[float]:
    """95 % of the ratio of errors over circular blocks of days, the same for plants of one date.

    Plants under one sky are no independent witnesses of a day; which cases are at hand is drawn
    as well.
    """
    first, second = (values.sum(axis=2) for values in (ours, theirs))
    cases, days = first.shape
    block = min(_BLOCK_DAYS, days)
    random = np.random.default_rng(seed)
    known_dates, date_of = np.unique(np.asarray(dates), return_inverse=True)
    begin = random.integers(0, days, (_DRAWS, len(known_dates), -(-days // block)))
    day = (begin[..., None] + np.arange(block)) % days
    day = day.reshape(_DRAWS, len(known_dates), -1)[..., :days]
    case = random.integers(0, cases, (_DRAWS, cases))
    chosen = day[np.arange(_DRAWS)[:, None], date_of[case]]
    ratio = first[case[..., None], chosen].sum(axis=(1, 2))
    ratio /= second[case[..., None], chosen].sum(axis=(1, 2))
    return [float(bound) for bound in np.quantile(ratio, (0.025, 0.975))]
