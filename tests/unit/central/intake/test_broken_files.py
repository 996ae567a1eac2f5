"""Files broken in every way we could think of: each is named by file, line and advice."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from central.intake import IntakeError, Weather, read_weather
from central.intake.tmy3 import bundled_weather_file

Write = Callable[..., Path]


def _set(line: str, position: int, cell: str) -> str:
    cells = line.split(",")
    cells[position] = cell
    return ",".join(cells)


def _refused(path: Path) -> str:
    with pytest.raises(IntakeError) as caught:
        read_weather(path)
    return str(caught.value)


def _read(path: Path) -> Weather:
    return read_weather(path)


def test_untouched_file_keeps_every_row(lines: list[str], write: Write) -> None:
    weather = _read(write(lines))
    assert (weather.report.rows_in, weather.report.rows_out) == (480, 480)
    assert weather.report.removed == {}
    assert weather.frame["pressure"].iloc[0] == 90_000


def test_first_metadata_line_missing(lines: list[str], write: Write) -> None:
    text = _refused(write(lines[1:]))
    assert text.startswith("site.csv:2: the column header stands here")
    assert "Put the missing line back" in text


def test_both_metadata_lines_missing(lines: list[str], write: Write) -> None:
    assert _refused(write(lines[2:])).startswith("site.csv:1: the column header stands here")


def test_metadata_name_missing(lines: list[str], write: Write) -> None:
    lines[0] = lines[0].replace("Time Zone,", "Zone,", 1)
    text = _refused(write(lines))
    assert text.startswith("site.csv:1: the metadata names lack Time Zone")


def test_metadata_values_cut_short(lines: list[str], write: Write) -> None:
    lines[1] = "NSRDB,4711,-,-,-,35.21"
    assert _refused(write(lines)).startswith("site.csv:2: 6 metadata values for the 13 names")


@pytest.mark.parametrize("latitude", ["north", "135.2", ""])
def test_impossible_latitude(lines: list[str], write: Write, latitude: str) -> None:
    lines[1] = lines[1].replace("35.21", latitude)
    text = _refused(write(lines))
    assert text.startswith(f"site.csv:2: metadata Latitude is {latitude!r}")
    assert "correct line 2" in text


def test_unknown_unit(lines: list[str], write: Write) -> None:
    lines[1] = lines[1].replace("w/m2", "BTU/ft2")
    assert _refused(write(lines)).startswith("site.csv:2: unit of GHI is 'BTU/ft2'")


def test_stated_unit_is_obeyed(lines: list[str], write: Write) -> None:
    lines[1] = lines[1].replace("mbar", "kPa")
    lines[3:] = [_set(line, 10, "90") for line in lines[3:]]
    assert _read(write(lines)).frame["pressure"].eq(90_000).all()


@pytest.mark.parametrize("column", ["GHI", "Temperature", "Minute"])
def test_header_lacks_a_column(lines: list[str], write: Write, column: str) -> None:
    lines[2] = lines[2].replace(column, "Gibberish")
    text = _refused(write(lines))
    assert text.startswith(f"site.csv:3: the header lacks {column}")
    assert "Restore the header line" in text


def test_header_line_missing(lines: list[str], write: Write) -> None:
    assert _refused(write(lines[:2] + lines[3:])).startswith("site.csv:3: the header lacks Year")


def test_no_data_below_the_header(lines: list[str], write: Write) -> None:
    assert _refused(write(lines[:3])).startswith("site.csv:3: has no data below the header")


def test_text_in_a_numeric_cell(lines: list[str], write: Write) -> None:
    lines[123] = _set(lines[123], 5, "n/k")
    report = _read(write(lines)).report
    assert report.removed == {"unparsable_cell": 1}
    assert report.examples == ("site.csv:124: GHI: 'n/k' is not a finite number; row removed",)
    assert report.gaps[0].after_line == 123


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e999"])
def test_infinity_is_not_a_number(lines: list[str], write: Write, cell: str) -> None:
    lines[50] = _set(lines[50], 8, cell)
    report = _read(write(lines)).report
    assert report.removed == {"unparsable_cell": 1}
    assert report.examples[0].startswith("site.csv:51: Temperature: ")


@pytest.mark.parametrize("cell", ["", "NaN", "-9999", "-9900.0"])
def test_missing_value(lines: list[str], write: Write, cell: str) -> None:
    lines[60] = _set(lines[60], 6, cell)
    report = _read(write(lines)).report
    assert report.removed == {"missing_value": 1}
    assert report.examples == ("site.csv:61: dni is missing; row removed",)


def test_optional_column_that_is_mostly_missing_costs_no_rows(
    lines: list[str], write: Write
) -> None:
    lines[3:] = [_set(line, 9, "-9999") for line in lines[3:]]
    weather = _read(write(lines))
    assert "wind_speed" not in weather.frame
    assert weather.report.retained_share == 1.0
    assert any("wind_speed is missing in 100%" in note for note in weather.report.notes)


def test_value_beyond_physical_limits(lines: list[str], write: Write) -> None:
    lines[70] = _set(lines[70], 5, "70000")
    lines[71] = _set(lines[71], 8, "120")
    path = write(lines)
    report = _read(path).report
    assert report.removed == {"out_of_limits": 2}
    assert report.examples[0] == (
        "site.csv:71: ghi is 70000 W/m2, possible are -20 to 2000; row removed"
    )
    assert report.examples[1].startswith("site.csv:72: temp_air is 120 degC")
    assert read_weather(path, validate=False).frame["ghi"].max() == 70_000


def test_hole_is_accepted_and_listed(lines: list[str], write: Write) -> None:
    weather = _read(write(lines[:100] + lines[106:]))
    (gap,) = weather.report.gaps
    assert (gap.rows, gap.after_line) == (6, 100)
    # Line 101 was the row of 5 June 01:30 local, 07:30 UTC.
    assert (gap.start, gap.end) == ("2013-06-05T07:30:00Z", "2013-06-05T12:30:00Z")
    assert weather.report.removed == {}


def test_duplicate_keeps_the_first(lines: list[str], write: Write) -> None:
    copy = _set(lines[200], 8, "44")
    weather = _read(write([*lines[:201], copy, *lines[201:]]))
    assert weather.report.removed == {"duplicate_timestamp": 1}
    assert weather.report.examples[0].startswith("site.csv:202: ")
    assert 44 not in set(weather.frame["temp_air"])


def test_rows_out_of_order_are_sorted(lines: list[str], write: Write) -> None:
    shuffled = [*lines[:3], *lines[300:], *lines[3:300]]
    sorted_back, original = _read(write(shuffled)), _read(write(lines))
    assert sorted_back.frame.equals(original.frame)
    assert any("out of order at 1 places" in note for note in sorted_back.report.notes)


@pytest.mark.parametrize(
    ("position", "cell"), [(1, "13"), (2, "31"), (3, "25"), (4, "17.5"), (1, "0"), (0, "1")]
)
def test_impossible_date(lines: list[str], write: Write, position: int, cell: str) -> None:
    lines[80] = _set(lines[80], position, cell)  # in June, which has 30 days
    report = _read(write(lines)).report
    assert report.removed == {"bad_timestamp": 1}
    assert report.examples == ("site.csv:81: no possible date and time; row removed",)


def test_mistyped_year_does_not_open_a_hole_of_decades(lines: list[str], write: Write) -> None:
    lines[90] = _set(lines[90], 0, "2113")
    report = _read(write(lines)).report
    assert report.removed == {"stray_timestamp": 1}
    assert report.examples[0].startswith("site.csv:91: 2113-06-04")
    assert [gap.rows for gap in report.gaps] == [1]


def test_stamp_off_the_grid(lines: list[str], write: Write) -> None:
    lines[90] = _set(lines[90], 4, "37")
    report = _read(write(lines)).report
    assert report.removed == {"off_grid_timestamp": 1}
    assert report.examples[0].startswith("site.csv:91: ")


def test_row_cut_short_and_row_too_long(lines: list[str], write: Write) -> None:
    lines[20] = lines[20][:9]
    lines[21] += ",1,2"
    report = _read(write(lines)).report
    assert report.removed == {"wrong_cell_count": 2}
    assert report.examples[0].startswith("site.csv:21: 4 cells where the header has 11")
    assert report.examples[1].startswith("site.csv:22: 13 cells where the header has 11")


def test_trailing_empty_cells_are_no_fault(lines: list[str], write: Write) -> None:
    padded = [*lines[:2], *(line + ",,," for line in lines[2:])]
    assert _read(write(padded)).report.retained_share == 1.0
    ragged = [*lines[:3], *(line + "," * (n % 4) for n, line in enumerate(lines[3:]))]
    assert _read(write(ragged)).report.retained_share == 1.0


def test_more_than_half_bad_is_refused(lines: list[str], write: Write) -> None:
    lines[3:300] = [_set(line, 5, "broken") for line in lines[3:300]]
    path = write(lines)
    text = _refused(path)
    assert text.startswith("site.csv:4: only 183 of 480 rows can be used")
    assert "unparsable_cell 297" in text
    assert "Repair or fetch the file again" in text
    # Told not to validate, the readable rest is taken.
    assert len(read_weather(path, validate=False).frame) == 183


def test_nothing_left_is_refused_even_without_validation(lines: list[str], write: Write) -> None:
    lines[3:] = [_set(line, 5, "broken") for line in lines[3:]]
    with pytest.raises(IntakeError, match=r"site\.csv:4: has 0 usable rows of 480"):
        read_weather(write(lines), validate=False)


def test_coarse_data_is_refused(lines: list[str], write: Write) -> None:
    text = _refused(write([*lines[:3], *lines[3::3]]))
    assert text.startswith("site.csv:4: the commonest step between rows is 180 minutes")


def test_leap_year_as_nominal_year_is_refused() -> None:
    with pytest.raises(IntakeError, match=r"723170TYA\.CSV: a typical year has no 29 February"):
        read_weather(bundled_weather_file(), nominal_year=2024)


def test_tmy3_without_station_line(write: Write) -> None:
    rows = bundled_weather_file().read_text("utf-8").splitlines()
    assert _refused(write(rows[1:])).startswith("site.csv:1: the column header stands here")


def test_tmy3_with_broken_station_line(write: Write) -> None:
    rows = bundled_weather_file().read_text("utf-8").splitlines()
    rows[0] = rows[0].replace("-5.0", "EST")
    assert _refused(write(rows)).startswith("site.csv:1: time zone of the station is 'EST'")


def test_tmy3_with_broken_header(write: Write) -> None:
    rows = bundled_weather_file().read_text("utf-8").splitlines()
    rows[1] = rows[1].replace("GHI (W/m^2)", "GHI")
    assert _refused(write(rows)).startswith("site.csv:2: the header lacks GHI (W/m^2)")


def test_tmy3_with_broken_cells(write: Write) -> None:
    rows = bundled_weather_file().read_text("utf-8").splitlines()
    rows[5] = rows[5].replace("01/01/1988", "01-01-1988")
    rows[9] = _set(rows[9], 4, "abc")
    report = _read(write(rows)).report
    assert report.removed == {"unparsable_cell": 1, "bad_timestamp": 1}
    assert {text[:12] for text in report.examples} == {"site.csv:6: ", "site.csv:10:"}


def test_meter_file_is_unknown_and_the_known_formats_are_named(write: Write) -> None:
    text = _refused(write(["timestamp,active_power_kw", "2024-01-01T00:00:00Z,1.5"]))
    assert text.startswith("site.csv:1: unknown format, begins with 'timestamp,active_power_kw'")
    assert "known formats: NSRDB" in text
    assert "TMY3" in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "site.csv: is empty"),
        (b"\n\n", "site.csv: is empty"),
        (b"a,b\n\xff\xfe,c\n", "site.csv:2: byte 0xff is not UTF-8"),
        (b"a,b\nc\0d\n", "site.csv:2: holds zero bytes"),
        (gzip.compress(b"x" * 10_000, mtime=0)[:30], "site.csv: is a damaged gzip file"),
    ],
)
def test_what_is_not_text(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "site.csv"
    path.write_bytes(content)
    assert _refused(path).startswith(reason)


def test_missing_file_is_named(tmp_path: Path) -> None:
    text = _refused(tmp_path / "nowhere.csv")
    assert text.startswith(f"{tmp_path / 'nowhere.csv'}: cannot be read")
    assert "check the path" in text
