"""Drawing: lines break where nothing is known, ticks are round, days are those of the site."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from central.report.day_ahead import DayAhead
from central.report.live import Reliability
from central.report.numbers import offset_name, solar_offset_ms
from central.report.plots import day_ahead_plot, reliability_plot
from central.report.svg import Frame, element, tick_digits, tick_step
from models.contract.forecast import LEVELS
from models.contract.timestamps import DAY_MS, HOUR_MS, STEP_MS, parse_iso8601

BEGIN = parse_iso8601("2026-06-01T00:00:00Z")
FRAME = Frame(0.0, 0.0, 100.0, 100.0, 0.0, 10.0, 10.0)


def trace(days: int) -> DayAhead:
    times = BEGIN + np.arange(days * 96) * STEP_MS
    power = 1500 * np.maximum(0.0, np.sin((times % DAY_MS) / DAY_MS * np.pi))
    return DayAhead(times, power, np.tile(power, (len(LEVELS), 1)))


def test_values_lie_where_the_frame_says() -> None:
    line = FRAME.line([0.0, 5.0, 10.0], np.array([0.0, 10.0, 5.0]))
    assert 'd="M0.0,100.0L50.0,0.0L100.0,50.0"' in line


def test_a_gap_breaks_the_line_and_a_lone_value_is_a_dot() -> None:
    line = FRAME.line([0.0, 1.0, 2.0, 3.0, 4.0], np.array([1.0, 2.0, np.nan, 3.0, np.nan]))
    assert line.count("M") == 1
    assert line.count("<circle") == 1
    assert "nan" not in line


def test_nothing_known_draws_nothing() -> None:
    nothing = np.full(3, np.nan)
    assert FRAME.line([0.0, 1.0, 2.0], nothing) == ""
    assert FRAME.band([0.0, 1.0, 2.0], nothing, nothing) == ""


@pytest.mark.parametrize(
    ("top", "step", "digits"),
    [(5.2, 2.0, 0), (23.0, 10.0, 0), (0.4, 0.1, 1), (1000.0, 500.0, 0), (0.011, 0.005, 3)],
)
def test_ticks_are_round_and_told_apart(top: float, step: float, digits: int) -> None:
    assert tick_step(top, 4) == pytest.approx(step)
    assert tick_digits(step) == digits


def test_attribute_values_are_escaped() -> None:
    assert element("g", class_='a"b', x=1.26) == '<g class="a&quot;b" x="1.3"></g>'


def test_days_begin_at_midnight_of_the_site() -> None:
    offset = solar_offset_ms(-122.4)
    assert offset == -8 * HOUR_MS
    assert offset_name(offset) == "UTC−8"
    drawn = day_ahead_plot(trace(2), offset, width=900, days_per_row=9, row_height=240)
    # 48 h from midnight UTC touch three days there.
    assert re.findall(r">(\d+ \w{3})</text>", drawn) == ["31 May", "1 Jun", "2 Jun"]


def test_rows_share_the_days_evenly() -> None:
    drawn = day_ahead_plot(trace(7), 0, width=344, days_per_row=3, row_height=170)
    assert 'viewBox="0 0 344 510"' in drawn
    assert drawn.count(">kW</text>") == 3
    assert len(re.findall(r">\d+ Jun</text>", drawn)) == 7


def test_small_plants_are_drawn_in_watts() -> None:
    small = replace(trace(1), measured=trace(1).measured / 10, quantiles=trace(1).quantiles / 10)
    drawn = day_ahead_plot(small, 0, width=900, days_per_row=9, row_height=240)
    assert ">W</text>" in drawn
    assert "reaching 150.00 W" in drawn


def test_a_plot_of_nothing_is_still_a_plot() -> None:
    empty = DayAhead(np.empty(0, np.int64), np.empty(0), np.empty((len(LEVELS), 0)))
    drawn = day_ahead_plot(empty, 0, width=900, days_per_row=9, row_height=240)
    unknown = tuple(Reliability(level, float("nan")) for level in LEVELS)
    for one in (drawn, reliability_plot(unknown, width=340)):
        assert one.startswith("<svg")
        assert "nan" not in one
