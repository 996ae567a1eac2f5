"""Scores of forecasts whose quality is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from central.evaluation.scores import score, score_by_lead
from models.contract.forecast import LEVELS
from models.contract.timestamps import HORIZON_STEPS
from models.forecasters.blend import HOUR_BUCKETS

CASES, CAPACITY = 60, 5000.0


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    random = np.random.default_rng(5)
    actual = random.uniform(0, CAPACITY, (CASES, HORIZON_STEPS))
    actual[:, ::3] = np.nan  # night
    return actual


def band(median: np.ndarray, half: float) -> np.ndarray:
    offsets = np.linspace(-half, half, len(LEVELS))
    return np.nan_to_num(median)[:, None, :] + offsets[None, :, None]


def days() -> np.ndarray:
    return np.arange(CASES) // 4


def test_the_truth_has_full_skill(truth: np.ndarray) -> None:
    result = score(truth, band(truth, 100), np.nan_to_num(truth) + 500, truth, CAPACITY, days())
    assert result.skill == 1
    assert result.mae == 0
    assert result.coverage_90 == 1
    assert result.mae_persistence == pytest.approx(0.1)
    assert result.pairs == int(np.isfinite(truth).sum())


def test_the_reference_itself_has_no_skill(truth: np.ndarray) -> None:
    reference = np.nan_to_num(truth) + 300
    result = score(truth, band(reference, 0), reference, reference, CAPACITY, days())
    assert result.skill == pytest.approx(0)
    assert result.skill_low == pytest.approx(0) == pytest.approx(result.skill_high)
    assert result.bias == pytest.approx(300 / CAPACITY)
    assert result.coverage_90 == 0


def test_luck_on_few_days_gives_a_wide_interval(truth: np.ndarray) -> None:
    random = np.random.default_rng(8)
    noise = random.normal(0, 800, truth.shape) * random.choice([0.2, 3.0], (CASES, 1))
    forecast = np.nan_to_num(truth) + noise
    reference = np.nan_to_num(truth) + random.normal(0, 900, truth.shape)
    result = score(truth, band(forecast, 500), reference, reference, CAPACITY, days())
    assert result.skill_low < result.skill < result.skill_high
    assert result.skill_high - result.skill_low > 0.1


def test_every_lead_bucket_is_scored_on_its_own(truth: np.ndarray) -> None:
    forecast = np.nan_to_num(truth).copy()
    forecast[:, 96:] += 1000
    reference = np.nan_to_num(truth) + 500
    result = score_by_lead(truth, band(forecast, 0), reference, reference, CAPACITY, days())
    assert next(iter(result)) == "all"
    assert len(result) == 1 + len(HOUR_BUCKETS)
    assert result["0-1 h"].skill == 1
    assert result["24-36 h"].skill == pytest.approx(-1)


def test_scores_of_nothing_are_none_in_json() -> None:
    nothing = np.full((4, HORIZON_STEPS), np.nan)
    result = score(nothing, band(nothing, 1), nothing, nothing, CAPACITY, np.arange(4))
    body = result.to_json()
    assert body["mae"] is None
    assert body["skill"] is None
    assert body["pairs"] == 0
