"""Scores against values worked out by hand, brute force, and other people's packages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import mean_pinball_loss

from models import metrics
from models.contract.forecast import LEVELS

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


def test_pinball_is_that_of_scikit_learn_at_every_level() -> None:
    random = np.random.default_rng(3)
    actual = random.normal(size=500)
    quantiles = np.sort(random.normal(size=(len(LEVELS), 500)), axis=0)
    theirs = [
        mean_pinball_loss(actual, row, alpha=level)
        for level, row in zip(LEVELS, quantiles, strict=True)
    ]
    ours = metrics.pinball_values(actual, quantiles).mean(axis=1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert metrics.pinball(actual, quantiles) == pytest.approx(np.mean(theirs))


def test_pinball_is_least_at_the_true_quantile() -> None:
    sample = np.random.default_rng(0).normal(size=4000)
    true = np.quantile(sample, 0.9)
    losses = [
        metrics.pinball(sample, np.full((1, 4000), guess), (0.9,))
        for guess in (true - 0.3, true, true + 0.3)
    ]
    assert losses[1] == min(losses)


def test_crps_of_one_level_is_the_absolute_error() -> None:
    assert metrics.crps(ACTUAL, FORECAST[None], (0.5,)) == pytest.approx(4 / 3)


@pytest.mark.parametrize("actual", [-4.0, -1.3, -0.2, 0.0, 0.4, 0.9, 1.0, 1.4, 5.0])
def test_crps_is_the_squared_distance_of_the_distributions(actual: float) -> None:
    """Against the integral of (F(x) - [x >= actual])^2 over x, F drawn from the quantiles."""
    levels, quantiles = (0.05, 0.25, 0.5, 0.9), np.array([-1.0, 0.0, 0.4, 1.0])
    x = np.linspace(-6.0, 6.0, 1_200_001)
    below = np.interp(x, quantiles, levels, left=0.0, right=1.0)
    brute = ((below - (x >= actual)) ** 2).sum() * (x[1] - x[0])
    found = metrics.crps(np.array([actual]), quantiles[:, None], levels)
    assert found == pytest.approx(brute, abs=2e-5)


def test_crps_of_quantiles_that_coincide_counts_the_jump() -> None:
    """All mass at 2: the absolute error, also when the actual is just there."""
    quantiles = np.full((7, 3), 2.0)
    found = metrics.crps_values(np.array([0.0, 2.0, 7.0]), quantiles)
    np.testing.assert_allclose(found, [2.0, 0.0, 5.0])


def test_crps_comes_close_to_the_closed_form_of_a_normal_distribution() -> None:
    actual = np.random.default_rng(1).normal(size=2000)
    closed = actual * (2 * norm.cdf(actual) - 1) + 2 * norm.pdf(actual) - 1 / math.sqrt(math.pi)

    def off(levels: tuple[float, ...]) -> float:
        quantiles = np.repeat(norm.ppf(levels)[:, None], len(actual), axis=1)
        return metrics.crps(actual, quantiles, levels) / float(closed.mean()) - 1

    assert abs(off(tuple(np.arange(1, 1000) / 1000))) < 1e-3
    assert abs(off(LEVELS)) < 0.02  # what seven levels cost


def test_coverage_counts_only_what_can_be_judged() -> None:
    low, high = np.zeros(4), np.array([1.0, 1.0, 9.0, 9.0])
    assert metrics.coverage(ACTUAL, low, high) == pytest.approx(2 / 3)
    assert metrics.width(ACTUAL, low, high) == pytest.approx((1 + 1 + 9) / 3)


def test_winkler_punishes_by_how_rare_a_miss_should_be() -> None:
    low, high = np.zeros(4), np.full(4, 3.0)
    # widths 3, and 1 beyond the upper end once: 2 / 0.2 = 10
    assert metrics.winkler(ACTUAL, low, high, 0.8) == pytest.approx((3 + 3 + 13) / 3)


def test_winkler_is_least_for_the_true_interval() -> None:
    sample = np.random.default_rng(0).normal(size=20_000)

    def score(half: float) -> float:
        ends = np.full(len(sample), half)
        return metrics.winkler(sample, -ends, ends, 0.9)

    true = float(norm.ppf(0.95))
    assert score(true) < min(score(true - 0.2), score(true + 0.2))


def test_reliability_is_the_level_for_true_quantiles() -> None:
    sample = np.random.default_rng(0).normal(size=20_000)
    quantiles = np.repeat(norm.ppf(LEVELS)[:, None], len(sample), axis=1)
    np.testing.assert_allclose(metrics.reliability(sample, quantiles), LEVELS, atol=0.01)
    np.testing.assert_allclose(metrics.reliability(ACTUAL, FORECAST[None]), [2 / 3])


def test_skill_of_nothing_is_not_a_number() -> None:
    assert metrics.skill(1.0, 2.0) == 0.5
    assert math.isnan(metrics.skill(1.0, 0.0))
    assert math.isnan(metrics.mae(np.array([np.nan]), np.array([1.0])))
