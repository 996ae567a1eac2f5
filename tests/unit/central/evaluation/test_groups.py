"""Where pairs belong."""

from __future__ import annotations

import numpy as np

from central.evaluation.groups import (
    HORIZONS,
    REGIMES,
    horizon_ids,
    month_of,
    regime_ids,
    solar_days,
    solar_slots,
)
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, HOUR_MS, STEP_MS
from models.forecasters.blend import HOUR_BUCKETS

NOON = 17_897 * DAY_MS + 12 * HOUR_MS  # 2019-01-01


def test_no_solar_day_is_cut_in_daylight() -> None:
    """At longitude -105, noon is 19:00 UTC: 07:00 UTC begins the day."""
    midnight = 20_000 * DAY_MS
    hours = midnight + np.arange(48) * HOUR_MS
    assert np.unique(solar_days(hours, -105.0), return_counts=True)[1].tolist() == [7, 24, 17]
    assert np.unique(solar_days(hours, 0.0), return_counts=True)[1].tolist() == [24, 24]
    assert solar_slots(np.array([midnight + 19 * HOUR_MS]), -105.0).tolist() == [48]


def test_months_are_those_of_the_calendar() -> None:
    assert [month_of(day) for day in (0, 17_896, 17_897)] == ["1970-01", "2018-12", "2019-01"]


def test_every_lead_has_the_bucket_of_the_forecasters() -> None:
    ids = horizon_ids(np.arange(HORIZON_STEPS + 1) * STEP_MS, HORIZONS)
    for place, (first, last) in enumerate(HOUR_BUCKETS):
        assert (ids[first:last] == place).all()
    assert ids[-1] == len(HORIZONS)  # 48 h ahead is in none


def test_the_sky_is_that_of_the_whole_hour_by_energy() -> None:
    """0.9 of a weak quarter and 0.3 of three strong ones are a broken hour."""
    targets = NOON + np.arange(8)[None, :] * STEP_MS
    clear = np.array([[100.0, 1000, 1000, 1000, 1000, 1000, 1000, 1000]])
    actual = np.array([[90.0, 300, 500, 500, 900, 800, 850, np.nan]])
    found = regime_ids(targets, actual, clear, np.full((1, 8), True))
    names = [REGIMES[one] for one in found[0]]
    assert names == ["broken"] * 4 + ["clear"] * 3 + ["unknown"]


def test_an_interval_counts_once_however_often_it_was_forecast() -> None:
    """Thrice the dark quarter, once the bright one: still half of the hour's energy."""
    targets = NOON + np.array([[0, 0], [0, 1]]) * STEP_MS
    actual = np.array([[0.0, 0], [0, 1000]])
    found = regime_ids(targets, actual, np.full((2, 2), 1000.0), np.full((2, 2), True))
    assert (found == REGIMES.index("broken")).all()


def test_night_and_missing_clear_sky_have_their_own_names() -> None:
    targets = NOON + np.arange(2)[None, :] * STEP_MS
    lit = np.array([[True, False]])
    found = regime_ids(targets, np.ones((1, 2)), None, lit)
    assert [REGIMES[one] for one in found[0]] == ["unknown", "night"]
