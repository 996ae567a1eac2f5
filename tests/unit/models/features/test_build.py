"""The one feature function: what it must never depend on, and what it must always give."""

from __future__ import annotations

import numpy as np
import pytest

from models.contract.timestamps import HORIZON_STEPS, STEP_MS, STEPS_PER_DAY
from models.features.build import build_features, build_windows
from models.features.site import Site, SiteSeries
from models.features.sky import Sky
from models.features.spec import (
    FEATURES,
    HISTORY_STEPS,
    WEATHER_COLUMNS,
    WINDOW_CHANNELS,
    current_spec,
)

SITE = Site(40.53, -105.06, dc_capacity_w=6000, ac_capacity_w=5000, tilt=30, elevation=1500)
DAYS = 30
START = 1_699_999_200_000
SENSORS = ("ghi_csi", "diffuse_share", "power_to_ghi")


@pytest.fixture(scope="module")
def series() -> SiteSeries:
    """A month of broken sky with a hole, from a seed."""
    steps = DAYS * STEPS_PER_DAY
    random = np.random.default_rng(7)
    sky = Sky.over(SITE, START, steps)
    power = sky.power * np.clip(random.normal(0.7, 0.25, steps), 0, 1.2)
    power[10 * STEPS_PER_DAY : 11 * STEPS_PER_DAY] = np.nan
    return SiteSeries(START, power, temp_air=random.normal(10, 3, steps))


def test_every_feature_has_its_column_and_something_to_say(series: SiteSeries) -> None:
    table = build_features(SITE, series, np.arange(HISTORY_STEPS, len(series), 7))
    assert table.shape[1:] == (HORIZON_STEPS, len(FEATURES))
    assert len(FEATURES) == len(set(FEATURES)) >= 30
    flat = table.reshape(-1, len(FEATURES))
    finite = {name: c[np.isfinite(c)] for name, c in zip(FEATURES, flat.T, strict=True)}
    constant = {name for name, column in finite.items() if len(column) and np.ptp(column) == 0}
    assert constant == {
        "site_latitude",
        "site_tilt",
        "site_azimuth_from_equator",
        "site_dc_ac_ratio",
    }
    never = {name for name, column in finite.items() if not len(column)}
    # This site has no irradiance sensor and no weather forecast.
    assert never == {*WEATHER_COLUMNS, *(name for name in FEATURES if name.startswith(SENSORS))}
    assert not np.isinf(flat).any()


def test_the_future_has_no_influence(series: SiteSeries) -> None:
    known = 20 * STEPS_PER_DAY + 41
    changed = series.ac_power.copy()
    changed[known:] = np.random.default_rng(1).normal(2000, 900, len(changed) - known)
    assert series.temp_air is not None
    warm = np.where(np.arange(len(series)) < known, series.temp_air, 99.0)
    other = SiteSeries(START, changed, temp_air=warm)
    np.testing.assert_array_equal(
        build_features(SITE, series, [known]), build_features(SITE, other, [known])
    )
    np.testing.assert_array_equal(
        build_windows(SITE, series, [known]), build_windows(SITE, other, [known])
    )


@pytest.mark.parametrize(
    "known", [HISTORY_STEPS + 3, 18 * STEPS_PER_DAY + 50, DAYS * STEPS_PER_DAY]
)
def test_the_agent_with_eight_days_computes_what_the_trainer_computed(
    series: SiteSeries, known: int
) -> None:
    trainer = build_features(SITE, series, [known])
    agent = build_features(SITE, series.window(known - HISTORY_STEPS, known), [HISTORY_STEPS])
    np.testing.assert_allclose(agent, trainer, rtol=1e-5, atol=1e-6)
    window = build_windows(SITE, series.window(known - HISTORY_STEPS, known), [HISTORY_STEPS])
    np.testing.assert_array_equal(window, build_windows(SITE, series, [known]))


def test_many_issues_at_once_equal_one_by_one(series: SiteSeries) -> None:
    issues = np.array([900, 1503, 2222])
    leads = np.array([0, 5, 100, 191])
    together = build_features(SITE, series, issues, leads)
    for row, issue in zip(together, issues, strict=True):
        alone = build_features(SITE, series, [issue])[0, leads]
        np.testing.assert_allclose(row, alone, rtol=1e-5, atol=1e-6)


def test_a_site_without_any_history_still_gets_features(series: SiteSeries) -> None:
    empty = SiteSeries(START, np.full(HISTORY_STEPS, np.nan))
    table = build_features(SITE, empty, [HISTORY_STEPS])
    assert not np.isinf(table).any()
    sure = [
        FEATURES.index(name) for name in ("target_clearsky_power", "csi_persisted", "lead_hours")
    ]
    assert np.isfinite(table[:, :, sure]).all()
    assert build_features(SITE, SiteSeries(START, np.empty(0)), [0]).shape == table.shape


def test_an_issue_outside_the_series_is_refused(series: SiteSeries) -> None:
    with pytest.raises(ValueError, match="within the series"):
        build_features(SITE, series, [len(series) + 1])


def test_lead_days_count_the_nights_between(series: SiteSeries) -> None:
    """From local noon: this afternoon 0, tomorrow 1, the day after 2 (hour angle, not UTC)."""
    sky = Sky.over(SITE, START, len(series))
    day = slice(20 * STEPS_PER_DAY, 21 * STEPS_PER_DAY)
    noon = 20 * STEPS_PER_DAY + int(np.argmax(sky.power[day]))
    table = build_features(SITE, series, [noon])[0, :, FEATURES.index("lead_days")]
    assert [table[0], table[96], table[191]] == [0, 1, 2]


def test_window_marks_what_is_not_known(series: SiteSeries) -> None:
    hole = 10 * STEPS_PER_DAY
    window = build_windows(SITE, series, [hole + STEPS_PER_DAY])[0]
    assert window.shape == (STEPS_PER_DAY, len(WINDOW_CHANNELS))
    assert not window[:, WINDOW_CHANNELS.index("known")].any()
    assert not window[:, WINDOW_CHANNELS.index("csi")].any()
    assert window[:, WINDOW_CHANNELS.index("daylight")].any()


def test_the_digest_covers_meaning_but_not_the_source() -> None:
    assert current_spec(15).digest == current_spec(60).digest
    assert START % STEP_MS == 0
