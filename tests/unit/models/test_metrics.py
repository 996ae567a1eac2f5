"""Scores against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models import metrics

ACTUAL = np.array([1.0, 2.0, np.nan, 4.0])
FORECAST = np.array([2.0, 2.0, 3.0, 1.0])


def test_errors_by_hand_leave_out_what_is_not_known() -> None:
    assert metrics.mae(ACTUAL, FORECAST) == pytest.approx(4 / 3)
    assert metrics.rmse(ACTUAL, FORECAST) == pytest.approx(math.sqrt(10 / 3))
    assert metrics.bias(ACTUAL, FORECAST) == pytest.approx(-2 / 3)
    assert metrics.mape(ACTUAL, FORECAST, floor=1.5) == pytest.approx((0 + 3 / 4) / 2)


def test_pinball_weighs_over_and_under_by_level() -> None:
    actual = np.array([10.0])
    quantiles = np.array([[8.0], [13.0]])
    # 0.1 * 2 below, 0.1 * 3 above
    assert metrics.pinball(actual, quantiles, (0.1, 0.9)) == pytest.approx((0.2 + 0.3) / 2)


def test_pinball_is_least_at_the_true_quantile() -> None:
    sample = np.random.default_rng(0).normal(size=4000)
    true = np.quantile(sample, 0.9)
    losses = [
        metrics.pinball(sample, np.full((1, 4000), guess), (0.9,))
        for guess in (true - 0.3, true, true + 0.3)
    ]
    assert losses[1] == min(losses)


def test_coverage_counts_only_what_can_be_judged() -> None:
    low, high = np.zeros(4), np.array([1.0, 1.0, 9.0, 9.0])
    assert metrics.coverage(ACTUAL, low, high) == pytest.approx(2 / 3)


def test_skill_of_nothing_is_not_a_number() -> None:
    assert metrics.skill(1.0, 2.0) == 0.5
    assert math.isnan(metrics.skill(1.0, 0.0))
    assert math.isnan(metrics.mae(np.array([np.nan]), np.array([1.0])))
