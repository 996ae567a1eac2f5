"""Meter and weather files as the runbook has them: recognised, cleaned, engineered, reported."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from central.intake import FileReport, exit_status, preprocess
from central.intake import features as features_module

_spec = importlib.util.spec_from_file_location("tables", Path(__file__).with_name("tables.py"))
assert _spec is not None
assert _spec.loader is not None
tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tables)

Write = Callable[..., Path]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _process(path: Path, tmp_path: Path, **options: object) -> tuple[FileReport, pd.DataFrame]:
    (report,) = preprocess(path.parent, tmp_path / "out", capacity_kw=5.0, now=NOW, **options)  # type: ignore[arg-type]
    assert report.output is not None, report.error
    return report, pd.read_csv(report.output)


def test_meter_file_becomes_a_meter_table(write: Write, tmp_path: Path) -> None:
    report, table = _process(write(tables.meter_lines()), tmp_path)
    assert Path(str(report.output)).name == "meter_processed_20260102T030405Z_site.csv"
    assert (report.kind, report.retained_share) == ("meter", 1.0)
    assert list(table.columns[:7]) == [*tables.METER.split(","), "quality"]
    engineered = table.columns[7:]
    assert len(engineered) >= 30
    assert np.isfinite(table.select_dtypes("number").to_numpy()).all()
    assert set(table["quality"]) == {"good"}
    assert report.removed == {}
    assert exit_status([report]) == 0


def test_weather_file_becomes_a_weather_table(write: Write, tmp_path: Path) -> None:
    report, table = _process(write(tables.weather_lines()), tmp_path)
    assert report.kind == "weather"
    assert Path(str(report.output)).name.startswith("weather_processed_")
    assert len(table.columns) - 7 >= 30
    assert np.isfinite(table.select_dtypes("number").to_numpy()).all()
    assert {"dew_point_calculated_c", "pressure_change_3h_mb"} <= set(table.columns)


def test_photovoltaic_power_is_solar_and_not_a_meter(write: Write, tmp_path: Path) -> None:
    power = tables.roof(20)
    rows = [f"{s},{1000 * p:.1f}" for s, p in zip(tables.stamps(power.size), power, strict=True)]
    report, table = _process(write(["measured_on,ac_power", *rows]), tmp_path)
    assert report.kind == "solar"
    assert table["ac_power_kw"].max() == pytest.approx(power.max(), abs=1e-3)
    assert len(table.columns) - 3 >= 30
    assert report.quality is not None
    assert report.quality.capacity_seen[""] == pytest.approx(5.0, rel=0.05)


def test_parquet_holds_the_same_table(write: Write, tmp_path: Path) -> None:
    report, table = _process(write(tables.meter_lines(10)), tmp_path)
    stored = pd.read_parquet(str(report.parquet))
    assert list(stored.columns) == list(table.columns)
    assert str(stored["timestamp"].dtype.tz) == "UTC"  # type: ignore[union-attr]
    numbers = table.select_dtypes("number").columns
    assert np.array_equal(stored[numbers].to_numpy(), table[numbers].to_numpy())


def test_lags_and_statistics_are_those_of_the_hours_they_name(write: Write, tmp_path: Path) -> None:
    _, table = _process(write(tables.meter_lines()), tmp_path)
    power = table["active_power_kw"]
    whole = table["history_complete"] == 1
    assert whole.sum() == len(table) - 28 * 96 + 14 * 96  # two of four weekdays are enough
    for hours in (1, 24, 168):
        expected = power.shift(4 * hours)[whole]
        assert (table[f"active_power_lag_{hours}h_kw"][whole] - expected).abs().max() < 1e-4
    assert table["active_power_mean_24h_kw"].iloc[3000] == pytest.approx(
        power.iloc[3000 - 95 : 3001].mean(), rel=1e-5
    )
    slots = [power.iloc[3500 - 96 * day] for day in range(1, 8)]
    assert table["active_power_same_slot_7d_max_kw"].iloc[3500] == pytest.approx(max(slots))
    row = table.iloc[2000]
    apparent = np.hypot(row["active_power_kw"], row["reactive_power_kvar"])
    assert row["apparent_power_calculated_kva"] == pytest.approx(apparent, rel=1e-5)
    assert row["power_factor_calculated"] == pytest.approx(1 / np.hypot(1, 0.2), rel=1e-3)


@pytest.mark.parametrize("make", [tables.meter_lines, tables.weather_lines])
def test_no_engineered_column_knows_the_future(
    write: Write, tmp_path: Path, make: Callable[[], list[str]]
) -> None:
    lines = make()
    cut = len(lines) * 2 // 3
    other = [*lines[:cut], *(tables.set_cell(line, 1, "3.33") for line in lines[cut:-200])]
    other += lines[-200:]
    _, one = _process(write(lines), tmp_path)
    (tmp_path / "out").rename(tmp_path / "first")
    _, two = _process(write(other), tmp_path, validate=False)
    same = one.columns.drop("quality")
    pd.testing.assert_frame_equal(one[same].iloc[: cut - 1], two[same].iloc[: cut - 1])


def test_long_files_come_out_the_same_in_blocks(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tables.meter_lines(60))
    _, one = _process(path, tmp_path)
    (tmp_path / "out").rename(tmp_path / "first")
    monkeypatch.setattr(features_module, "_BLOCK_ROWS", 777)
    _, two = _process(path, tmp_path)
    pd.testing.assert_frame_equal(one, two, rtol=1e-5, atol=1e-9)


def test_workers_do_not_change_tables(write: Write, tmp_path: Path) -> None:
    write(tables.meter_lines(10), "meter.csv")
    raw = write(tables.weather_lines(), "weather.csv").parent
    one = preprocess(raw, tmp_path / "one", capacity_kw=5.0, workers=1, now=NOW)
    two = preprocess(raw, tmp_path / "two", capacity_kw=5.0, workers=2, now=NOW)
    for left, right in zip(one, two, strict=True):
        assert Path(str(left.output)).read_bytes() == Path(str(right.output)).read_bytes()


def test_report_counts_by_rule_and_names_the_gap(write: Write, tmp_path: Path) -> None:
    lines = tables.meter_lines(10)
    lines[100] = tables.set_cell(lines[100], 1, "oops")
    lines[101] = tables.set_cell(lines[101], 1, "")
    del lines[300:308]
    report, _ = _process(write(lines), tmp_path)
    (path,) = (tmp_path / "out").glob("*.report.json")
    content = json.loads(path.read_text())
    assert content["removed"] == {"unparsable_cell": 1, "missing_value": 1}
    assert content["rows_in"] == 952
    gaps = [(gap["rows"], gap["after_line"]) for gap in content["read"]["gaps"]]
    assert gaps == [(2, 100), (8, 300)]
    assert content["source"]["kind"] == "meter"
    assert content["escalate"] is False
    assert "site.csv:101: active_power_kw: 'oops'" in content["read"]["examples"][0]
    assert report.filled_history > 0


def test_meter_that_hangs_loses_the_rows_of_the_hang(write: Write, tmp_path: Path) -> None:
    lines = tables.meter_lines(20)
    frozen = lines[500].split(",", 1)[1]
    lines[501:520] = [f"{line.split(',')[0]},{frozen}" for line in lines[501:520]]
    report, _ = _process(write(lines), tmp_path)
    assert report.removed == {"stuck_value": 20}
    assert any(
        text.startswith("site.csv:501: active_power_kw is ") and "stuck value" in text
        for text in (report.read.examples if report.read else ())
    )


def test_power_that_volts_and_amperes_do_not_allow_is_flagged(write: Write, tmp_path: Path) -> None:
    lines = tables.meter_lines(20)
    lines[700] = tables.set_cell(lines[700], 1, "2.9")
    report, table = _process(write(lines), tmp_path)
    assert report.removed == {}
    assert table["quality"].iloc[699] == "inconsistent"
    assert report.quality is not None
    assert report.quality.flagged == {"inconsistent": 1}


def test_voltage_and_temperature_that_leap_are_flagged(write: Write, tmp_path: Path) -> None:
    lines = tables.meter_lines(20)
    lines[800] = tables.set_cell(lines[800], 3, "120")
    _, table = _process(write(lines), tmp_path)
    assert "outlier" in table["quality"].iloc[799]
    assert (table["quality"] == "good").sum() == len(table) - 1


def test_station_that_shines_through_the_night_is_an_offset(write: Write, tmp_path: Path) -> None:
    power = tables.roof(20, 60)
    rows = [
        f"{s},15.5,{200 * p + 12:.3f}"
        for s, p in zip(tables.stamps(power.size, 60), power, strict=True)
    ]
    report, _ = _process(write(["timestamp,temperature_c,ghi", *rows]), tmp_path)
    assert any("ghi_wm2 reads +12.0 W/m2 by night" in doubt for doubt in report.doubts)


def test_irradiance_beyond_the_sun_is_removed_where_the_place_is_known(
    write: Write, tmp_path: Path
) -> None:
    power = tables.roof(20, 60)
    rows = [f"{s},{120 * p:.2f}" for s, p in zip(tables.stamps(power.size, 60), power, strict=True)]
    rows[57] = tables.set_cell(rows[57], 1, "1900")  # 09:00
    rows[50] = tables.set_cell(rows[50], 1, "400")  # 02:00
    path = write(["timestamp,ghi", *rows])
    unknown, _ = _process(path, tmp_path)
    assert unknown.removed == {}
    (tmp_path / "out").rename(tmp_path / "first")
    known, table = _process(path, tmp_path, place=(0.0, 0.0))
    assert known.removed == {"physical_limit": 2}
    assert known.quality is not None
    assert known.quality.tests["ghi_limit"]["failed"] == 2
    assert "solar_zenith" in table.columns


def test_local_stamps_are_read_on_the_zone_that_was_given(write: Write, tmp_path: Path) -> None:
    lines = [line.replace("T", " ", 1).replace("Z", "", 1) for line in tables.meter_lines(40)]
    path = write([tables.METER, *lines[1:]])
    as_is, table = _process(path, tmp_path)
    assert table["timestamp"].iloc[0] == "2024-03-04T00:00:00"
    assert any("state no time zone" in note for note in (as_is.read.notes if as_is.read else ()))
    (tmp_path / "out").rename(tmp_path / "first")
    zoned, table = _process(path, tmp_path, zone="Europe/Paris")
    assert table["timestamp"].iloc[0] == "2024-03-03T23:00:00Z"
    # 02:00 to 02:45 of 31 March do not exist there; the row is named.
    assert zoned.removed == {"bad_timestamp": 4}


def test_several_inverters_in_one_file_keep_their_own_past(write: Write, tmp_path: Path) -> None:
    rows = []
    for number in range(5):
        power = tables.roof(30, seed=number) * (0.5 if number == 3 else 1.0)
        rows += [
            f"{s},INV{number},{10000 * p:.1f},{1000 * p:.1f}"
            for s, p in zip(tables.stamps(power.size), power, strict=True)
        ]
    header = "DATE_TIME,SOURCE_KEY,DC_POWER,AC_POWER"
    rows = [row.replace("T", " ").replace("Z", "") for row in rows]
    report, table = _process(write([header, *rows]), tmp_path)
    assert list(table["series"].unique()) == [f"INV{n}" for n in range(5)]
    for _, part in table.groupby("series"):
        lag = part["ac_power_lag_24h_kw"].to_numpy()[96:]
        assert np.abs(lag - part["ac_power_kw"].to_numpy()[:-96]).max() < 1e-2
    assert any("dc_power_kw is 10.0 times ac_power_kw" in doubt for doubt in report.doubts)
    assert any(doubt.startswith("INV3 gave ") for doubt in report.doubts)
