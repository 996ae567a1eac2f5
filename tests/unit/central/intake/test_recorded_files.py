"""Real files: every NSRDB variant at hand, and the TMY3 files that pvlib ships."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pvlib
import pytest

from central.intake import read_weather
from central.intake.sky import Place, sky_at
from central.intake.tmy3 import bundled_weather_file
from central.intake.weather import REQUIRED
from models.contract.quantities import QUANTITIES

# name: rows, resolution, file clock, has humidity, typical year
NSRDB = {
    "nsrdb_goes-v4_35.21_-101.94_2012_60min_utc.csv.gz": (8760, 60, 0, True, False),
    "nsrdb_msg-v4_41.89_12.42_2008_60min_utc.csv.gz": (8760, 60, 0, True, False),
    "nsrdb_psm3-tmy_33.45_-111.98_60min.csv": (8760, 60, -7, False, True),
    "nsrdb_psm3_27.73_-97.54_2013_60min.csv": (8760, 60, -6, True, False),
    "nsrdb_psm3_30.65_-101.70_2013_60min.csv": (8760, 60, -6, False, False),
    "nsrdb_psm3_35.21_-101.94_2012_60min.csv": (8760, 60, -6, False, False),
    "nsrdb_psm3_39.77_-105.22_2012_60min.csv": (8760, 60, -7, False, False),
    "nsrdb_psm3_39.77_-74.22_2013_60min.csv": (8760, 60, -5, True, False),
    "nsrdb_psm3_40.53_-105.06_2018_30min.csv.gz": (17520, 30, -7, True, False),
    "nsrdb_psm3_40.53_-108.54_2017_30min.csv.gz": (17520, 30, -7, True, False),
    "nsrdb_tmy_41.57_-93.62_60min.csv": (8760, 60, -6, False, True),
}
MISTIMED = "nsrdb_tmy_41.57_-93.62_60min.csv"


@pytest.mark.parametrize("name", NSRDB)
def test_every_recorded_nsrdb_file_is_read_without_loss(data_dir: Path, name: str) -> None:
    rows, minutes, clock, humidity, typical = NSRDB[name]
    weather = read_weather(data_dir / "nsrdb" / name)
    source, frame = weather.source, weather.frame
    assert len(frame) == rows
    assert not weather.report.removed
    assert (source.resolution_minutes, source.clock_offset_hours) == (minutes, clock)
    assert ("relative_humidity" in frame) == humidity
    assert source.irradiance == "instant"
    assert (source.nominal_year is not None) == typical
    assert list(frame.columns[:4]) == list(REQUIRED)
    assert frame.index.is_monotonic_increasing
    assert frame.index.is_unique
    assert not frame.isna().to_numpy().any()
    for column in frame:
        limits = QUANTITIES[str(column)]
        assert frame[column].between(limits.lowest, limits.highest).all()
    # Base units: mbar would be below 1100, cm of water below 12.
    assert frame["pressure"].median() > 70_000


@pytest.mark.parametrize("name", NSRDB)
def test_only_the_mistimed_file_is_suspected(data_dir: Path, name: str) -> None:
    found = read_weather(data_dir / "nsrdb" / name).report.suspicions
    if name == MISTIMED:
        assert any("minutes late against the sun" in text for text in found)
        assert any("GHI, DNI and DHI disagree" in text for text in found)
    else:
        assert found == ()


def test_local_and_utc_file_of_the_same_point_agree_in_time(data_dir: Path) -> None:
    local = read_weather(data_dir / "nsrdb" / "nsrdb_psm3_35.21_-101.94_2012_60min.csv").frame
    utc = read_weather(data_dir / "nsrdb" / "nsrdb_goes-v4_35.21_-101.94_2012_60min_utc.csv.gz")
    both = local.join(utc.frame, rsuffix="_utc", how="inner")
    assert len(both) > 8700

    def agreement(shift: int) -> float:
        return float(both["ghi"].corr(both["ghi_utc"].shift(shift)))

    # Two versions of one model: nearly the same in step, clearly worse an hour apart.
    assert agreement(0) > 0.98
    assert agreement(0) > max(agreement(-1), agreement(1)) + 0.03
    # To the minute: the energy-weighted moment of each day is the same in both.
    hours = (both.index - both.index.normalize()) / pd.Timedelta(hours=1)
    solar = np.mod(np.asarray(hours) - 101.94 / 15, 24)
    centre = [float(np.average(solar, weights=both[name])) for name in ("ghi", "ghi_utc")]
    assert centre[0] == pytest.approx(centre[1], abs=5 / 60)


@pytest.mark.parametrize("name", [n for n in NSRDB if n != MISTIMED])
def test_recorded_irradiance_closes_with_the_sun_at_the_stamps(data_dir: Path, name: str) -> None:
    weather = read_weather(data_dir / "nsrdb" / name)
    source, frame = weather.source, weather.frame
    place = Place(source.latitude, source.longitude, source.elevation_m)
    cosine = np.cos(np.radians(sky_at(pd.DatetimeIndex(frame.index), place).zenith))
    by_day = cosine > 0.1
    error = np.abs(frame["ghi"] - frame["dni"] * cosine - frame["dhi"])[by_day]
    assert float(np.median(error)) < 2.0


def test_bundled_tmy3_file_is_laid_on_one_year_without_seams() -> None:
    weather = read_weather(bundled_weather_file(), nominal_year=2021)
    source, index = weather.source, weather.frame.index
    assert (source.format, source.irradiance, source.nominal_year) == (
        "tmy3",
        "preceding_mean",
        2021,
    )
    assert source.month_years == (
        1988, 1996, 1990, 1980, 1986, 1989, 1981, 2001, 2003, 1980, 1994, 1980,
    )  # fmt: skip
    assert len(index) == 8760
    # 01:00 to 24:00 local, five hours behind UTC: each hour exactly once, month ends included.
    assert index[0] == pd.Timestamp("2021-01-01T06:00Z")
    assert index[-1] == pd.Timestamp("2022-01-01T05:00Z")
    assert (np.diff(index.as_unit("s").asi8) == 3600).all()
    assert not weather.report.gaps
    assert not weather.report.suspicions


def test_bundled_tmy3_values_are_those_that_pvlib_reads() -> None:
    ours = read_weather(bundled_weather_file(), nominal_year=2023).frame
    theirs, _ = pvlib.iotools.read_tmy3(bundled_weather_file(), coerce_year=2023)
    theirs = theirs.tz_convert("UTC")
    for name in ("ghi", "dni", "dhi", "temp_air", "wind_speed", "relative_humidity"):
        pd.testing.assert_series_equal(
            ours[name], theirs[name].astype(float), check_names=False, check_freq=False,
            check_index_type=False,
        )  # fmt: skip
    assert ours["pressure"].iloc[0] == theirs["pressure"].iloc[0] * 100


def test_both_tmy3_files_of_pvlib_are_read() -> None:
    sand_point = read_weather(bundled_weather_file().with_name("703165TY.csv"))
    assert (sand_point.source.latitude, sand_point.source.site_offset_hours) == (55.317, -9.0)
    assert sand_point.report.retained_share == 1.0


def test_typical_nsrdb_year_hands_over_at_month_ends(data_dir: Path) -> None:
    weather = read_weather(data_dir / "nsrdb" / "nsrdb_psm3-tmy_33.45_-111.98_60min.csv")
    assert weather.source.format == "nsrdb-tmy"
    assert len(set(weather.source.month_years)) > 1
    assert (np.diff(weather.frame.index.as_unit("s").asi8) == 3600).all()
    assert any("laid on the calendar of 2023" in note for note in weather.report.notes)


def test_gzip_changes_neither_data_nor_fingerprint(data_dir: Path, tmp_path: Path) -> None:
    plain = data_dir / "nsrdb" / "nsrdb_psm3_39.77_-105.22_2012_60min.csv"
    packed = tmp_path / "packed.csv"  # recognised by content: the name says nothing
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    first, second = read_weather(plain), read_weather(packed)
    assert first.source.sha256 == second.source.sha256
    pd.testing.assert_frame_equal(first.frame, second.frame)


def test_left_out_leap_day_is_reported_as_a_gap(data_dir: Path) -> None:
    weather = read_weather(data_dir / "nsrdb" / "nsrdb_psm3_35.21_-101.94_2012_60min.csv")
    (gap,) = weather.report.gaps
    assert (gap.start, gap.end) == ("2012-02-29T06:30:00Z", "2012-03-01T05:30:00Z")
    assert (gap.rows, gap.after_line) == (24, 1419)
