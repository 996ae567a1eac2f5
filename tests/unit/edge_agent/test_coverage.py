"""The published coverage is what was measured, over restarts too."""

from __future__ import annotations

import pytest

from edge_agent.forecasting.coverage import ENOUGH, LEADS_MS, CoverageTracker
from models.contract.forecast import LEVELS, CoverageState, Forecast, ForecastSeries
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, HOUR_MS, STEP_MS

START = 1_687_996_800_000


def forecast(start: int, low: float, high: float) -> Forecast:
    rows = [low + (high - low) * i / (len(LEVELS) - 1) for i in range(len(LEVELS))]
    quantiles = tuple((row,) * HORIZON_STEPS for row in rows)
    return Forecast("farm", start, start, {"ac_power": ForecastSeries("m", quantiles)})


def test_hits_and_misses_are_counted_when_their_time_comes() -> None:
    tracker = CoverageTracker()
    tracker.published(forecast(START, 100.0, 200.0))
    assert tracker.coverage().observed is None
    for lead, power in zip(LEADS_MS, (150.0, 250.0, 100.0), strict=True):
        tracker.happened(START + lead, power)
    assert tracker.coverage().count == 3
    assert tracker.coverage().observed == pytest.approx(2 / 3, abs=1e-4)
    assert tracker.coverage().state is CoverageState.WARMING_UP


def test_night_teaches_nothing() -> None:
    tracker = CoverageTracker()
    tracker.published(forecast(START, 0.0, 0.0))
    for lead in LEADS_MS:
        tracker.happened(START + lead, 0.0)
    assert tracker.coverage().count == 0


@pytest.mark.parametrize(
    ("share", "state"), [(0.9, CoverageState.CALIBRATED), (0.6, CoverageState.DEGRADED)]
)
def test_the_state_says_whether_the_interval_holds(share: float, state: CoverageState) -> None:
    tracker = CoverageTracker()
    for number in range(ENOUGH):
        start = START + number * 10 * DAY_MS
        tracker.published(forecast(start, 100.0, 200.0))
        tracker.happened(start + LEADS_MS[0], 150.0 if number % 10 < share * 10 else 999.0)
    assert tracker.coverage().observed == pytest.approx(share)
    assert tracker.coverage().state is state


def test_a_restart_forgets_nothing() -> None:
    tracker = CoverageTracker()
    tracker.published(forecast(START, 100.0, 200.0))
    tracker.happened(START + HOUR_MS, 150.0)
    again = CoverageTracker(tracker.save())
    assert again.coverage() == tracker.coverage()
    again.happened(START + 6 * HOUR_MS, 999.0)
    assert again.coverage().count == 2


@pytest.mark.parametrize("saved", ["", "nonsense", "[]", '{"hits": 3}', '{"pending": {"x": 1}}'])
def test_unreadable_state_starts_afresh(saved: str) -> None:
    assert CoverageTracker(saved).coverage().count == 0


def test_what_never_happened_is_dropped_in_time() -> None:
    tracker = CoverageTracker()
    for number in range(1000):
        tracker.published(forecast(START + number * STEP_MS, 1.0, 9.0))
    tracker.happened(START + 3000 * STEP_MS, 5.0)
    assert len(tracker.save()) < 1000


def test_a_device_dead_for_weeks_fills_the_memory_and_the_card() -> None:
    tracker = CoverageTracker()
    for number in range(30 * DAY_MS // STEP_MS):
        tracker.published(forecast(START + number * STEP_MS, 1.0, 9.0))
    month = len(tracker.save())
    for number in range(30 * DAY_MS // STEP_MS, 60 * DAY_MS // STEP_MS):
        tracker.published(forecast(START + number * STEP_MS, 1.0, 9.0))
    assert len(tracker.save()) == month < 25_000


def test_the_inner_interval_is_counted_beside_the_published_one() -> None:
    tracker = CoverageTracker()
    tracker.published(forecast(START, 0.0, 600.0))  # 0.1 at 100 W, 0.9 at 500 W
    for lead, power in zip(LEADS_MS, (50.0, 300.0, 700.0), strict=True):
        tracker.happened(START + lead, power)
    again = CoverageTracker(tracker.save())
    for one in (tracker, again):
        assert one.coverage().observed == pytest.approx(2 / 3, abs=1e-4)
        assert one.inner_coverage().observed == pytest.approx(1 / 3, abs=1e-4)
        assert one.inner_coverage().nominal == pytest.approx(0.8)


def test_state_of_an_older_agent_is_read() -> None:
    target = START + HOUR_MS
    old = f'{{"hits": "110", "pending": {{"{target}": [[100.0, 200.0]]}}}}'
    tracker = CoverageTracker(old)
    tracker.happened(target, 150.0)
    assert tracker.coverage().count == 4
    assert tracker.inner_coverage().observed is None
