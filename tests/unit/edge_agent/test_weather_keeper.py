"""Forecast weather on the box: what a newer run replaces, what survives, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent.forecasting.weather_keeper import MAX_AGE_MS, WeatherKeeper
from edge_agent.storage.state_store import StateDatabase, StateStore
from models.contract.clock import SystemClock
from models.contract.messages import WeatherForecast
from models.contract.payload import canonical, weather_to_json
from models.contract.timestamps import DAY_MS, HOUR_MS, STEP_MS, parse_iso8601
from models.features.site import Site

SITE = Site(40.0, 10.0, dc_capacity_w=5000, ac_capacity_w=5000, tilt=30)
ISSUED = parse_iso8601("2026-06-01T00:00:00Z")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    """A real state database."""
    database = StateDatabase(tmp_path / "state.sqlite")
    yield StateStore(database, SystemClock())
    database.close()


def message(issued: int, ghi: float, *, site: str = "box", hours: int = 48, **more: float) -> bytes:
    """One run of hourly values."""
    values = {
        name: (value,) * hours for name, value in {"ghi": ghi, "pressure": ghi, **more}.items()
    }
    run = WeatherForecast(site, issued, issued, HOUR_MS, "test", values)
    return canonical(weather_to_json(run)).encode()


def test_a_run_is_laid_on_quarters_of_an_hour(state: StateStore) -> None:
    keeper = WeatherKeeper("box", SITE, state)
    assert keeper.series(ISSUED) is None
    assert keeper.received(message(ISSUED, 500.0, temp_air=20.0))
    series = keeper.series(ISSUED + HOUR_MS)
    assert series is not None
    assert series.start == ISSUED
    assert series.step_ms == STEP_MS
    assert len(series) == 192
    assert (series.values["temp_air"] == 20.0).all()


def test_a_newer_run_replaces_the_future_and_keeps_what_was_said_of_the_past(
    state: StateStore,
) -> None:
    keeper = WeatherKeeper("box", SITE, state)
    keeper.received(message(ISSUED, 500.0))
    assert keeper.received(message(ISSUED + 6 * HOUR_MS, 300.0))
    series = keeper.series(ISSUED + 7 * HOUR_MS)
    assert series is not None
    assert (series.values["pressure"][:24] == 500.0).all()
    assert (series.values["pressure"][24:] == 300.0).all()


def test_an_older_run_that_comes_late_changes_nothing(state: StateStore) -> None:
    keeper = WeatherKeeper("box", SITE, state)
    keeper.received(message(ISSUED + 6 * HOUR_MS, 300.0))
    assert not keeper.received(message(ISSUED, 500.0))
    series = keeper.series(ISSUED + 7 * HOUR_MS)
    assert series is not None
    assert (series.values["pressure"] == 300.0).all()


def test_a_restart_forgets_nothing(state: StateStore) -> None:
    first = WeatherKeeper("box", SITE, state)
    first.received(message(ISSUED, 500.0, cloud_cover=30.0))
    again = WeatherKeeper("box", SITE, state).series(ISSUED)
    before = first.series(ISSUED)
    assert again is not None
    assert before is not None
    assert again.values.keys() == before.values.keys()
    np.testing.assert_allclose(again.values["ghi"], before.values["ghi"], atol=0.01)


def test_weather_that_is_too_old_or_of_the_future_is_not_used(state: StateStore) -> None:
    keeper = WeatherKeeper("box", SITE, state)
    keeper.received(message(ISSUED, 500.0))
    assert keeper.series(ISSUED + MAX_AGE_MS + 1) is None
    assert keeper.series(ISSUED - 1) is None


def test_memory_is_bounded_over_many_runs(state: StateStore) -> None:
    keeper = WeatherKeeper("box", SITE, state)
    for run in range(60):
        keeper.received(message(ISSUED + run * 6 * HOUR_MS, float(run)))
    series = keeper.series(ISSUED + 59 * 6 * HOUR_MS)
    assert series is not None
    assert len(series) * STEP_MS <= 13 * DAY_MS


@pytest.mark.parametrize(
    "payload",
    [
        b"no json",
        b"{}",
        message(ISSUED, 1.0, site="other"),
        message(ISSUED, 1.0).replace(b'"ghi"', b'"dni"').replace(b"pressure", b"wind_direction"),
        json.dumps(json.loads(message(ISSUED, 1.0)) | {"values": {"ghi": [None]}}).encode(),
    ],
)
def test_what_cannot_be_used_is_refused_and_counted(state: StateStore, payload: bytes) -> None:
    keeper = WeatherKeeper("box", SITE, state)
    keeper.received(message(ISSUED - DAY_MS, 500.0))
    assert not keeper.received(payload)
    assert keeper.refused == 1
    assert keeper.series(ISSUED) is not None


def test_a_damaged_state_is_waited_out(state: StateStore) -> None:
    state.put("weather", {"v": 1, "values": "nonsense"})
    keeper = WeatherKeeper("box", SITE, state)
    assert keeper.series(ISSUED) is None
    assert keeper.received(message(ISSUED, 500.0))
