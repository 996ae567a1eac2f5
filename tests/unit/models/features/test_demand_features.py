"""Demand features: what they must not see, and what clocks, gaps and units must not change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import MINUTE_MS
from models.features.demand import build_demand_features
from models.features.demand_history import (
    DAY_MINUTES,
    DemandSeries,
    local_minutes,
    quantiles_known,
    weekday,
    weighted_quantiles,
)
from models.features.demand_spec import (
    ANALOG,
    ANCHOR,
    DEMAND_FEATURES,
    HISTORY_DAYS,
    PRIOR_LEVEL_W,
)

MONDAY = 4 * DAY_MINUTES
"""1970-01-05, the first Monday of the epoch."""


def home(days: int, step_minutes: int = 30, seed: int = 1, gaps: float = 0.05) -> DemandSeries:
    """A spiky home with gaps, sub-meters and a sensor; its clock runs on for three days."""
    random = np.random.default_rng(seed)
    steps = days * DAY_MINUTES // step_minutes
    ahead = 3 * DAY_MINUTES // step_minutes
    demand = random.gamma(0.6, 600.0, steps)
    demand[random.random(steps) < gaps] = np.nan
    return DemandSeries(
        demand,
        MONDAY + step_minutes * np.arange(steps + ahead),
        step_minutes,
        temp_air=random.normal(15.0, 5.0, steps),
        circuits=random.gamma(0.5, 200.0, (3, steps)),
    )


def column(table: np.ndarray, name: str) -> np.ndarray:
    return table[..., DEMAND_FEATURES.index(name)]


@pytest.mark.parametrize("step_minutes", [15, 30, 60])
def test_nothing_from_the_issue_on_is_seen(step_minutes: int) -> None:
    series = home(50, step_minutes)
    issue, leads = 47 * series.steps_per_day + 5, np.arange(2 * series.steps_per_day)
    before = build_demand_features(series, [issue], leads)
    changed = replace(
        series,
        demand=series.demand.copy(),
        temp_air=np.array(series.temp_air),
        circuits=np.array(series.circuits),
    )
    changed.demand[issue:] = 1e6
    changed.temp_air[issue:] = 99.0
    changed.circuits[:, issue:] = 1e6
    after = build_demand_features(changed, [issue], leads)
    np.testing.assert_array_equal(before.features, after.features)
    np.testing.assert_array_equal(before.level, after.level)
    # The last known step is looked at, so the test can fail.
    changed.demand[issue - 1] = 1e6
    assert column(build_demand_features(changed, [issue], leads).features, "lag_1")[0, 0] > 100


def test_nothing_older_than_the_history_is_needed() -> None:
    series = home(80)
    issue, leads = 75 * 48 + 7, np.arange(96)
    whole = build_demand_features(series, [issue], leads)
    recent = series.window(issue - HISTORY_DAYS * 48, issue, 96)
    alone = build_demand_features(recent, [len(recent)], leads)
    np.testing.assert_allclose(whole.features, alone.features, rtol=2e-5, atol=2e-5)


def test_many_issues_at_once_give_what_each_alone_gives() -> None:
    series = home(60)
    issues, leads = np.array([900, 2000, 2001, 2800]), np.array([0, 3, 47, 95])
    together = build_demand_features(series, issues, leads)
    for place, issue in enumerate(issues):
        alone = build_demand_features(series, [issue], leads)
        np.testing.assert_array_equal(together.features[place], alone.features[0])


def test_a_home_twice_as_large_has_the_same_features() -> None:
    small = replace(home(60), temp_air=None)
    large = replace(small, demand=small.demand * 2.0, circuits=np.array(small.circuits) * 2.0)
    one, two = (build_demand_features(s, [2500], np.arange(96)) for s in (small, large))
    np.testing.assert_allclose(one.features, two.features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.level * 2.0, two.level)


def test_the_same_slot_follows_the_wall_clock_over_a_clock_change() -> None:
    zone = ZoneInfo("Europe/Paris")
    start = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp() * 1000)
    clock = local_minutes(
        start,
        40 * 96,
        15,
        lambda instant: int(
            datetime.fromtimestamp(instant / 1000, zone).utcoffset().total_seconds() // 60
        ),
    )
    # A home that lives by the wall clock: its demand is the local time of day.
    known = 33 * 96
    series = DemandSeries(100.0 + (clock[:known] % DAY_MINUTES), clock, 15)
    table = build_demand_features(series, [31 * 96], np.arange(96))
    want = 100.0 + clock[31 * 96 : 32 * 96] % DAY_MINUTES
    for name in ("slot_1", "slot_7", "slot_q50"):
        got = column(table.features, name)[0] * table.level[0]
        known_slot = np.isfinite(got)
        assert known_slot.mean() > 0.9  # the skipped hour is not known on the day of the change
        np.testing.assert_allclose(got[known_slot], want[known_slot], rtol=1e-5)


def test_the_repeated_hour_of_autumn_shows_nothing_before_it_is_over() -> None:
    # 02:00-03:00 comes twice on day 30; the issue lies between the two.
    days = np.arange(40 * 24)
    clock = MONDAY + 60 * np.where(days <= 30 * 24 + 2, days, days - 1)
    demand = np.full(len(days), 500.0)
    issue = 30 * 24 + 3
    series = DemandSeries(demand[: 39 * 24], clock, 60)
    changed = replace(series, demand=series.demand.copy())
    changed.demand[issue:] = 9e5
    one, two = (build_demand_features(s, [issue], np.arange(48)) for s in (series, changed))
    np.testing.assert_array_equal(one.features, two.features)


def test_local_minutes_asks_about_each_step_only_on_the_day_of_a_change() -> None:
    zone = ZoneInfo("Australia/Sydney")
    start = int(datetime(2023, 9, 20, tzinfo=UTC).timestamp() * 1000)
    asked = []

    def offset(instant: int) -> int:
        asked.append(instant)
        return int(datetime.fromtimestamp(instant / 1000, zone).utcoffset().total_seconds() // 60)

    clock = local_minutes(start, 30 * 96, 15, offset)
    assert len(asked) < 200
    for step in range(0, 30 * 96, 7):
        local = datetime.fromtimestamp((start + step * 15 * MINUTE_MS) / 1000, zone)
        assert clock[step] % DAY_MINUTES == local.hour * 60 + local.minute
        assert weekday(clock[step : step + 1])[0] == local.weekday()


def test_the_analog_median_follows_an_absence_where_the_plain_median_does_not() -> None:
    # Two days at home, two away, over and over: the day before says which kind today is.
    days = np.arange(60)
    away = (days // 2) % 2 == 1
    demand = np.repeat(np.where(away, 80.0, 800.0), 48)
    series = DemandSeries(demand, MONDAY + 30 * np.arange(63 * 48), 30)
    second_day_away = int(np.flatnonzero(away & (days % 2 == 1))[-1])
    table = build_demand_features(series, [second_day_away * 48], np.array([20]))
    analog = table.features[0, 0, ANALOG][MEDIAN] * table.level[0]
    first_day_home = int(np.flatnonzero(~away & (days % 2 == 1))[-1])
    home_table = build_demand_features(series, [first_day_home * 48], np.array([20]))
    assert analog < home_table.features[0, 0, ANALOG][MEDIAN] * home_table.level[0] / 2


def test_a_holiday_is_a_free_day_and_is_compared_with_free_days() -> None:
    series = home(50)
    thursday = 45 * 48
    assert weekday(series.local_minute[[thursday]])[0] == 3
    free = np.zeros(len(series.local_minute), dtype=bool)
    free[thursday : thursday + 48] = True
    plain = build_demand_features(series, [thursday], [10]).features
    holiday = build_demand_features(replace(series, free_day=free), [thursday], [10]).features
    assert column(plain, "target_free")[0, 0] == 0.0
    assert column(holiday, "target_free")[0, 0] == 1.0
    assert column(plain, "kind_median")[0, 0] != column(holiday, "kind_median")[0, 0]


def test_a_home_without_history_has_a_prior_level_and_no_slots() -> None:
    for demand in (np.empty(0), np.full(48 * 50, np.nan)):
        series = DemandSeries(demand, MONDAY + 30 * np.arange(len(demand) + 96), 30)
        table = build_demand_features(series, [len(demand)], np.arange(96))
        assert table.level[0] == PRIOR_LEVEL_W
        assert np.isnan(column(table.features, "slot_1")).all()
        assert np.isfinite(table.features[..., ANCHOR]).all()


def test_wrong_arguments_are_named() -> None:
    series = home(10)
    with pytest.raises(ValueError, match="issues"):
        build_demand_features(series, [len(series) + 1], [0])
    with pytest.raises(ValueError, match="leads"):
        build_demand_features(series, [10], [96])
    with pytest.raises(ValueError, match="local_minute"):
        build_demand_features(series.window(0, 100, 5), [100], [50])
    with pytest.raises(ValueError, match="step_minutes"):
        replace(series, step_minutes=10)
    with pytest.raises(ValueError, match="circuits"):
        replace(series, circuits=np.zeros((2, 3)))


def test_equal_weights_give_the_quantiles_of_what_is_known() -> None:
    random = np.random.default_rng(3)
    values = random.gamma(1.0, 1.0, (50, 41))
    values[random.random(values.shape) < 0.2] = np.nan
    plain = quantiles_known(values, LEVELS)
    for level, got in zip(LEVELS, plain, strict=True):
        np.testing.assert_allclose(got, np.nanquantile(values, level, axis=1))
    weighted = weighted_quantiles(values, np.ones(values.shape), LEVELS)
    np.testing.assert_allclose(weighted[MEDIAN], plain[MEDIAN])
    assert (np.diff(weighted, axis=0) >= 0).all()


def test_values_without_weight_do_not_count() -> None:
    values = np.array([[1.0, 2.0, 3.0, 500.0], [np.nan, np.nan, np.nan, 4.0]])
    weights = np.array([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    got = weighted_quantiles(values, weights, (0.5, 0.95))
    assert got[0, 0] == 2.0
    assert got[1, 0] == 3.0
    assert np.isnan(got[:, 1]).all()
