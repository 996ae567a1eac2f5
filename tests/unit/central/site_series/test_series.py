"""The power series of a site: what holds for every real plant under the real sun."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pvlib
import pytest

from central.intake import Weather, read_weather
from central.intake.tmy3 import bundled_weather_file
from central.site_series import (
    PlantDescription,
    SiteSeriesError,
    compute_site_series,
    history_intervals,
    plant_at,
    run_site_series,
)
from central.site_series.series import HISTORY_COLUMNS, SERIES_COLUMNS


def _elevation(series: pd.DataFrame, weather: Weather) -> np.ndarray:
    sun = pvlib.solarposition.get_solarposition(
        pd.DatetimeIndex(series["timestamp"]), weather.source.latitude, weather.source.longitude
    )
    return sun["apparent_elevation"].to_numpy()


def test_a_year_of_quarter_hours_without_holes(series: pd.DataFrame) -> None:
    stamps = pd.DatetimeIndex(series["timestamp"])
    assert len(series) == 365 * 96
    # The nominal year from midnight to midnight, local standard time (UTC-5).
    assert stamps[0] == pd.Timestamp("2023-01-01T05:00Z")
    assert (np.diff(stamps.as_unit("s").asi8) == 900).all()
    values = series.drop(columns="timestamp").to_numpy()
    assert np.isfinite(values).all()


def test_nothing_is_generated_at_night(series: pd.DataFrame, greensboro: Weather) -> None:
    night = _elevation(series, greensboro) < -1.0
    assert night.sum() > 15_000
    for name in ("ghi", "dni", "dhi", "poa_global", "dc_power", "ac_power"):
        assert (series.loc[night, name] == 0).all()


def test_inverter_clips_at_its_capacity(series: pd.DataFrame, greensboro: Weather) -> None:
    assert series["ac_power"].max() == pytest.approx(4600.0)
    clipped = series["ac_power"] >= 4600.0 - 1e-6
    assert clipped.sum() > 100
    large = plant_at(greensboro.source, dc_capacity_w=6000.0, ac_capacity_w=20_000.0)
    free = compute_site_series(greensboro, large)
    assert free["ac_power"].max() > 4600.0
    # Clipping is the only difference at strong sun, and the array is throttled with it.
    assert (series.loc[clipped, "dc_power"] < free.loc[clipped, "dc_power"] + 1e-6).all()
    assert series["dc_power"].max() < 4600.0 / 0.95


def test_inverter_gives_no_more_than_it_takes(series: pd.DataFrame) -> None:
    assert (series["ac_power"] <= series["dc_power"] + 1e-9).all()
    assert (series["ac_power"] >= 0).all()


def test_three_irradiances_agree_with_the_sun(series: pd.DataFrame, greensboro: Weather) -> None:
    elevation = _elevation(series, greensboro)
    up = elevation > 4
    closed = series["dni"] * np.sin(np.radians(elevation)) + series["dhi"]
    assert float(np.abs(series["ghi"] - closed)[up].max()) < 1.0


def test_hourly_means_come_back_from_the_quarter_hours(
    series: pd.DataFrame, greensboro: Weather
) -> None:
    ghi = series.set_index("timestamp")["ghi"]
    means = ghi.resample("60min", label="right", closed="left").mean()
    both = pd.concat([means.rename("ours"), greensboro.frame["ghi"]], axis=1, join="inner")
    assert len(both) == 8760
    assert both["ours"].mean() == pytest.approx(both["ghi"].mean(), rel=0.01)
    assert float(np.sqrt(((both["ours"] - both["ghi"]) ** 2).mean())) < 25.0


@pytest.mark.parametrize(
    "name",
    [
        "nsrdb_psm3_27.73_-97.54_2013_60min.csv",
        "nsrdb_msg-v4_41.89_12.42_2008_60min_utc.csv.gz",
        "nsrdb_psm3_40.53_-105.06_2018_30min.csv.gz",
    ],
)
def test_instants_of_the_source_come_back(data_dir: Path, name: str) -> None:
    weather = read_weather(data_dir / "nsrdb" / name)
    series = compute_site_series(weather, plant_at(weather.source)).set_index("timestamp")
    both = weather.frame.join(series, rsuffix="_series", how="inner")
    assert len(both) == len(weather.frame)
    error = (both["ghi"] - both["ghi_series"]).abs()
    assert float(error.mean()) < 1.5
    assert (both["temp_air"] - both["temp_air_series"]).abs().max() < 1e-6
    assert np.isfinite(series.to_numpy(dtype=float)).all()


def test_yield_is_plausible_at_every_recorded_place(data_dir: Path) -> None:
    for path in sorted((data_dir / "nsrdb").iterdir()):
        weather = read_weather(path)
        series = compute_site_series(weather, plant_at(weather.source, dc_capacity_w=6000.0))
        assert 800 < series["ac_power"].sum() * 0.25 / 6000.0 < 2200, path.name


def test_summary_yield_is_that_of_the_series(
    series: pd.DataFrame, plant: PlantDescription, tmp_path: Path
) -> None:
    summary = run_site_series(
        bundled_weather_file(), tmp_path / "series.csv", dc_capacity_w=6000.0, ac_capacity_w=4600.0
    )
    energy_kwh = series["ac_power"].sum() * 0.25 / 1000
    assert summary.yield_kwh_per_kwp == pytest.approx(energy_kwh / (plant.dc_capacity_w / 1000))
    assert 800 < summary.yield_kwh_per_kwp < 2200
    assert 0 < summary.clipped_share < 0.2


def test_clear_day_is_symmetrical_about_solar_noon(data_dir: Path) -> None:
    weather = read_weather(data_dir / "nsrdb" / "nsrdb_psm3-tmy_33.45_-111.98_60min.csv")
    flat = replace(plant_at(weather.source, ac_capacity_w=1e5), tilt=0.0)
    series = compute_site_series(weather, flat)
    days = series.groupby(series["timestamp"].dt.tz_convert("Etc/GMT+7").dt.date)
    # The brightest days of a desert city are cloudless.
    for day in days["ghi"].sum().nlargest(10).index:
        group = days.get_group(day).query("ghi > 0")
        sun = pvlib.solarposition.get_solarposition(
            pd.DatetimeIndex(group["timestamp"]), weather.source.latitude, weather.source.longitude
        )
        minutes = np.arange(len(group)) * 15.0
        noon = float(np.interp(180.0, sun["azimuth"], minutes))
        centre = float(np.average(minutes, weights=group["ghi"]))
        assert centre == pytest.approx(noon, abs=12)


def test_plant_facing_east_produces_in_the_morning(greensboro: Weather) -> None:
    centres = []
    for azimuth in (90.0, 180.0, 270.0):
        series = compute_site_series(greensboro, plant_at(greensboro.source, azimuth=azimuth))
        local = pd.DatetimeIndex(series["timestamp"]) - pd.Timedelta(hours=5)
        centres.append(float(np.average(local.hour, weights=series["ac_power"])))
    assert centres[0] < centres[1] - 0.7
    assert centres[1] < centres[2] - 0.7


def test_southern_plant_faces_north() -> None:
    source = replace(read_weather(bundled_weather_file()).source, latitude=-36.1)
    assert plant_at(source).azimuth == 0.0


def test_short_hole_is_bridged_and_a_lost_day_is_filled_from_its_neighbour(
    greensboro: Weather, tmp_path: Path
) -> None:
    rows = bundled_weather_file().read_text("utf-8").splitlines()
    # 10 January whole, and two hours around noon of 20 January.
    lost = set(range(2 + 9 * 24, 2 + 10 * 24)) | {2 + 19 * 24 + 11, 2 + 19 * 24 + 12}
    path = tmp_path / "holes.csv"
    path.write_text("\n".join(row for n, row in enumerate(rows) if n not in lost) + "\n")
    weather = read_weather(path)
    assert [gap.rows for gap in weather.report.gaps] == [24, 2]
    series = compute_site_series(weather, plant_at(weather.source))
    assert len(series) == 365 * 96
    assert np.isfinite(series.drop(columns="timestamp").to_numpy()).all()
    (note,) = series.attrs["notes"]
    assert note.startswith("2023-01-10T06:00:00Z to 2023-01-11T05:00:00Z filled with the same")
    before = series["ghi"].iloc[8 * 96 + 8 : 9 * 96 - 8].to_numpy()
    filled = series["ghi"].iloc[9 * 96 + 8 : 10 * 96 - 8].to_numpy()
    assert before.sum() > 0
    assert np.abs(before - filled).max() < 30


def test_hole_of_weeks_is_refused(tmp_path: Path) -> None:
    rows = bundled_weather_file().read_text("utf-8").splitlines()
    path = tmp_path / "hole.csv"
    path.write_text("\n".join(rows[:1000] + rows[1000 + 200 :]) + "\n")
    with pytest.raises(SiteSeriesError, match=r"hole\.csv:1000: 200 rows are missing after this"):
        run_site_series(path, tmp_path / "series.csv")


def test_weather_of_another_place_is_refused(greensboro: Weather, plant: PlantDescription) -> None:
    with pytest.raises(SiteSeriesError, match="use a weather file of its place"):
        compute_site_series(greensboro, replace(plant, longitude=10.0))


@pytest.mark.parametrize(
    ("field", "value"),
    [("tilt", 91.0), ("azimuth", -1.0), ("dc_capacity_w", 0.0), ("losses", float("nan"))],
)
def test_impossible_plant(plant: PlantDescription, field: str, value: float) -> None:
    with pytest.raises(SiteSeriesError, match=f"{field} must be from"):
        replace(plant, **{field: value})


@pytest.mark.parametrize("step", [0, 7, 120])
def test_impossible_step(greensboro: Weather, plant: PlantDescription, step: int) -> None:
    with pytest.raises(SiteSeriesError, match="step_minutes must divide 60"):
        compute_site_series(greensboro, plant, step)


def test_history_is_the_mean_between_stamps_labelled_by_start(series: pd.DataFrame) -> None:
    history = history_intervals(series)
    assert tuple(history.columns) == ("timestamp", *HISTORY_COLUMNS)
    assert len(history) == len(series) - 1
    assert history["timestamp"].iloc[0] == series["timestamp"].iloc[0]
    # What a device polled each minute on the interpolated series would have averaged to.
    seconds = series["timestamp"].to_numpy(dtype="datetime64[s]").astype(np.int64)
    first = 150 * 96 + 50
    polls = seconds[first] + np.arange(30, 900, 60)
    polled = np.interp(polls, seconds, series["ac_power"].to_numpy()).mean()
    assert history["ac_power"].iloc[first] == pytest.approx(polled)
    assert polled > 0


def test_files_for_simulator_and_trainer(tmp_path: Path) -> None:
    started = time.process_time()
    summary = run_site_series(
        bundled_weather_file(), tmp_path / "series.csv", history_file=tmp_path / "history.parquet"
    )
    # A year takes about a second of one core; five is the promise.
    assert time.process_time() - started < 5
    lines = (tmp_path / "series.csv").read_text().splitlines()
    assert lines[0] == ",".join(SERIES_COLUMNS)
    assert lines[1].startswith("2023-01-01T05:00:00Z,0.000,0.000,")
    assert len(lines) - 1 == summary.rows == 35_040
    assert (summary.start, summary.end) == ("2023-01-01T05:00:00Z", "2024-01-01T04:45:00Z")
    assert (summary.load_label, summary.source_minutes) == ("synthetic", 60)
    history = pd.read_parquet(tmp_path / "history.parquet")
    assert tuple(history.columns) == ("timestamp", *HISTORY_COLUMNS)
    assert str(history["timestamp"].dt.tz) == "UTC"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.parquet", "series.csv"]


def test_a_typical_year_may_begin_in_any_month_without_a_seam(tmp_path: Path) -> None:
    as_filed = run_site_series(bundled_weather_file(), tmp_path / "a.csv")
    turned = run_site_series(bundled_weather_file(), tmp_path / "b.csv", typical_from=9)
    assert turned.end.startswith("2023-09-01T") or turned.end.startswith("2023-08-31T")
    assert turned.rows == as_filed.rows
    assert turned.yield_kwh_per_kwp == pytest.approx(as_filed.yield_kwh_per_kwp, rel=0.01)
    assert any("from month 9 of 2022" in note for note in turned.notes)


def test_a_recorded_year_is_not_turned(data_dir: Path, tmp_path: Path) -> None:
    file = data_dir / "nsrdb" / "nsrdb_psm3_39.77_-105.22_2012_60min.csv"
    as_filed = run_site_series(file, tmp_path / "a.csv")
    assert run_site_series(file, tmp_path / "b.csv", typical_from=9) == as_filed
