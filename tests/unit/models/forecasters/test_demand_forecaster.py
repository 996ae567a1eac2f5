"""The demand forecaster: never blank, never absurd, with and without trees."""

from __future__ import annotations

import numpy as np
import pytest

from models.contract.forecast import LEVELS, MEDIAN
from models.features.build import FeatureArray
from models.features.demand import build_demand_features
from models.features.demand_history import DAY_MINUTES, DemandSeries
from models.features.demand_spec import ANCHOR, LOG_OFFSET
from models.forecasters.demand import (
    FALLBACK_NAME,
    MODEL,
    DemandForecaster,
    analog_shares,
    expected_demand,
    target_change,
    tree_share,
)

MONDAY = 4 * DAY_MINUTES


class Constant:
    """Trees that answer the same change everywhere, crossing on purpose when asked."""

    def __init__(self, changes: list[float]) -> None:
        self.changes = np.array(changes, dtype=np.float32)

    def predict(self, inputs: FeatureArray) -> FeatureArray:
        return np.tile(self.changes, (len(inputs), 1))


def home(days: float, step_minutes: int = 15, seed: int = 2) -> DemandSeries:
    """A home that sleeps at night and cooks in the evening, with noise."""
    per_day = DAY_MINUTES // step_minutes
    steps = int(days * per_day)
    clock = MONDAY + step_minutes * np.arange(steps + 3 * per_day)
    hour = (clock[:steps] % DAY_MINUTES) / 60.0
    usual = 150.0 + 900.0 * ((hour >= 18) & (hour < 21))
    noise = np.random.default_rng(seed).lognormal(0.0, 0.3, steps)
    return DemandSeries(usual * noise, clock, step_minutes)


@pytest.mark.parametrize("days", [0, 0.01, 0.5, 3, 20, 60])
@pytest.mark.parametrize("step_minutes", [15, 30, 60])
def test_a_home_of_any_age_gets_ascending_finite_quantiles(days: float, step_minutes: int) -> None:
    series = home(days, step_minutes)
    for trees in (None, Constant([0.5, -0.3, 0.0, 0.1, 0.0, 0.2, 0.4])):
        quantiles = DemandForecaster(trees).predict(series)
        assert quantiles.shape == (len(LEVELS), 2 * series.steps_per_day)
        assert np.isfinite(quantiles).all()
        assert (quantiles >= 0).all()
        assert (np.diff(quantiles, axis=0) >= 0).all()


def test_the_name_says_who_answers() -> None:
    assert DemandForecaster().name == FALLBACK_NAME
    assert DemandForecaster(Constant([0.0] * 7)).name == MODEL


def test_without_a_bundle_the_evening_is_known_after_some_days() -> None:
    series = home(30)
    median = DemandForecaster().predict(series)[MEDIAN]
    hour = (series.local_minute[len(series) : len(series) + 192] % DAY_MINUTES) / 60.0
    evening = (hour >= 19) & (hour < 20)
    assert (median[evening] > 700).all()
    assert (median[(hour > 2) & (hour < 16)] < 300).all()


def test_the_fallback_covers_about_what_it_says() -> None:
    series = home(90, 30)
    issues = np.arange(60 * 48, 88 * 48, 5)
    table = build_demand_features(series, issues, [47])
    quantiles = DemandForecaster().quantiles(table)[:, 0]
    actual = series.demand[issues + 47]
    inside = (actual >= quantiles[:, 1]) & (actual <= quantiles[:, -2])
    assert 0.7 < inside.mean() < 0.9


def test_a_dead_meter_and_a_vast_outlier_leave_the_forecast_sane() -> None:
    series = home(50)
    series.demand[-96 * 3 :] = np.nan
    series.demand[-96 * 10] = 1e7
    quantiles = DemandForecaster().predict(series)
    assert np.isfinite(quantiles).all()
    assert quantiles[MEDIAN].max() < 5_000


def test_trees_alone_speak_at_once_and_half_a_day_ahead() -> None:
    assert tree_share(np.array([0.0]))[0] == 1.0
    assert tree_share(np.array([24.0]))[0] == pytest.approx(0.5, abs=0.01)
    series = home(50)
    table = build_demand_features(series, [len(series)], [0])
    change = 0.7
    got = DemandForecaster(Constant([change] * 7)).quantiles(table)[0, 0, MEDIAN]
    anchor = float(table.features[0, 0, ANCHOR])
    want = (np.exp(np.log(anchor + LOG_OFFSET) + change) - LOG_OFFSET) * table.level[0]
    assert got == pytest.approx(want, rel=1e-4)


def test_the_trees_target_is_undone_by_the_forecaster() -> None:
    series = home(50)
    table = build_demand_features(series, [len(series)], [0])
    share = np.array([2.5])
    change = target_change(share, table.features[0, :, ANCHOR].astype(np.float64))
    got = DemandForecaster(Constant([float(change[0])] * 7)).quantiles(table)
    np.testing.assert_allclose(got / table.level[0], 2.5, rtol=1e-4)


def test_analog_quantiles_move_with_the_anchor() -> None:
    series = home(40)
    series.demand[-4:] = 3_000.0  # the oven is on
    table = build_demand_features(series, [len(series)], [0, 100])
    shares = analog_shares(table.features)[0]
    assert shares[0, MEDIAN] == pytest.approx(table.features[0, 0, ANCHOR], rel=1e-5)
    assert shares[0, MEDIAN] * table.level[0] > 1_000
    assert shares[1, MEDIAN] * table.level[0] < 1_200


def test_the_expected_value_of_known_distributions_is_found() -> None:
    random = np.random.default_rng(5)
    for values in (random.exponential(1.0, 200_000), random.uniform(0.0, 1.0, 200_000)):
        got = expected_demand(np.quantile(values, LEVELS))
        assert got == pytest.approx(values.mean(), rel=0.04)
