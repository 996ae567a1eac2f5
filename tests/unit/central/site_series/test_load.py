"""Household load: the invented shape and replayed recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from central.intake import IntakeError
from central.site_series import SiteSeriesError, SyntheticHousehold, read_household

YEAR = pd.date_range("2023-01-01", "2023-12-31 23:45", freq="15min")
MELBOURNE = "melbourne-household/half_hour_2018-09_to_2020-09.csv.gz"


def test_synthetic_year_uses_the_energy_asked_for() -> None:
    power = SyntheticHousehold(annual_energy_wh=4.2e6).load_power(YEAR)
    assert power.sum() * 0.25 == pytest.approx(4.2e6, rel=0.03)
    assert (power > 0).all()


def test_synthetic_load_depends_on_the_seed_alone() -> None:
    first, again = (SyntheticHousehold(seed=5).load_power(YEAR) for _ in range(2))
    other = SyntheticHousehold(seed=6).load_power(YEAR)
    assert (first == again).all()
    assert np.abs(first - other).mean() > 50


def test_synthetic_evening_exceeds_night_and_weekends_differ() -> None:
    power = pd.Series(SyntheticHousehold().load_power(YEAR), index=YEAR)
    by_hour = power.groupby(YEAR.hour).mean()
    assert by_hour[19] > 2.5 * by_hour[3]
    weekend = YEAR.dayofweek >= 5
    morning = (YEAR.hour >= 6) & (YEAR.hour < 8)
    assert power[morning & ~weekend].mean() > 1.3 * power[morning & weekend].mean()


def test_recording_is_replayed_by_weekday_and_clock(data_dir: Path) -> None:
    household = read_household(data_dir / MELBOURNE)
    raw = pd.read_csv(data_dir / MELBOURNE)
    stamps = pd.to_datetime(raw["StartDate"], format="%d/%m/%y %H:%M")
    # Within the recording itself it is the recording, in W.
    at = pd.DatetimeIndex(stamps.iloc[5000:5048])
    expected = raw["ProfileReadValue"].iloc[5000:5048].to_numpy() * 2000
    assert household.load_power(at) == pytest.approx(expected)
    # Whole weeks: years away the same weekday and clock are met.
    weeks = household.power.size // 336
    assert household.power.size == weeks * 336
    later = at + pd.Timedelta(weeks=3 * weeks)
    assert household.load_power(later) == pytest.approx(expected)
    earlier = at - pd.Timedelta(weeks=5 * weeks)
    assert household.load_power(earlier) == pytest.approx(expected)
    assert np.isfinite(household.power).all()
    assert household.label == "half_hour_2018-09_to_2020-09.csv.gz"


def _recording(weeks: int = 2) -> list[str]:
    stamps = pd.date_range("2019-01-07", periods=weeks * 336, freq="30min")
    dates = [f"{s.day}/{s.month}/{s:%y} {s.hour}:{s:%M}" for s in stamps]
    values = [f"{slot % 336 / 1000}" for slot in range(len(stamps))]
    return ["StartDate,ProfileReadValue", *map(",".join, zip(dates, values, strict=True))]


def test_hole_in_a_recording_takes_the_week_before(tmp_path: Path) -> None:
    rows = _recording()
    del rows[1 + 400 : 1 + 404]
    rows[1 + 410] = rows[1 + 410].split(",")[0] + ",?"
    path = tmp_path / "home.csv"
    path.write_text("\n".join(rows))
    power = read_household(path).power
    assert power == pytest.approx(np.tile(np.arange(336) * 2.0, 2))


def test_recording_without_the_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "home.csv"
    path.write_text("time,kwh\n1,2\n")
    with pytest.raises(SiteSeriesError, match=r"home\.csv:1: the header lacks StartDate"):
        read_household(path)


def test_recording_of_less_than_a_week_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "home.csv"
    path.write_text("\n".join(_recording()[:300]))
    with pytest.raises(SiteSeriesError, match=r"home\.csv: holds less than one week"):
        read_household(path)


def test_recording_with_unreadable_dates_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "home.csv"
    path.write_text("StartDate,ProfileReadValue\n2019-01-07,1\n31/2/19 0:00,1\n")
    with pytest.raises(SiteSeriesError, match=r"home\.csv:2: no row has a readable StartDate"):
        read_household(path)


def test_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match=r"home\.csv: cannot be read"):
        read_household(tmp_path / "home.csv")


def test_impossible_energy() -> None:
    with pytest.raises(SiteSeriesError, match="annual_energy_wh must be above 0"):
        SyntheticHousehold(annual_energy_wh=0.0)
