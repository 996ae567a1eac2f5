"""A forecast whatever happens: without a bundle, with a broken one, and back again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.forecasting.engine import ForecastEngine
from edge_agent.forecasting.interval_store import IntervalStore
from edge_agent.storage.state_store import StateDatabase, StateStore
from models.contract.clock import SystemClock
from models.contract.timestamps import HORIZON_STEPS, STEP_MS, STEPS_PER_DAY
from models.features.intervals import Interval
from models.features.site import Site, SiteSeries
from models.features.sky import Sky
from models.forecasters.persistence import smart_persistence_quantiles

SITE = Site(48.0, 11.0, dc_capacity_w=6000, ac_capacity_w=5000, tilt=25)
NOW = 1_687_996_800_000 + 40 * STEP_MS


class OneBundle:
    """An updater with a directory that holds no usable bundle."""

    def __init__(self, *directories: Path) -> None:
        self.directories = list(directories)
        self.failures: list[str] = []

    def active(self) -> Path | None:
        return self.directories[0] if self.directories else None

    def forecast_succeeded(self, directory: Path | None = None) -> None:
        raise AssertionError("nothing here can succeed")

    def forecast_failed(self, error: BaseException, directory: Path | None = None) -> bool:
        self.failures.append(str(error))
        if len(self.directories) > 1:
            self.directories.pop(0)
            return True
        return False


@pytest.fixture
def engine(tmp_path: Path) -> tuple[ForecastEngine, OneBundle, SiteSeries]:
    """An engine of a site with ten days of measurements."""
    database = StateDatabase(tmp_path / "state.sqlite")
    intervals = IntervalStore(database)
    start = NOW - 10 * STEPS_PER_DAY * STEP_MS
    power = 0.6 * Sky.over(SITE, start, 10 * STEPS_PER_DAY).power
    intervals.upsert(
        Interval(start + k * STEP_MS, "farm", "ac_power", float(value), 3)
        for k, value in enumerate(power)
    )
    bundles = OneBundle()
    state = StateStore(database, SystemClock())
    series = SiteSeries(start, power)
    return ForecastEngine("farm", SITE, intervals, state, bundles), bundles, series


def test_without_a_bundle_smart_persistence_speaks(
    engine: tuple[ForecastEngine, OneBundle, SiteSeries],
) -> None:
    forecaster, _, series = engine
    forecast = forecaster.issue(NOW + 12_345)
    assert forecast.bundle is None
    assert forecast.start == NOW
    assert forecast.issued_at == NOW + 12_345
    one = forecast.series["ac_power"]
    assert one.model == "smart_persistence"
    expected = smart_persistence_quantiles(SITE, series)
    np.testing.assert_allclose(one.quantiles, expected, atol=0.06)
    assert len(one.median) == HORIZON_STEPS


def test_a_bundle_that_cannot_be_loaded_does_not_silence_the_site(
    engine: tuple[ForecastEngine, OneBundle, SiteSeries], tmp_path: Path
) -> None:
    forecaster, bundles, _ = engine
    bundles.directories = [tmp_path / "broken"]
    assert forecaster.issue(NOW).series["ac_power"].model == "smart_persistence"
    assert len(bundles.failures) == 1
    assert "manifest.json" in bundles.failures[0]
    forecaster.issue(NOW + STEP_MS)
    assert len(bundles.failures) == 1  # not tried again at every quarter of an hour


def test_a_failing_trial_falls_back_within_the_same_forecast(
    engine: tuple[ForecastEngine, OneBundle, SiteSeries], tmp_path: Path
) -> None:
    forecaster, bundles, _ = engine
    bundles.directories = [tmp_path / "trial", tmp_path / "last-good"]
    assert forecaster.issue(NOW).bundle is None
    assert [str(tmp_path / name) in text for name, text in zip(
        ("trial", "last-good"), bundles.failures, strict=True
    )] == [True, True]  # fmt: skip


def test_measured_coverage_is_published(
    engine: tuple[ForecastEngine, OneBundle, SiteSeries],
) -> None:
    forecaster, _, _ = engine
    first = forecaster.issue(NOW)
    assert first.series["ac_power"].coverage.observed is None
    # Two hours on, the forecast for one hour ahead has met its truth.
    truth = first.series["ac_power"].median[4]
    store = forecaster._intervals
    store.upsert(Interval(NOW + k * STEP_MS, "farm", "ac_power", truth, 3) for k in range(8))
    later = forecaster.issue(NOW + 8 * STEP_MS)
    assert later.series["ac_power"].coverage.count == 1
    assert later.series["ac_power"].coverage.observed == 1.0


def test_a_brand_new_site_gets_a_forecast(tmp_path: Path) -> None:
    database = StateDatabase(tmp_path / "state.sqlite")
    state = StateStore(database, SystemClock())
    forecaster = ForecastEngine("farm", SITE, IntervalStore(database), state, OneBundle())
    assert max(forecaster.issue(NOW).series["ac_power"].median) > 0


def test_a_card_that_takes_no_writes_does_not_silence_the_site(
    engine: tuple[ForecastEngine, OneBundle, SiteSeries],
) -> None:
    forecaster, _, _ = engine
    forecaster._state._database.query("PRAGMA query_only = 1")
    assert max(forecaster.issue(NOW).series["ac_power"].median) > 0


def test_outcomes_count_again_after_a_clock_that_was_ahead_is_set_back(
    engine: tuple[ForecastEngine, OneBundle, SiteSeries],
) -> None:
    forecaster, _, _ = engine
    forecaster.issue(NOW + 3650 * STEPS_PER_DAY * STEP_MS)
    truth = forecaster.issue(NOW).series["ac_power"].median[4]
    store = forecaster._intervals
    store.upsert(Interval(NOW + k * STEP_MS, "farm", "ac_power", truth, 3) for k in range(8))
    later = forecaster.issue(NOW + 8 * STEP_MS)
    assert later.series["ac_power"].coverage.count == 1
