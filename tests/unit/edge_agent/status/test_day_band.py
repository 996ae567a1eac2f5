"""The band of today: of the morning, what was known in the morning; bounded; no wrong future."""

from __future__ import annotations

from edge_agent.status.day_band import AHEAD_MS, BACK_MS, DayBand, Grid
from models.contract.timestamps import HOUR_MS, STEP_MS
from tests.unit.edge_agent.status.site import NOON, forecast


def at(band: DayBand, grid: Grid, instant: int) -> float | None:
    return band.on(grid)["0.5"][(instant - grid.start) // STEP_MS]


def test_a_new_forecast_does_not_rewrite_what_was_expected_of_the_morning() -> None:
    band, grid = DayBand(), Grid.around(NOON)
    band.note(forecast(NOON - 4 * HOUR_MS, median=1000.0))
    morning = at(band, grid, NOON - STEP_MS)
    band.note(forecast(NOON, median=4000.0))
    assert at(band, grid, NOON - STEP_MS) == morning
    assert at(band, grid, NOON) == 4000.0
    assert at(band, grid, NOON - 5 * HOUR_MS) is None


def test_levels_lie_in_order_and_the_grid_holds_any_local_day() -> None:
    band, grid = DayBand(), Grid.around(NOON + 1)
    band.note(forecast())
    found = band.on(grid)
    index = (NOON - grid.start) // STEP_MS
    values = [found[level][index] for level in ("0.05", "0.25", "0.5", "0.75", "0.95")]
    assert values == sorted(values, key=lambda value: value or 0.0)
    assert len({len(rows) for rows in found.values()}) == 1
    assert grid.start <= NOON - 25 * HOUR_MS
    assert grid.end >= NOON + 25 * HOUR_MS


def test_a_wrong_future_goes_when_the_clock_is_set_back_and_months_do_not_pile_up() -> None:
    band = DayBand()
    band.note(forecast(NOON + 24 * 400 * HOUR_MS))
    for quarter in range(96 * 4):
        band.note(forecast(NOON + quarter * STEP_MS))
    steps = band._steps
    assert len(steps) <= (BACK_MS + AHEAD_MS) // STEP_MS
    assert max(steps) < NOON + 6 * 24 * HOUR_MS
