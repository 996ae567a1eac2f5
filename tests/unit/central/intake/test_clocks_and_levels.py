"""Clocks that were set, levels that stepped, irradiance that the sun cannot give."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from central.intake import qcrad
from central.intake.clock_shift import judge_clock
from central.intake.level_shift import level_shifts
from central.intake.runs import hampel, ruled, stuck, upsampled_by

_spec = importlib.util.spec_from_file_location("tables", Path(__file__).with_name("tables.py"))
assert _spec is not None
assert _spec.loader is not None
tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tables)


def _year(minutes: int = 15, longitude: float = 0.0) -> tuple[pd.DatetimeIndex, np.ndarray]:  # type: ignore[type-arg]
    """A year of sun over 48 degrees north: the equation of time and the seasons included."""
    from central.intake.sun_check import cosine_of_zenith

    index = pd.date_range("2023-01-01", "2023-12-31 23:45", freq=f"{minutes}min")
    power = np.maximum(cosine_of_zenith(index.tz_localize("UTC"), 48.0, longitude), 0.0)
    rng = np.random.default_rng(3)
    clouds = np.where(rng.random(365) < 0.4, 0.4, 1.0)
    return index, power * np.repeat(clouds, 1440 // minutes)[: power.size]


@pytest.mark.parametrize("longitude", [-120.0, 0.0, 150.0])
def test_clock_that_follows_the_sun_is_steady_everywhere(longitude: float) -> None:
    index, power = _year(longitude=longitude)
    clock = judge_clock(index, power, 15, longitude)
    assert (clock.state, clock.steps) == ("steady", ())
    assert clock.off_minutes == pytest.approx(0, abs=3)


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("Europe/Paris", "Europe/Berlin"),
        ("America/Denver", "America/New_York"),
        ("Australia/Melbourne", "Australia/Sydney"),
    ],
)
def test_daylight_saving_is_told_by_its_dates(zone: str, region: str) -> None:
    longitude = {"Europe/Paris": 2.0, "America/Denver": -105.0}.get(zone, 145.0)
    index, power = _year(60 // 4, longitude)
    local = index.tz_localize("UTC").tz_convert(zone).tz_localize(None)
    shown = pd.Series(power, index=local)
    shown = shown[~shown.index.duplicated()].asfreq("15min")
    clock = judge_clock(pd.DatetimeIndex(shown.index), shown.to_numpy(), 15)
    assert (clock.state, clock.region) == ("daylight_saving", region)
    assert [round(step.minutes / 60) for step in clock.steps] in ([1, -1], [-1, 1])


def test_clock_that_is_late_the_whole_year_needs_a_place_to_be_seen() -> None:
    index, power = _year()
    late = np.roll(power, 4)
    assert judge_clock(index, late, 15).off_minutes is None
    assert judge_clock(index, late, 15, 0.0).off_minutes == pytest.approx(60, abs=3)


def test_six_weeks_are_needed() -> None:
    index, power = _year()
    assert judge_clock(index[: 30 * 96], power[: 30 * 96], 15).state == "untested"


@pytest.mark.parametrize("values", [np.zeros(9600), np.full(9600, np.nan), np.ones(9600)])
def test_clock_of_nothing_is_not_judged(values: np.ndarray) -> None:  # type: ignore[type-arg]
    index = pd.date_range("2023-01-01", periods=9600, freq="15min")
    assert judge_clock(index, values, 15, 0.0).state == "untested"


@pytest.mark.parametrize("ratio", [0.5, 0.7, 1.5])
def test_step_of_the_level_is_dated(ratio: float) -> None:
    index, power = _year()
    power[200 * 96 :] *= ratio
    (shift,) = level_shifts(index, power, 900, least_ratio=1.35)
    assert shift.ratio == pytest.approx(ratio, rel=0.1)
    assert abs((pd.Timestamp(shift.date) - pd.Timestamp("2023-07-20")).days) <= 2


def test_seasons_and_clouds_are_no_step_of_the_level() -> None:
    index, power = _year()
    assert level_shifts(index, power, 900, least_ratio=1.35) == ()


def test_qcrad_has_three_states() -> None:
    zenith = np.array([30.0, 30.0, 30.0, 88.0, 120.0, 30.0])
    extra = np.full(6, 1361.0)
    cosine = np.cos(np.radians(30.0))
    dhi = np.array([100.0, 100.0, 100.0, 5.0, 0.0, np.nan])
    dni = np.array([800.0, 800.0, 1400.0, 0.0, 0.0, 800.0])
    ghi = np.array([800 * cosine + 100, 400.0, 1400 * cosine + 100, 5.0, 0.0, 793.0])
    tests = qcrad.qcrad(ghi, dni, dhi, zenith, extra)
    assert list(tests["closure"]) == [1, -1, 1, 0, 0, 0]  # too little light, night, no diffuse
    assert list(tests["dni_limit"]) == [1, 1, -1, 1, 1, 1]
    assert list(tests["dhi_limit"]) == [1, 1, 1, 1, 1, 0]
    assert tests["ghi_limit"].min() == 1
    assert list(qcrad.qcrad(ghi, None, None, zenith, extra)) == ["ghi_limit"]
    night = qcrad.qcrad(np.array([-12.0, 300.0]), None, None, np.full(2, 120.0), extra[:2])
    assert list(night["ghi_limit"]) == [-1, -1]


def test_mean_around_sunrise_may_exceed_the_limit_of_its_middle() -> None:
    zenith, extra = np.array([91.0]), np.array([1361.0])
    ghi = np.array([140.0])
    assert qcrad.qcrad(ghi, None, None, zenith, extra)["ghi_limit"][0] == -1
    hourly = qcrad.qcrad(ghi, None, None, zenith, extra, spread_minutes=60)
    assert hourly["ghi_limit"][0] == 1


def test_runs_that_stand_still_or_lie_on_a_line() -> None:
    values = np.random.default_rng(2).normal(size=200)
    values[50:58] = values[50]
    values[100:112] = np.linspace(0, 5, 12)
    assert list(np.flatnonzero(stuck(values, 5))) == list(range(50, 58))
    assert set(np.flatnonzero(ruled(values, 6))) == set(range(100, 112))
    assert not ruled(np.round(np.sin(np.arange(2000) / 300), 2), 6).any()  # coarse, not ruled


@pytest.mark.parametrize("factor", [2, 3, 4, 6])
def test_series_that_was_filled_up_is_told_by_how_much(factor: int) -> None:
    coarse = np.random.default_rng(2).normal(size=300)
    fine = np.interp(np.arange(299 * factor) / factor, np.arange(300), coarse)
    assert upsampled_by(fine) == factor
    assert upsampled_by(coarse) == 1


def test_hampel_finds_the_leap_and_leaves_the_slope() -> None:
    values = 0.1 * np.arange(300.0) + np.random.default_rng(2).normal(0, 0.05, 300)
    values[120] += 6
    values[200] = np.nan
    found = hampel(values, 4, threshold=8, floor=1)
    assert list(np.flatnonzero(found)) == [120]
