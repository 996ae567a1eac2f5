"""A forecast whatever happens: without a bundle, with a broken one, and back again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.forecasting.calibration import Calibration
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


def uncorrected(forecaster: ForecastEngine, series: SiteSeries) -> np.ndarray:
    """Smart persistence of the site as it has been learned."""
    learned = forecaster._learner.site
    return smart_persistence_quantiles(learned.site, series, learned=learned)


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
    expected = uncorrected(forecaster, series)
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


def live(forecaster: ForecastEngine, first: int, steps: int, share: float) -> None:
    """A forecast every quarter of an hour; the plant gives ``share`` of the clear sky."""
    power = share * Sky.over(SITE, NOW, first + steps).power
    for step in range(first, first + steps):
        forecaster.issue(NOW + step * STEP_MS)
        outcome = Interval(NOW + step * STEP_MS, "farm", "ac_power", float(power[step]), 3)
        forecaster._intervals.upsert([outcome])


def test_what_the_site_taught_is_published_and_survives_a_restart(
    engine: tuple[ForecastEngine, OneBundle, SiteSeries],
) -> None:
    forecaster, bundles, _ = engine
    live(forecaster, 0, 3 * STEPS_PER_DAY + 4, 0.6)
    # Persistence spreads by what it does not know yet; a sky this steady narrows the interval.
    restarted = ForecastEngine("farm", SITE, forecaster._intervals, forecaster._state, bundles)
    now = NOW + (3 * STEPS_PER_DAY + 4) * STEP_MS
    history = restarted._history(now)
    published = np.array(restarted.issue(now).series["ac_power"].quantiles)
    raw = uncorrected(restarted, history)
    expected = np.array(forecaster.issue(now).series["ac_power"].quantiles)
    assert np.abs(published - raw).max() > 5.0
    np.testing.assert_allclose(published, expected, atol=25.0)


@pytest.mark.parametrize("text", ["nonsense", '{"version": 1, "models": 4}', "[]"])
def test_a_damaged_saved_correction_does_not_silence_the_site(
    engine: tuple[ForecastEngine, OneBundle, SiteSeries], text: str
) -> None:
    forecaster, bundles, _ = engine
    with forecaster._state._database.transaction() as run:
        for key in ("calibration", "coverage"):
            run.execute("INSERT INTO state VALUES (?, ?, 0)", (key, text))
    again = ForecastEngine("farm", SITE, forecaster._intervals, forecaster._state, bundles)
    assert max(again.issue(NOW).series["ac_power"].median) > 0
    again.issue(NOW + 4 * STEP_MS)
    assert isinstance(again._state.get("calibration"), dict)


def test_a_correction_that_fails_leaves_the_forecast_as_it_is(
    engine: tuple[ForecastEngine, OneBundle, SiteSeries], caplog: pytest.LogCaptureFixture
) -> None:
    forecaster, _, series = engine

    class Broken(Calibration):
        def apply(self, *args: object) -> np.ndarray:  # type: ignore[override]
            return np.full((7, HORIZON_STEPS), np.nan)

    forecaster._calibration = Broken()
    published = forecaster.issue(NOW).series["ac_power"].quantiles
    np.testing.assert_allclose(published, uncorrected(forecaster, series), atol=0.06)
    assert "is published as it is" in caplog.text
    assert type(forecaster._calibration) is Calibration


def test_learning_that_fails_does_not_silence_the_site(
    engine: tuple[ForecastEngine, OneBundle, SiteSeries], caplog: pytest.LogCaptureFixture
) -> None:
    forecaster, _, _ = engine

    class Broken(Calibration):
        def happened(self, start: int, power: float) -> None:
            raise FloatingPointError("damaged")

    forecaster._calibration = Broken()
    assert max(forecaster.issue(NOW).series["ac_power"].median) > 0
    assert "begins anew" in caplog.text


def test_a_plant_above_its_nameplate_is_not_cut_to_it(
    engine: tuple[ForecastEngine, OneBundle, SiteSeries],
) -> None:
    forecaster, _, series = engine
    assert forecaster._limit(series) == SITE.ac_capacity_w
    for peaks, limit in ((1, 5000.0), (2, 5400.0)):
        power = series.ac_power.copy()
        power[:peaks] = 5400.0
        assert forecaster._limit(SiteSeries(series.start, power)) == limit
    wrong = SiteSeries(series.start, np.full(len(series), 1e9))
    assert forecaster._limit(wrong) == 1.5 * SITE.ac_capacity_w
