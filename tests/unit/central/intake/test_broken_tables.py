"""Tables broken in every way we could think of: each fault is named, by line, with what to do."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from central.intake import IntakeError, preprocess
from central.intake import blocks as blocks_module
from central.intake.series import SeriesFile
from central.intake.series_parse import parse_series
from central.intake.series_rules import settle

_spec = importlib.util.spec_from_file_location("tables", Path(__file__).with_name("tables.py"))
assert _spec is not None
assert _spec.loader is not None
tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tables)

Write = Callable[..., Path]


def _read(path: Path) -> SeriesFile:
    return settle(*parse_series(path), validate=True)


def _refused(path: Path) -> str:
    with pytest.raises(IntakeError) as caught:
        _read(path)
    return str(caught.value)


def _power(file: SeriesFile) -> np.ndarray:  # type: ignore[type-arg]
    (series,) = file.series
    return series.columns["active_power_kw"]


@pytest.fixture
def meter() -> list[str]:
    lines: list[str] = tables.meter_lines(10)
    return lines


def test_unknown_columns_are_refused_with_what_was_seen_and_what_is_known(write: Write) -> None:
    text = _refused(write(["when,what", "2024-01-01,5"]))
    assert text.startswith("site.csv:1: unknown format, begins with 'when,what'")
    for known in ("NSRDB", "TMY3", "SURFRAD", "timestamp", "active_power_kw", "ac_power_kw"):
        assert known in text
    assert "Rename the columns" in text


def test_stamp_without_any_known_column_is_unknown(write: Write) -> None:
    assert "unknown format" in _refused(write(["timestamp,foo", "2024-01-01T00:00:00Z,1"]))


def test_header_alone_has_no_data(write: Write) -> None:
    assert _refused(write([tables.METER])).startswith("site.csv:1: has no data below the header")


@pytest.mark.parametrize(
    ("position", "cell", "rule"),
    [
        (0, "yesterday", "bad_timestamp"),
        (0, "2024-02-30T00:00:00Z", "bad_timestamp"),
        (0, "", "bad_timestamp"),
        (0, "2024-03-05T00:07:00Z", "off_grid_timestamp"),
        (0, "2029-03-05T00:00:00Z", "stray_timestamp"),
        (0, "2024-03-04T00:15:00Z", "duplicate_timestamp"),
        (1, "n.a.", "unparsable_cell"),
        (1, "1e999", "unparsable_cell"),
        (1, "", "missing_value"),
        (1, "?", "missing_value"),
        (1, "-9999", "sentinel_value"),
        (1, "-1000000.0", "sentinel_value"),
        (3, "-9999", "missing_value"),
        (3, "-5", "out_of_limits"),
        (5, "400", "out_of_limits"),
    ],
)
def test_one_bad_cell_costs_one_row(
    meter: list[str], write: Write, position: int, cell: str, rule: str
) -> None:
    meter[120] = tables.set_cell(meter[120], position, cell)
    ledger = _read(write(meter)).ledger
    assert ledger.removed == {rule: 1}
    assert ledger.examples[0].startswith("site.csv:121: ")
    assert int(ledger.alive.sum()) == 959


def test_rows_too_short_and_too_long(meter: list[str], write: Write) -> None:
    meter[20] = meter[20][:25]
    meter[21] += ",1,2"
    ledger = _read(write(meter)).ledger
    assert ledger.removed == {"wrong_cell_count": 2}
    assert ledger.examples[0] == ("site.csv:21: 2 cells where the header has 6; row removed")
    assert ledger.examples[1].startswith("site.csv:22: 8 cells")


def test_trailing_separators_blank_lines_and_a_byte_order_mark_are_no_fault(
    meter: list[str], write: Write, tmp_path: Path
) -> None:
    plain = _power(_read(write(meter)))
    odd = ["\ufeff" + meter[0], *(line + "," * (n % 3) for n, line in enumerate(meter[1:]))]
    odd[50:50] = ["", "   "]
    path = tmp_path / "odd.csv"
    path.write_bytes("\r\n".join(odd).encode())
    file = _read(path)
    assert np.array_equal(_power(file), plain)
    assert file.ledger.removed == {}
    assert int(file.ledger.lines[-1]) == len(odd)


def test_quoted_cells_may_hold_separators(meter: list[str], write: Write) -> None:
    quoted = [meter[0] + ',"note, long"', *(f'{line},"a, b"' for line in meter[1:])]
    file = _read(write(quoted))
    assert file.ledger.removed == {}
    assert np.array_equal(_power(file), _power(_read(write(meter))))


def test_semicolons_with_decimal_commas(meter: list[str], write: Write) -> None:
    other = [line.replace(",", ";").replace(".", ",") for line in meter]
    assert np.array_equal(_power(_read(write(other))), _power(_read(write(meter))))


@pytest.mark.parametrize(
    "form",
    ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d-%m-%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M"],
)
def test_day_and_month_are_told_apart_by_the_steps(
    meter: list[str], write: Write, form: str
) -> None:
    import pandas as pd

    wanted = _read(write(meter)).series[0].index
    other = tables.each(
        meter,
        lambda line: f"{pd.Timestamp(line.split(',')[0]).strftime(form)},{line.split(',', 1)[1]}",
    )
    file = _read(write(other))
    assert file.series[0].index.equals(wanted)
    assert file.source.clock == "file"


@pytest.mark.parametrize("scale", [1, 1000])
def test_epoch_seconds_and_milliseconds(meter: list[str], write: Write, scale: int) -> None:
    start = int(tables.START.timestamp())
    other = [meter[0]] + [
        f"{(start + 900 * row) * scale},{line.split(',', 1)[1]}"
        for row, line in enumerate(meter[1:])
    ]
    file = _read(write(other))
    assert file.series[0].index[0].isoformat() == "2024-03-04T00:00:00"
    assert file.source.clock == "utc"


def test_stated_offsets_become_utc(meter: list[str], write: Write) -> None:
    other = [line.replace("Z,", "-07:00,") for line in meter]
    file = _read(write(other))
    assert file.series[0].index[0].isoformat() == "2024-03-04T07:00:00"
    assert file.source.clock_offset_hours == -7


def test_logger_that_writes_late_is_put_on_the_grid(meter: list[str], write: Write) -> None:
    late = [line.replace(":00Z", f":{n % 7:02d}Z", 1) for n, line in enumerate(meter)]
    file = _read(write(late))
    assert file.ledger.removed == {}
    assert any("moved to it, by up to 6 s" in note for note in file.notes)


def test_rows_out_of_order_are_sorted(meter: list[str], write: Write) -> None:
    mixed = [meter[0], *meter[500:], *meter[1:500]]
    assert np.array_equal(_power(_read(write(mixed))), _power(_read(write(meter))))


def test_column_that_is_mostly_empty_is_left_out_and_costs_no_row(
    meter: list[str], write: Write
) -> None:
    file = _read(write(tables.each(meter, lambda line: tables.set_cell(line, 5, ""))))
    assert file.ledger.removed == {}
    assert "frequency_hz" not in file.series[0].columns
    assert any("frequency_hz is missing in 100%" in note for note in file.notes)


def test_stamps_that_nobody_can_read(meter: list[str], write: Write) -> None:
    text = _refused(write(tables.each(meter, lambda line: tables.set_cell(line, 0, "noon"))))
    assert text.startswith("site.csv:2: time stamps such as 'noon' cannot be read")


def test_daily_values_are_no_series_of_power(meter: list[str], write: Write) -> None:
    text = _refused(write([meter[0], *meter[1::96]]))
    assert "commonest step between rows is 1440 minutes" in text


def test_long_table_of_two_quantities_is_refused(write: Write) -> None:
    rows = ["site,meas_name,ts,sensor,meas_val_f"]
    for stamp in tables.stamps(50):
        rows += [f"a,ac_power,{stamp},s,1.0", f"a,dc_power,{stamp},s,1.1"]
    text = _refused(write(rows))
    assert "ac_power_kw, dc_power_kw one below the other" in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "site.csv: is empty"),
        (b"\n\n", "site.csv: is empty"),
        (b"timestamp,active_power_kw\n2024-01-01T00:00:00Z,1\n\xff,2\n", "site.csv:3: byte 0xff"),
        (b"timestamp,active_power_kw\nc\0d,1\n", "site.csv:2: holds zero bytes"),
        (gzip.compress(b"x" * 90_000, mtime=0)[:60], "site.csv: is a damaged gzip file"),
        (b"timestamp,active_power_kw\n" + b"9" * 9_000_000, "site.csv:2: has a line of more than"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "site.csv"
    path.write_bytes(content)
    assert _refused(path).startswith(reason)


def test_bad_byte_far_down_is_named_by_its_line(
    meter: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, "_BLOCK_BYTES", 5000)
    content = [line.encode() for line in tables.meter_lines(40)]
    content[3000] += b"\xfe"
    path = tmp_path / "site.csv"
    path.write_bytes(b"\n".join(content))
    assert _refused(path).startswith("site.csv:3001: byte 0xfe is not UTF-8")


def test_mostly_bad_table_is_refused_and_taken_without_validation(
    meter: list[str], write: Write, tmp_path: Path
) -> None:
    high = [meter[0], *(tables.set_cell(line, 5, "400") for line in meter[1:600]), *meter[600:]]
    raw = write(high).parent
    (strict,) = preprocess(raw, tmp_path / "strict", capacity_kw=5.0)
    assert strict.error is not None
    assert strict.error.startswith(
        "site.csv:2: only 361 of 960 rows can be used (out_of_limits 599"
    )
    assert strict.escalate
    (lenient,) = preprocess(raw, tmp_path / "lenient", capacity_kw=5.0, validate=False)
    assert (lenient.rows_out, lenient.escalate) == (960, False)


def test_impossible_place_and_zone_are_named(
    write: Write, meter: list[str], tmp_path: Path
) -> None:
    raw = write(meter).parent
    with pytest.raises(IntakeError, match="--latitude"):
        preprocess(raw, tmp_path / "out", capacity_kw=5.0, place=(95.0, 0.0))
    with pytest.raises(IntakeError, match="--timezone"):
        preprocess(raw, tmp_path / "out", capacity_kw=5.0, zone="Mars/Olympus")
