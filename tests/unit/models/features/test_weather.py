"""Forecast weather: laid on any grid, turned into power by the textbook chain, told by columns."""

from __future__ import annotations

import numpy as np
import pvlib
import pytest

from models.contract.errors import ContractError
from models.contract.timestamps import HOUR_MS, STEP_MS, STEPS_PER_DAY
from models.features.build import build_features
from models.features.site import Site, SiteSeries
from models.features.sky import CSI_MAX, Sky
from models.features.spec import FEATURES, HISTORY_STEPS, WEATHER_COLUMNS
from models.features.weather import SkyWeather, WeatherSeries, chain_power, erbs_diffuse_share

SITE = Site(40.0, -105.0, dc_capacity_w=6000, ac_capacity_w=5000, tilt=30, elevation=1500)
START = 1_717_200_000_000  # 2024-06-01
DAYS = 12
STEPS = DAYS * STEPS_PER_DAY


def column(table: np.ndarray, name: str) -> np.ndarray:
    """One named column."""
    return table[..., FEATURES.index(name)]


@pytest.fixture(scope="module")
def sky() -> Sky:
    """Twelve days, a horizon and a day."""
    return Sky.over(SITE, START, STEPS + 3 * STEPS_PER_DAY)


def forecast(sky: Sky, share: float | np.ndarray) -> WeatherSeries:
    """Irradiance as a share of the cloudless, with clouds that fit."""
    return WeatherSeries(
        START, {"ghi": sky.ghi * share, "cloud_cover": np.full(len(sky.ghi), 40.0)}
    )


def test_diffuse_share_is_the_published_one() -> None:
    zenith = np.full(200, 50.0)
    ghi = np.linspace(1, 1000, 200)
    theirs = pvlib.irradiance.erbs(ghi, zenith, 172)
    extra = pvlib.irradiance.get_extra_radiation(172)
    ours = erbs_diffuse_share(np.clip(ghi / (extra * np.cos(np.radians(50.0))), 0, 1))
    np.testing.assert_allclose(ours * ghi, theirs["dhi"], rtol=2e-3)


def test_a_cloudless_forecast_gives_about_cloudless_power(sky: Sky) -> None:
    laid = SkyWeather.over(SITE, START, sky, forecast(sky, 1.0))
    high = sky.power > 0.3 * SITE.ac_capacity_w
    assert np.abs(np.median(laid.power_index[high]) - 1.0) < 0.06
    assert np.isnan(laid.ghi_index[sky.ghi < 1]).all()
    assert np.isnan(laid.power_index[~sky.daylight]).all()


def test_measured_diffuse_irradiance_is_used_where_it_is_known(sky: Sky) -> None:
    ghi = 0.5 * sky.ghi
    guessed, overcast = chain_power(SITE, sky, ghi), chain_power(SITE, sky, ghi, ghi)
    assert np.nansum(overcast) < np.nansum(guessed)
    np.testing.assert_array_equal(chain_power(SITE, sky, ghi, np.full(len(ghi), np.nan)), guessed)


def test_hourly_weather_on_quarters_keeps_its_index_over_the_whole_day(sky: Sky) -> None:
    hours = len(sky.ghi) // 4
    own = Sky.over(SITE, START, hours, HOUR_MS)
    hourly = WeatherSeries(START, {"ghi": 0.6 * own.ghi}, HOUR_MS)
    laid = SkyWeather.over(SITE, START, sky, hourly)
    bright = (sky.ghi > 5) & (np.arange(len(sky.ghi)) < 4 * hours)
    np.testing.assert_allclose(laid.ghi_index[bright], 0.6, atol=0.02)


def test_what_lies_beyond_the_forecast_is_not_known(sky: Sky) -> None:
    short = WeatherSeries(START, {"ghi": sky.ghi[:100], "temp_air": np.arange(100.0)})
    laid = SkyWeather.over(SITE, START, sky, short)
    assert np.isnan(laid.ghi_index[100:]).all()
    assert np.isnan(laid.plain["temp_air"][100:]).all()
    assert laid.plain["temp_air"][99] == 99.0
    assert np.isnan(laid.plain["wind_speed"]).all()


def test_a_forecast_that_starts_before_the_series_is_laid_where_it_belongs(sky: Sky) -> None:
    early = WeatherSeries(START - 8 * STEP_MS, {"temp_air": np.arange(500.0)})
    laid = SkyWeather.over(SITE, START, sky, early)
    assert laid.plain["temp_air"][0] == 8.0


def test_faulty_weather_is_refused() -> None:
    with pytest.raises(ContractError, match="sunshine"):
        WeatherSeries(START, {"sunshine": np.ones(3)})
    with pytest.raises(ValueError, match="one length"):
        WeatherSeries(START, {"ghi": np.ones(3), "temp_air": np.ones(4)})
    with pytest.raises(ValueError, match="grid"):
        WeatherSeries(START + 1, {"ghi": np.ones(3)})


def test_columns_tell_the_target_its_neighbours_and_the_day(sky: Sky) -> None:
    series = SiteSeries(START, sky.power[:STEPS] * 0.5)
    table = build_features(SITE, series, [STEPS], sky=sky, weather=forecast(sky, 0.5))[0]
    noon = int(np.argmax(column(table, "target_clearsky_power")))
    for name in ("weather_ghi_index", "weather_power_index_3h", "weather_power_index_day"):
        assert 0.3 < column(table, name)[noon] < 0.75, name
    assert column(table, "weather_cloud_cover")[noon] == 40.0
    # Half the power under half the irradiance: the forecast was about right.
    assert np.abs(column(table, "weather_error_3h")[0]) < 0.25
    assert 0.7 < column(table, "weather_ratio_7d")[0] < 1.3
    anchor = column(table, "csi_anchor")
    assert np.isfinite(anchor).all()
    assert (anchor <= CSI_MAX).all()


def test_far_off_the_anchor_follows_the_forecast(sky: Sky) -> None:
    series = SiteSeries(START, sky.power[:STEPS] * 0.7)
    dull, bright = (
        column(build_features(SITE, series, [STEPS], sky=sky, weather=forecast(sky, share))[0],
               "csi_anchor")
        for share in (np.where(np.arange(len(sky.ghi)) < STEPS, 0.7, 0.2),
                      np.where(np.arange(len(sky.ghi)) < STEPS, 0.7, 0.9))
    )  # fmt: skip
    light = sky.daylight[STEPS : STEPS + len(dull)]
    assert (bright[light][-20:] > dull[light][-20:] + 0.2).all()
    assert np.abs(bright[0] - dull[0]) < 0.1 or not light[0]


def test_measurements_after_the_issue_change_nothing_with_weather_either(sky: Sky) -> None:
    known = HISTORY_STEPS + 40
    power = sky.power[:STEPS] * 0.6
    changed = np.where(np.arange(STEPS) < known, power, 17.0)
    weather = forecast(sky, 0.6)
    first, second = (
        build_features(SITE, SiteSeries(START, values, ghi=values, dhi=values * 0.3), [known],
                       sky=sky, weather=weather)
        for values in (power, changed)
    )  # fmt: skip
    np.testing.assert_array_equal(first, second)


def test_the_agent_with_eight_days_of_weather_computes_what_the_trainer_computed(sky: Sky) -> None:
    random = np.random.default_rng(3)
    share = np.clip(np.repeat(random.normal(0.7, 0.2, len(sky.ghi) // 8 + 1), 8), 0, 1.2)
    weather = forecast(sky, share[: len(sky.ghi)])
    series = SiteSeries(START, sky.power[:STEPS] * share[:STEPS])
    known = HISTORY_STEPS + 130
    trainer = build_features(SITE, series, [known], sky=sky, weather=weather)
    agent = build_features(
        SITE, series.window(known - HISTORY_STEPS, known), [HISTORY_STEPS], weather=weather
    )
    for name in WEATHER_COLUMNS:
        np.testing.assert_allclose(
            column(agent, name), column(trainer, name), rtol=1e-4, atol=1e-4, err_msg=name
        )


def test_an_hourly_plant_has_hourly_features(sky: Sky) -> None:
    hours = STEPS // 4
    own = Sky.over(SITE, START, hours + 50, HOUR_MS)
    series = SiteSeries(START, 0.5 * own.power[:hours], step_ms=HOUR_MS)
    table = build_features(SITE, series, [hours])[0]
    assert len(table) == 48
    assert column(table, "lead_hours")[3] == 3.5
    np.testing.assert_allclose(column(table, "csi_mean_7d"), 0.5, atol=1e-6)
    fine = Sky.over(SITE, START, 4 * hours)
    np.testing.assert_allclose(own.power[:hours], fine.power.reshape(-1, 4).mean(axis=1))


def test_without_history_weather_still_speaks(sky: Sky) -> None:
    empty = SiteSeries(START, np.full(STEPS, np.nan))
    table = build_features(SITE, empty, [STEPS], sky=sky, weather=forecast(sky, 0.4))[0]
    light = column(table, "target_clearsky_power") > 0.1
    assert np.isfinite(column(table, "weather_power_index")[light]).all()
    assert (column(table, "csi_anchor")[light][-10:] < 0.7).all()
