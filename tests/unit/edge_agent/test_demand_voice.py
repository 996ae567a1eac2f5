"""Demand beside the generation: never in its way, and counted like it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import numpy as np
import pytest

from edge_agent.forecasting.demand import DemandVoice
from edge_agent.forecasting.engine import ForecastEngine, NoBundle
from edge_agent.forecasting.interval_store import IntervalStore
from edge_agent.storage.state_store import StateDatabase, StateStore
from models.contract.clock import SystemClock
from models.contract.forecast import Forecast
from models.contract.timestamps import HORIZON_STEPS, STEP_MS, STEPS_PER_DAY
from models.features.demand_spec import DEMAND_FEATURES
from models.features.intervals import Interval
from models.features.site import Site

SITE = Site(45.0, 10.0, dc_capacity_w=6000, ac_capacity_w=5000, tilt=30)
NOW = 1_719_792_000_000
DAYS = 40


@pytest.fixture
def database(tmp_path: Path) -> Iterator[StateDatabase]:
    """A real file."""
    opened = StateDatabase(tmp_path / "state.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def intervals(database: StateDatabase) -> IntervalStore:
    """Forty days of a home that cooks at noon and in the evening."""
    store = IntervalStore(database)
    start = NOW - DAYS * STEPS_PER_DAY * STEP_MS
    steps = np.arange(DAYS * STEPS_PER_DAY)
    hour = steps % STEPS_PER_DAY / 4
    demand = 300 + 900 * (np.abs(hour - 12) < 1) + 1500 * (np.abs(hour - 19) < 2)
    demand = demand * np.random.default_rng(1).lognormal(0, 0.2, len(steps))
    store.upsert(
        Interval(start + int(k) * STEP_MS, "farm", "load_power", float(value), 3)
        for k, value in zip(steps, demand, strict=True)
    )
    return store


def engine(database: StateDatabase, intervals: IntervalStore) -> ForecastEngine:
    """A box without a bundle."""
    state = StateStore(database, SystemClock())
    return ForecastEngine("farm", SITE, intervals, state, NoBundle(), zone=UTC)


def test_a_home_is_forecast_by_its_own_days(intervals: IntervalStore) -> None:
    one = DemandVoice("farm", intervals, UTC).forecast(NOW, None)
    assert one is not None
    assert one.model == "demand_analog_days"
    median = np.array(one.median)
    assert len(median) == HORIZON_STEPS
    evening, night = median[76], median[12]
    assert evening > 3 * night
    assert (np.diff(np.array(one.quantiles), axis=0) >= 0).all()


def test_a_site_without_a_meter_has_no_demand(database: StateDatabase) -> None:
    assert DemandVoice("farm", IntervalStore(database), UTC).forecast(NOW, None) is None
    forecast = engine(database, IntervalStore(database)).issue(NOW)
    assert set(forecast.series) == {"ac_power"}


def test_both_go_out_together_and_coverage_is_counted(
    database: StateDatabase, intervals: IntervalStore
) -> None:
    box = engine(database, intervals)
    first = box.issue(NOW)
    assert set(first.series) == {"ac_power", "load_power"}
    truth = first.series["load_power"].median[4]
    intervals.upsert(Interval(NOW + k * STEP_MS, "farm", "load_power", truth, 3) for k in range(8))
    coverage = box.issue(NOW + 8 * STEP_MS).series["load_power"].coverage
    assert (coverage.count, coverage.observed) == (1, 1.0)
    again = engine(database, intervals).issue(NOW + 9 * STEP_MS)
    assert again.series["load_power"].coverage.count == 1


def test_trees_that_fail_leave_the_home_its_own_days(
    database: StateDatabase, intervals: IntervalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def predict(self, inputs: np.ndarray) -> np.ndarray:
            assert inputs.shape[1] == len(DEMAND_FEATURES)
            raise RuntimeError("no such library")

    box = engine(database, intervals)
    monkeypatch.setattr(box, "_demand_trees", Broken)
    forecast: Forecast = box.issue(NOW)
    assert forecast.series["load_power"].model == "demand_analog_days"


def test_demand_that_fails_does_not_silence_the_generation(
    database: StateDatabase, intervals: IntervalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = engine(database, intervals)
    monkeypatch.setattr(box._demand, "forecast", lambda *args: 1 / 0)
    assert set(box.issue(NOW).series) == {"ac_power"}
