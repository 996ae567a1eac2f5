"""Every recording goes through the intake, and what is known to be wrong with it is found."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks._intake_faults import FAULTS, RECORDINGS, Fault, applies, clean
from benchmarks.intake import FOLDERS, injected_faults
from central.intake import FileReport, exit_status, judge_power, preprocess, read_weather
from central.intake.engineer import engineer
from central.intake.judge_weather import judge_weather
from central.intake.series_parse import parse_series
from central.intake.series_rules import settle

MISTIMED = "nsrdb_tmy_41.57_-93.62_60min.csv"
# file: source, layout, least retained share
TABLES = {
    "openmeteo_44.04_-95.20_2023_60min.csv.gz": ("weather", "openmeteo", 1.0),
    "surfrad-slv16001.dat": ("weather", "surfrad", 1.0),
    "hourly_2006-12_to_2009-12.csv.gz": ("meter", "uci-hourly", 0.99),
    "minute_2006-12-16_to_2006-12-27.txt.gz": ("meter", "uci-minute", 0.999),
    "ac_power_15min_2011-2012.csv.gz": ("solar", "pvdaq", 0.96),
    "psm3_30min_2011-2012.csv.gz": ("weather", "pvdaq", 1.0),
    "ac_power_inv_2173_stale_data.csv": ("solar", "normalized-power", 0.5),
    "ac_power_inv_7539_outliers.csv": ("solar", "normalized-power", 0.98),
    "nrel_RSF_II.csv": ("solar", "table", 1.0),
    "rmis_weather_data.csv": ("weather", "table", 0.99),
    "serf_east_15min_ac_power.csv.gz": ("solar", "pvdaq", 0.999),
    "serf_east_psm3_data.csv.gz": ("weather", "pvdaq", 0.99),
    "TAEFC1044741_sma_7kw.csv.gz": ("solar", "rooftop-long", 0.999),
    "Plant_1_Generation_Data.csv.gz": ("solar", "inverter-generation", 1.0),
    "Plant_1_Weather_Sensor_Data.csv": ("weather", "plant-sensors", 1.0),
}


@pytest.fixture(scope="module")
def reports(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, FileReport]:
    """All folders in one run with two workers."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("out")
    for folder in FOLDERS:
        for path in (data_dir / folder).iterdir():
            (raw / path.name).symlink_to(path)
    found = preprocess(raw, out, capacity_kw=5.0, workers=2)
    assert exit_status(found) == 0
    return {report.input: report for report in found}


@pytest.mark.timeout(600)
def test_every_recording_goes_through(reports: dict[str, FileReport], data_dir: Path) -> None:
    files = {path.name for folder in FOLDERS for path in (data_dir / folder).iterdir()}
    assert set(reports) == files
    for name, (source, layout, least) in TABLES.items():
        report = reports[name]
        assert report.error is None, report.error
        assert report.source is not None
        assert (report.kind, report.source.format) == (source, layout)
        assert least <= report.retained_share <= 1.0
    for name in files - set(TABLES):
        assert reports[name].kind == "solar"
        assert reports[name].retained_share > 0.99


@pytest.mark.timeout(600)
def test_processed_recordings_are_whole_finite_and_wide(reports: dict[str, FileReport]) -> None:
    for report in reports.values():
        table = pd.read_parquet(str(report.parquet))
        assert len(table) == report.rows_out
        numbers = table.select_dtypes("number")
        assert np.isfinite(numbers.to_numpy()).all(), report.input
        assert numbers.shape[1] >= 30
        assert {"timestamp", "quality"} <= set(table.columns)
        keys = ["series", "timestamp"] if "series" in table else ["timestamp"]
        assert not table.duplicated(keys).any()


@pytest.mark.timeout(600)
def test_only_the_faulty_clocks_are_suspected(reports: dict[str, FileReport]) -> None:
    clocks = {name: r.quality.clock for name, r in reports.items() if r.quality is not None}
    wrong = {name for name, clock in clocks.items() if clock not in {"steady", "untested"}}
    assert wrong == {MISTIMED, "ac_power_15min_2011-2012.csv.gz"}
    for name, report in reports.items():
        if name.startswith("nsrdb") and name != MISTIMED:
            assert clocks[name] == "steady"
            assert report.doubts == ()
            assert report.quality is not None
            assert report.quality.flagged == {}


@pytest.mark.timeout(600)
def test_daylight_saving_of_pvdaq_50_is_found_to_the_day(reports: dict[str, FileReport]) -> None:
    quality = reports["ac_power_15min_2011-2012.csv.gz"].quality
    assert quality is not None
    assert quality.clock == "daylight_saving"
    steps = [(shift.date, round(shift.amount / 60)) for shift in quality.shifts]
    changes = ("2011-11-06", "2012-03-11", "2012-11-04")
    for (date, hours), change, expected in zip(steps, changes, (-1, 1, -1), strict=True):
        assert hours == expected
        assert abs((pd.Timestamp(date) - pd.Timestamp(change)).days) <= 1


@pytest.mark.timeout(600)
def test_mistimed_file_is_found_and_loses_no_row_to_its_own_clock(
    reports: dict[str, FileReport],
) -> None:
    report = reports[MISTIMED]
    assert report.quality is not None
    assert report.quality.clock == "off"
    assert any("minutes late against the sun" in doubt for doubt in report.doubts)
    assert report.removed == {"incomplete_history": 24}
    assert report.quality.flagged["closure"] > 1000


@pytest.mark.timeout(600)
def test_known_oddities_of_the_recordings_are_told(reports: dict[str, FileReport]) -> None:
    def doubts(name: str) -> str:
        return " ".join(reports[name].doubts)

    assert reports["TAEFC1044741_sma_7kw.csv.gz"].removed == {"sentinel_value": 3}
    generation = doubts("Plant_1_Generation_Data.csv.gz")
    assert "dc_power_kw is 10.2 times ac_power_kw" in generation
    assert "bvBOhCH3iADSZry gave " in generation
    assert "1BY6WEcLGh8j5v7 gave " in generation
    assert "every 60 minutes" in doubts("serf_east_psm3_data.csv.gz")
    assert "frost was cut off" in doubts("psm3_30min_2011-2012.csv.gz")
    opened = reports["openmeteo_44.04_-95.20_2023_60min.csv.gz"]
    assert opened.read is not None
    assert any("taken for UTC" in note for note in opened.read.notes)
    table = pd.read_parquet(str(opened.parquet))
    assert table["timestamp"].iloc[0] == pd.Timestamp("2022-12-31T06:00Z")


@pytest.mark.timeout(600)
def test_hours_without_a_minute_are_missing_and_not_zero(reports: dict[str, FileReport]) -> None:
    report = reports["hourly_2006-12_to_2009-12.csv.gz"]
    assert report.removed is not None
    # 130 hours without any valid minute, and those of which less than half was measured.
    assert report.removed["empty_interval"] == pytest.approx(130 + 7, abs=2)
    assert report.quality is not None
    # Of the 19 hours with 1 to 54 minutes, 12 hold more than half; 55 or 56 minutes are few, too.
    assert report.quality.flagged["partial"] == pytest.approx(12, abs=3)
    table = pd.read_parquet(str(report.parquet))
    assert table["active_power_kw"].min() > 0
    assert table["voltage_v"].between(220, 260).all()
    whole = table[table["quality"] == "good"]
    first = whole.iloc[0]
    assert (first["timestamp"], round(first["active_power_kw"], 4)) == (
        pd.Timestamp("2006-12-16 18:00"),
        round(217.932 / 60, 4),
    )


def test_minutes_and_hours_of_the_same_home_agree(reports: dict[str, FileReport]) -> None:
    minutes = pd.read_parquet(str(reports["minute_2006-12-16_to_2006-12-27.txt.gz"].parquet))
    hours = pd.read_parquet(str(reports["hourly_2006-12_to_2009-12.csv.gz"].parquet))
    mean = minutes.set_index("timestamp")["active_power_kw"].resample("60min").mean()
    both = hours.set_index("timestamp")[["active_power_kw"]].join(mean, rsuffix="_m", how="inner")
    assert len(both) > 250
    inner = both.iloc[:-1]
    assert (inner["active_power_kw"] - inner["active_power_kw_m"]).abs().max() < 0.03


@pytest.mark.parametrize(
    ("name", "label", "recall", "precision"),
    [
        ("ac_power_inv_2173_stale_data.csv", "label_stale", 0.95, 0.95),
        ("ac_power_inv_7539_outliers.csv", "label_outlier", 0.8, 0.75),
    ],
)
def test_labelled_faults_are_found(
    data_dir: Path, name: str, label: str, recall: float, precision: float
) -> None:
    file = settle(*parse_series(data_dir / "nrel-pv-quality" / name), validate=True)
    (series,) = file.series
    found = judge_power(series.columns[file.source.main], series.step_seconds / 60)
    truth = series.columns[label] == 1
    judged = found.stuck if label == "label_stale" else found.outlier | found.impossible
    hits = np.count_nonzero(truth & judged)
    assert hits >= recall * truth.sum()
    assert hits >= precision * judged.sum()


@pytest.mark.parametrize("recording", RECORDINGS)
def test_clean_recordings_are_not_accused(data_dir: Path, recording: str) -> None:
    one = clean(data_dir, recording)
    found = judge_power(one.power, one.step_minutes)
    assert found.clipping_level is None
    assert not (found.clipped | found.curtailed | found.stuck | found.impossible).any()
    assert found.offsets == ()
    assert found.outlier.mean() < 0.002


@pytest.mark.timeout(300)
@pytest.mark.parametrize("recording", RECORDINGS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_injected_faults_are_found(data_dir: Path, recording: str, fault: Fault) -> None:
    one = clean(data_dir, recording)
    if not applies(fault, one):
        assert fault(one, 0).recall == 0.0  # a recording without nights shows no offset of them
        return
    scores = [fault(one, seed) for seed in range(100, 106)]
    # Half an hour is lost in the scatter of a roof's days now and then.
    least = 4 if fault.__name__ == "clock_change" else 5
    assert sum(score.found for score in scores) >= least, [s.detail for s in scores if not s.found]
    assert np.mean([score.recall for score in scores]) >= 0.65
    assert np.mean([score.precision for score in scores]) >= 0.9


@pytest.mark.timeout(300)
def test_benchmark_figures_are_json_and_name_every_fault(data_dir: Path) -> None:
    figures = json.loads(json.dumps(injected_faults(data_dir, 1), allow_nan=False))
    assert set(figures) == {
        *("clipping", "curtailment", "stuck", "night_offset", "level", "clock"),
    }
    assert all(one["found"] <= one["injections"] for one in figures.values())


@pytest.mark.parametrize("seed", range(4))
def test_injected_gaps_are_reported_to_the_row(data_dir: Path, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = data_dir / "nrel-pv-quality" / "serf_east_15min_ac_power.csv.gz"
    frame = pd.read_csv(source)
    starts = np.sort(rng.choice(np.arange(100, 9500, 200), 5, replace=False))
    lengths = rng.integers(1, 60, 5)
    gone = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)])
    raw = tmp_path / "raw"
    raw.mkdir()
    frame.drop(index=gone).to_csv(raw / "holes.csv", index=False)
    (report,) = preprocess(raw, tmp_path / "out", capacity_kw=6.0)
    assert report.read is not None
    assert [gap.rows for gap in report.read.gaps] == lengths.tolist()
    stamps = pd.to_datetime(frame["measured_on"], utc=True)
    assert [pd.Timestamp(gap.start) for gap in report.read.gaps] == list(stamps.iloc[starts])


@pytest.mark.parametrize("minutes", [-60, 60])
def test_irradiance_whose_clock_was_set_is_dated(data_dir: Path, minutes: int) -> None:
    weather = read_weather(data_dir / "nsrdb" / "nsrdb_psm3_40.53_-105.06_2018_30min.csv.gz")
    moved = weather.frame.copy()
    at = 9000
    for name in ("ghi", "dni", "dhi"):
        moved.loc[moved.index[at:], name] = np.roll(weather.frame[name], minutes // 30)[at:]
    wrong = replace(weather, frame=moved)
    _, summary = judge_weather(wrong, engineer(wrong, 5000.0), validate=True)
    (shift,) = [shift for shift in summary.shifts if shift.what == "clock"]
    assert shift.amount == pytest.approx(minutes, abs=15)
    assert abs((pd.Timestamp(shift.date, tz="UTC") - moved.index[at]).days) <= 3


def test_pyranometer_that_sticks_or_lies_loses_those_rows(data_dir: Path) -> None:
    weather = read_weather(data_dir / "nsrdb" / "nsrdb_psm3_27.73_-97.54_2013_60min.csv")
    wrong = weather.frame.copy()
    noon = np.flatnonzero(wrong["ghi"].to_numpy() > 500)
    first = int(noon[100] // 24 * 24 + 10)
    wrong.iloc[first : first + 5, 0] = 555.0
    wrong.iloc[2, 0] = 300.0  # in the middle of the night
    faulty = replace(weather, frame=wrong)
    verdict, _ = judge_weather(faulty, engineer(faulty, 5000.0), validate=True)
    assert list(np.flatnonzero(verdict.removed["stuck_value"])) == list(range(first, first + 5))
    assert list(np.flatnonzero(verdict.removed["physical_limit"])) == [2]


@pytest.mark.timeout(300)
def test_command_escalates_what_is_refused_and_keeps_the_rest(
    data_dir: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "sensors.csv").symlink_to(data_dir / "india-solar" / "Plant_1_Weather_Sensor_Data.csv")
    (raw / "notes.csv").write_text("who,said\nme,nothing\n")
    command = [
        *(sys.executable, "-m", "central.cli", "preprocess", "--json", "--workers", "2"),
        *("--input-dir", raw, "--output-dir", tmp_path / "out", "--capacity", "5.0"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert result.returncode == 1, result.stderr
    notes, sensors = json.loads(result.stdout)
    assert notes["error"].startswith("notes.csv:1: unknown format")
    assert sensors["error"] is None
    written = sorted(path.name.split("_")[0] for path in (tmp_path / "out").iterdir())
    assert written == ["refused", "weather", "weather", "weather"]
