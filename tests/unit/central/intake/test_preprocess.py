"""A directory of files to processed files: names, columns, reports, escalation, no half files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from central.intake import IntakeError, exit_status, preprocess
from central.intake.engineer import ENGINEERED
from central.intake.preprocess import original_names, replacing
from central.intake.tmy3 import bundled_weather_file

Write = Callable[..., Path]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_output_follows_the_runbook(lines: list[str], write: Write, tmp_path: Path) -> None:
    raw = write(lines).parent
    (report,) = preprocess(raw, tmp_path / "out", capacity_kw=5.0, now=NOW)
    assert report.output == str(tmp_path / "out" / "solar_processed_20260102T030405Z_site.csv")
    table = pd.read_csv(report.output)
    assert list(table.columns[:9]) == [
        "Year", "Month", "Day", "Hour", "Minute", "GHI", "DNI", "DHI", "Temperature",
    ]  # fmt: skip
    assert list(table.columns[-len(ENGINEERED) :]) == list(ENGINEERED)
    assert len(ENGINEERED) >= 30
    assert np.isfinite(table.select_dtypes("number").to_numpy()).all()
    # The first day has no history; the rest is as it was, in the units and clock of the file.
    assert report.removed == {"incomplete_history": 24}
    first = table.iloc[0]
    assert tuple(first[["Month", "Day", "Hour", "Minute", "Pressure"]]) == (6, 2, 0, 30, 900)
    assert first["timestamp"] == "2013-06-02T06:30:00Z"
    assert exit_status([report]) == 0


def test_report_file_says_what_happened(lines: list[str], write: Write, tmp_path: Path) -> None:
    lines[123] = lines[123].replace(",900", ",oops")
    preprocess(write(lines).parent, tmp_path / "out", capacity_kw=5.0, now=NOW)
    (path,) = (tmp_path / "out").glob("*.report.json")
    report = json.loads(path.read_text())
    assert report["rows_in"] == 480
    assert report["removed"]["unparsable_cell"] == 1
    assert report["read"]["examples"][0].startswith("site.csv:124: Pressure: 'oops'")
    assert report["read"]["gaps"][0]["after_line"] == 123
    assert report["source"]["latitude"] == 35.21
    assert 0.8 < report["retained_share"] < 1


def test_bad_file_escalates_and_the_others_go_on(
    lines: list[str], write: Write, tmp_path: Path
) -> None:
    write(lines, "good.csv")
    write([*lines[:3], *(line.replace(",2.5,", ",x,") for line in lines[3:])], "bad.csv")
    raw = write(["what,is,this"], "alien.csv").parent
    seen = []
    reports = preprocess(
        raw, tmp_path / "out", capacity_kw=5.0, workers=2, progress=seen.append, now=NOW
    )
    assert [report.input for report in reports] == ["alien.csv", "bad.csv", "good.csv"]
    assert sorted(report.input for report in seen) == ["alien.csv", "bad.csv", "good.csv"]
    alien, bad, good = reports
    assert alien.error is not None
    assert alien.error.startswith("alien.csv:1: unknown format")
    assert bad.error is not None
    assert bad.error.startswith("bad.csv:4: ")
    assert good.error is None
    assert [r.output is None for r in reports] == [True, True, False]
    assert exit_status(reports) == 1
    # A report for each, tables only for the good one, nothing temporary.
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name for name in written if name.endswith(".csv")] == [
        "solar_processed_20260102T030405Z_good.csv"
    ]
    assert [name for name in written if name.startswith("refused_")] == [
        "refused_20260102T030405Z_alien.report.json",
        "refused_20260102T030405Z_bad.report.json",
    ]
    assert len(written) == 5


def test_workers_do_not_change_the_output(lines: list[str], write: Write, tmp_path: Path) -> None:
    write(lines, "a.csv")
    raw = write(lines[:300], "b.csv").parent
    one = preprocess(raw, tmp_path / "one", capacity_kw=5.0, workers=1, now=NOW)
    two = preprocess(raw, tmp_path / "two", capacity_kw=5.0, workers=2, now=NOW)
    for left, right in zip(one, two, strict=True):
        assert left.output is not None
        assert right.output is not None
        assert Path(left.output).read_bytes() == Path(right.output).read_bytes()


def test_no_validate_keeps_values_beyond_limits(
    lines: list[str], write: Write, tmp_path: Path
) -> None:
    hot = [line.replace(",2.5,900", ",2.5,2000") for line in lines]
    raw = write(hot).parent
    (strict,) = preprocess(raw, tmp_path / "strict", capacity_kw=5.0, now=NOW)
    (lenient,) = preprocess(raw, tmp_path / "lenient", capacity_kw=5.0, validate=False, now=NOW)
    assert strict.error is not None
    assert "out_of_limits 480" in strict.error
    assert lenient.rows_out == 456
    assert exit_status([lenient]) == 0


def test_more_than_half_lost_escalates_unless_told_not_to_validate(
    lines: list[str], write: Write, tmp_path: Path
) -> None:
    cold = [line.replace(",2.5,900", ",2.5,x") for line in lines[:300]] + lines[300:]
    raw = write(cold).parent
    (strict,) = preprocess(raw, tmp_path / "strict", capacity_kw=5.0, now=NOW)
    (lenient,) = preprocess(raw, tmp_path / "lenient", capacity_kw=5.0, validate=False, now=NOW)
    assert exit_status([strict]) == 1
    assert lenient.rows_out == 183 - 24
    assert lenient.retained_share < 0.5
    assert exit_status([lenient]) == 0


def test_engineered_columns_mean_what_they_say(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "tmy.CSV").write_bytes(bundled_weather_file().read_bytes())
    (report,) = preprocess(raw, tmp_path / "out", capacity_kw=4.0, now=NOW)
    assert report.output is not None
    table = pd.read_csv(report.output)
    assert report.rows_out == len(table) == 8760 - 24
    # No hole here, so a lag is a shift of the column.
    for hours in (1, 2, 3, 24):
        expected = table["GHI"].shift(hours).dropna()
        assert (table[f"ghi_lag_{hours}h"].iloc[hours:] == expected).all()
    assert table["ghi_mean_24h"].iloc[100] == pytest.approx(table["GHI"].iloc[77:101].mean(), 1e-5)
    night = table["solar_elevation"] < -10
    assert (table.loc[night, ["ghi_clear", "clearsky_index", "power_estimate"]] == 0).all().all()
    clear = table["GHI"] > 900
    assert table.loc[clear, "clearsky_index"].median() == pytest.approx(1.0, abs=0.1)
    # 4 kW at 1000 W/m2 and a cell at 25 degC gives 4 kW.
    row = table[table["GHI"] > 700].iloc[0]
    efficiency = 1 - 0.0035 * (row["temp_cell_estimate"] - 25)
    assert row["power_estimate"] == pytest.approx(4000 * row["GHI"] / 1000 * efficiency, 1e-4)
    assert 0 < table["power_estimate"].max() < 4800
    noon = table.loc[table["solar_elevation"].idxmax()]
    assert noon["solar_hour"] == pytest.approx(12, abs=0.6)


def test_lag_across_a_hole_is_missing_not_borrowed(
    lines: list[str], write: Write, tmp_path: Path
) -> None:
    raw = write(lines[:200] + lines[201:]).parent
    (report,) = preprocess(raw, tmp_path / "out", capacity_kw=5.0, now=NOW)
    assert report.output is not None
    # The rows 1, 2, 3 and 24 hours after the hole go, and the first day.
    assert report.removed == {"incomplete_history": 24 + 4}


@pytest.mark.parametrize(
    ("capacity", "workers", "named"),
    [
        (0.0, 1, "--capacity"),
        (-5.0, 1, "--capacity"),
        (math.nan, 1, "--capacity"),
        (5.0, 0, "--workers"),
    ],
)
def test_impossible_arguments(tmp_path: Path, capacity: float, workers: int, named: str) -> None:
    with pytest.raises(IntakeError, match=named):
        preprocess(tmp_path, tmp_path / "out", capacity_kw=capacity, workers=workers)


def test_missing_and_empty_directories_are_named(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="nowhere: is no directory"):
        preprocess(tmp_path / "nowhere", tmp_path / "out", capacity_kw=5.0)
    with pytest.raises(IntakeError, match=r"holds no \.csv"):
        preprocess(tmp_path, tmp_path / "out", capacity_kw=5.0)
    with pytest.raises(IntakeError, match="is the input directory too"):
        preprocess(tmp_path, tmp_path / "out" / "..", capacity_kw=5.0)


def test_same_name_with_and_without_gzip_gets_two_outputs() -> None:
    names = original_names([Path("a.csv"), Path("a.csv.gz"), Path("b.csv.gz")])
    assert names == ["a_csv", "a_csv_gz", "b"]


def test_half_written_file_never_appears(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")

    def write_half() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert target.read_text() == "old"
