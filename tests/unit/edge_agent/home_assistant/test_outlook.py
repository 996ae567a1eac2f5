"""What a household is told of a forecast: days of its own zone, nothing beyond what is known."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest

from edge_agent.home_assistant.outlook import SERIES_LIMIT, household_view, series_view
from models.contract.forecast import LEVELS, MAX_STEPS, Forecast, ForecastSeries
from models.contract.payload import canonical
from models.contract.timestamps import HORIZON_STEPS, HOUR_MS, STEP_MS, Instant

BERLIN = ZoneInfo("Europe/Berlin")


def instant(text: str, zone: tzinfo = BERLIN) -> Instant:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def even(start: Instant, watts: float = 1000.0, steps: int = HORIZON_STEPS) -> Forecast:
    """Quantile ``q`` is ``2 * q * watts``."""
    rows = tuple((2 * level * watts,) * steps for level in LEVELS)
    return Forecast("farm", start, start, {"ac_power": ForecastSeries("even", rows)})


def value(forecast: Forecast | None, now: Instant, key: str, zone: tzinfo = BERLIN) -> object:
    one = household_view(forecast, now, zone)[key]
    assert isinstance(one, dict)
    return one["value"]


def test_today_ends_at_local_midnight() -> None:
    now = instant("2024-06-10T14:00")
    assert value(even(now), now, "energy_today") == 10.0
    assert value(even(now), now, "energy_today", ZoneInfo("Asia/Tokyo")) == 3.0
    assert value(even(now), now, "energy_today", timezone(timedelta(hours=-5))) == 17.0


def test_what_is_left_of_today_shrinks_within_an_interval() -> None:
    start = instant("2024-06-10T14:00")
    assert value(even(start), start + 6 * 60_000, "energy_today") == 9.9


def test_a_day_has_the_hours_that_it_has() -> None:
    before_long_day = instant("2024-10-26T12:00")
    assert value(even(before_long_day), before_long_day, "energy_tomorrow") == 25.0
    before_short_day = instant("2024-03-30T12:00")
    assert value(even(before_short_day), before_short_day, "energy_tomorrow") == 23.0


def test_tomorrow_is_known_all_through_the_longest_day() -> None:
    """25 hours and 24 more are longer than the horizon; what lies beyond it is night."""
    now = instant("2024-10-27T00:00")
    assert value(even(now), now, "energy_tomorrow") == 23.0


def test_energy_has_bounds_that_are_never_too_narrow() -> None:
    now = instant("2024-06-10T14:00")
    view = household_view(even(now), now, BERLIN)
    assert view["energy_today"] == {"value": 10.0, "attributes": {"low": 1.0, "high": 19.0}}


def test_power_is_that_of_the_step_in_progress() -> None:
    start = instant("2024-06-10T14:00")
    ramp = tuple(tuple(100.0 * k + i for k in range(HORIZON_STEPS)) for i in range(len(LEVELS)))
    forecast = Forecast("farm", start, start, {"ac_power": ForecastSeries("ramp", ramp)})
    assert value(forecast, start + STEP_MS + 1, "power_now") == 103
    assert value(forecast, start + STEP_MS + 1, "power_in_1h") == 503


def test_a_forecast_that_begins_with_the_next_interval_counts_as_now() -> None:
    start = instant("2024-06-10T14:15")
    assert value(even(start), start - STEP_MS + 1, "power_now") == 1000
    assert value(even(start), start - STEP_MS - 1, "power_now") is None


def test_an_old_forecast_is_used_to_its_end_and_not_beyond() -> None:
    start = instant("2024-06-10T14:00")
    forecast = even(start)
    later = start + 30 * HOUR_MS  # 20:00 the day after
    assert value(forecast, later, "energy_today") == 4.0
    assert value(forecast, later, "energy_tomorrow") is None
    beyond = start + 48 * HOUR_MS
    assert value(forecast, beyond - HOUR_MS, "power_in_1h") is None
    assert value(forecast, beyond, "power_now") is None
    assert value(forecast, beyond, "energy_today") is None


def test_a_clock_set_back_gives_no_numbers() -> None:
    start = instant("2024-06-10T14:00")
    view = household_view(even(start), start - 5 * HOUR_MS, BERLIN)
    assert {name: one["value"] for name, one in view.items()} == {  # type: ignore[index,call-overload]
        "power_now": None,
        "power_in_1h": None,
        "energy_today": None,
        "energy_tomorrow": 24.0,
    }


@pytest.mark.parametrize("forecast", [None, "without power"])
def test_without_a_forecast_of_power_nothing_is_said(forecast: str | None) -> None:
    now = instant("2024-06-10T14:00")
    one = None
    if forecast is not None:
        rows = tuple((0.0,) * 4 for _ in LEVELS)
        one = Forecast("farm", now, now, {"load_power": ForecastSeries("load", rows)})
        assert series_view(one)["attributes"] == {}
    assert value(one, now, "power_now") is None
    assert value(one, now, "energy_today") is None


@pytest.mark.parametrize(("watts", "steps"), [(4_000.0, HORIZON_STEPS), (4e8, MAX_STEPS)])
def test_the_series_stays_within_what_home_assistants_recorder_keeps(
    watts: float, steps: int
) -> None:
    start = instant("2024-06-10T14:00")
    attributes = series_view(even(start, watts, steps))["attributes"]
    assert len(canonical(attributes)) <= SERIES_LIMIT
    assert isinstance(attributes, dict)
    quantiles = attributes["quantiles"]
    assert isinstance(quantiles, dict)
    lengths = {len(row) for row in quantiles.values()}  # type: ignore[arg-type]
    assert len(lengths) == 1
    kept = lengths.pop()
    assert kept == steps if steps == HORIZON_STEPS else 150 < kept < steps
