"""Smart persistence: right where it can be computed by hand, and never blank."""

from __future__ import annotations

import numpy as np
import pytest

from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import HORIZON_STEPS, STEPS_PER_DAY
from models.features.site import Site, SiteSeries
from models.features.sky import PRIOR_INDEX, Sky, persisted_index
from models.forecasters.persistence import smart_persistence, smart_persistence_quantiles

SITE = Site(48.0, 11.0, dc_capacity_w=6000, ac_capacity_w=5000, tilt=25)
START = 1_687_996_800_000  # 2023-06-29T00:00Z
STEPS = 5 * STEPS_PER_DAY


def series_of(index: float) -> SiteSeries:
    return SiteSeries(START, Sky.over(SITE, START, STEPS).power * index)


def test_a_steady_sky_is_persisted_exactly() -> None:
    known = 3 * STEPS_PER_DAY + 50
    forecast = smart_persistence(SITE, series_of(0.4), np.array([known]))[0]
    clear = Sky.over(SITE, START, known + HORIZON_STEPS).power[known:]
    np.testing.assert_allclose(forecast, 0.4 * clear, atol=1e-6)


def test_at_noon_the_last_interval_says_it_all() -> None:
    sky = Sky.over(SITE, START, STEPS)
    power = sky.power * 0.9
    noon = int(np.argmax(sky.power[:STEPS_PER_DAY]))
    power[noon] *= 0.5
    assert persisted_index(power, sky, np.array([noon + 1]))[0] == pytest.approx(0.45)
    assert persisted_index(power, sky, np.array([noon]))[0] == pytest.approx(0.9)


def test_over_the_night_dusk_counts_by_its_energy() -> None:
    sky = Sky.over(SITE, START, STEPS)
    power = sky.power * 0.9
    daylight = np.flatnonzero(sky.daylight[:STEPS_PER_DAY])
    power[daylight[-2:]] *= 0.1  # a tree before the setting sun
    midnight = np.array([STEPS_PER_DAY])
    assert 0.5 < persisted_index(power, sky, midnight)[0] < 0.9
    power[daylight[-16:]] = sky.power[daylight[-16:]] * 0.3
    assert persisted_index(power, sky, midnight)[0] == pytest.approx(0.3)


def test_without_any_daylight_behind_it_the_prior_speaks() -> None:
    sky = Sky.over(SITE, START, STEPS)
    assert persisted_index(np.full(STEPS, np.nan), sky, np.array([0, 200]))[0] == PRIOR_INDEX
    old = sky.power * 0.2
    old[2 * STEPS_PER_DAY :] = np.nan
    sky_long = Sky.over(SITE, START, 3 * STEPS)
    later = np.array([2 * STEPS_PER_DAY + 4 * STEPS_PER_DAY])
    padded = np.concatenate([old, np.full(2 * STEPS, np.nan)])
    assert persisted_index(padded, sky_long, later)[0] == PRIOR_INDEX


def test_a_broken_sensor_does_not_make_more_than_the_inverter_can() -> None:
    forecast = smart_persistence(SITE, series_of(50.0), np.array([STEPS]))
    assert forecast.max() <= SITE.ac_capacity_w


@pytest.mark.parametrize("history", [np.nan, 0.0, 0.5, 1.3])
def test_quantiles_are_sorted_bounded_and_dark_at_night(history: float) -> None:
    power = Sky.over(SITE, START, STEPS).power * history
    quantiles = smart_persistence_quantiles(SITE, SiteSeries(START, power))
    assert quantiles.shape == (len(LEVELS), HORIZON_STEPS)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=0) >= 0).all()
    assert quantiles.min() >= 0
    assert quantiles.max() <= SITE.ac_capacity_w
    clear = Sky.over(SITE, START + STEPS * 900_000, HORIZON_STEPS).power
    assert not quantiles[:, clear == 0].any()


def test_the_median_is_the_textbook_baseline() -> None:
    random = np.random.default_rng(3)
    sky = Sky.over(SITE, START, STEPS)
    series = SiteSeries(START, sky.power * random.uniform(0.2, 1.0, STEPS))
    expected = smart_persistence(SITE, series, np.array([STEPS]))[0]
    actual = smart_persistence_quantiles(SITE, series)[MEDIAN]
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_the_band_widens_with_the_lead() -> None:
    random = np.random.default_rng(3)
    sky = Sky.over(SITE, START, STEPS)
    noon = int(np.argmax(sky.power[4 * STEPS_PER_DAY :])) + 4 * STEPS_PER_DAY
    series = SiteSeries(START, (sky.power * random.uniform(0.2, 1.0, STEPS))[:noon])
    band = smart_persistence_quantiles(SITE, series)
    clear = Sky.over(SITE, START, noon + HORIZON_STEPS).power[noon:]
    width = (band[-1] - band[0]) / np.maximum(clear, 1.0)
    assert width[0] < width[8] < width[STEPS_PER_DAY]
