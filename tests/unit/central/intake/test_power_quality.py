"""Bad intervals of a power series: what is found, and what must not be taken for a fault."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from central.intake import PowerQuality, judge_power

_spec = importlib.util.spec_from_file_location("tables", Path(__file__).with_name("tables.py"))
assert _spec is not None
assert _spec.loader is not None
tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tables)

Power = npt.NDArray[np.float64]
DAY = 96


@pytest.fixture
def power() -> Power:
    made: Power = tables.roof(60)
    return made


def _judge(power: Power) -> PowerQuality:
    return judge_power(power, 15)


def _hour(day: int, hour: float) -> int:
    return day * DAY + round(hour * 4)


def test_healthy_roof_is_left_alone(power: Power) -> None:
    found = _judge(power)
    assert not found.unfit.any()
    assert not found.offset.any()
    assert (found.clipping_level, found.limits, found.offsets) == (None, (), ())
    assert found.capacity == pytest.approx(5.0, rel=0.02)
    assert 0.45 < found.daylight.mean() < 0.55


@pytest.mark.parametrize("minutes", [5, 15, 30, 60])
def test_clipping_level_is_found_at_every_resolution(minutes: int) -> None:
    power = tables.roof(60, minutes)
    found = judge_power(np.minimum(power, 3.5), minutes)
    assert found.clipping_level == pytest.approx(3.5, rel=0.005)
    assert found.clipped[power > 3.5].all()
    assert not found.clipped[power < 3.4].any()


def test_one_dull_day_at_a_level_is_no_clipping(power: Power) -> None:
    power[_hour(20, 10) : _hour(20, 14)] = 1.0 + 0.01 * np.arange(16) / 16
    assert _judge(power).clipping_level is None


def test_power_held_down_on_some_days_is_curtailed_and_not_clipped(power: Power) -> None:
    truth = np.zeros(power.size, dtype=bool)
    for day, level in ((11, 1.5), (23, 2.0), (31, 1.2)):
        part = slice(_hour(day, 9), _hour(day, 15))
        power[part] = tables.roof(60, seed=3)[_hour(5, 9) : _hour(5, 15)] * 0 + 5  # a clear day
        power[part] = np.minimum(power[part], level)
        truth[part] = True
    found = _judge(power)
    assert found.clipping_level is None
    assert found.curtailed[truth].all()
    assert not found.curtailed[~truth].any()


def test_limit_that_comes_back_is_named(power: Power) -> None:
    for day in (10, 20, 30, 40):
        part = slice(_hour(day, 9), _hour(day, 15))
        power[part] = 2.5
    found = _judge(power)
    assert found.limits == (2.5,)
    assert found.curtailed.sum() == pytest.approx(4 * 24, abs=4)


def test_frozen_logger_is_stuck_through_day_and_night(power: Power) -> None:
    start, stop = _hour(20, 10), _hour(21, 9)
    power[start:stop] = 2.345
    found = _judge(power)
    assert found.stuck[start:stop].all()
    assert not found.stuck[: start - 1].any()
    assert not found.stuck[stop + 1 :].any()
    assert not found.offset.any()


def test_nights_at_zero_are_not_stuck(power: Power) -> None:
    assert not _judge(power).stuck[power == 0].any()


def test_inverter_that_is_off_in_the_sun_is_dead(power: Power) -> None:
    start, stop = _hour(30, 10), _hour(30, 13)
    power[start:stop] = 0.0
    found = _judge(power)
    assert found.dead[start:stop].all()
    assert found.dead.sum() == stop - start


def test_wrong_values_are_impossible_and_leaps_are_outliers(power: Power) -> None:
    power[_hour(10, 12)] = 50.0
    power[_hour(15, 2)] = -3.0
    power[_hour(20, 8)] = 5.0
    power[_hour(20, 8) - 1] = power[_hour(20, 8) + 1] = 1.5
    found = _judge(power)
    assert list(np.flatnonzero(found.impossible)) == [_hour(10, 12), _hour(15, 2)]
    assert found.outlier[_hour(20, 8)]
    assert found.capacity == pytest.approx(5.0, rel=0.02)


def test_sensor_offset_has_a_beginning_and_an_end(power: Power) -> None:
    start, stop = 20 * DAY, 40 * DAY
    power[start:stop] += 0.2
    found = _judge(power)
    ((first, last, amount),) = found.offsets
    assert amount == pytest.approx(0.2, abs=0.01)
    assert abs(first - start) <= DAY
    assert abs(last - stop) <= DAY
    assert not found.unfit[start:stop].any()


def test_standby_power_of_the_night_is_no_offset(power: Power) -> None:
    found = _judge(np.where(power == 0, -0.003, power))
    assert found.offsets == ()


@pytest.mark.parametrize(
    "power",
    [
        np.zeros(0),
        np.full(2000, np.nan),
        np.zeros(2000),
        np.full(2000, 3.0),
        np.full(2000, -1.0),
        np.array([1.0, np.nan, 2.0]),
        np.r_[np.full(1990, np.nan), np.arange(10.0)],
    ],
    ids=["empty", "nan", "zero", "constant", "negative", "three", "ten"],
)
def test_series_that_tell_nothing_do_no_harm(power: Power) -> None:
    found = _judge(power)
    for mask in (found.daylight, found.clipped, found.curtailed, found.stuck, found.unfit):
        assert mask.shape == power.shape
    assert found.clipping_level is None


def test_holes_are_never_marked(power: Power) -> None:
    power = np.minimum(power, 3.5)
    holes = np.random.default_rng(1).random(power.size) < 0.2
    power[holes] = np.nan
    found = _judge(power)
    assert not (found.unfit | found.offset)[holes].any()
    assert found.clipping_level == pytest.approx(3.5, rel=0.01)
