"""The series a simulated site replays: straight lines, exact energy, files with errors."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from firmware_bridge.simulator import PowerSeries, SeriesError, load_series
from models.contract.timestamps import HOUR_MS, parse_iso8601

HEADER = "timestamp,ac_power,load_power\n"
ROW_1, ROW_2 = "2024-06-01T10:00:00Z,1000,500\n", "2024-06-01T11:00:00Z,3000,500\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "series.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_power_runs_in_a_straight_line_and_energy_is_its_integral(tmp_path: Path) -> None:
    series = load_series(write(tmp_path, HEADER + ROW_1 + ROW_2))
    state = series.at(parse_iso8601("2024-06-01T10:30:00Z"))
    assert state.ac_power == 2000
    assert state.grid_power == -1500
    assert state.ac_energy == pytest.approx(750)
    assert state.grid_export_energy == pytest.approx(500)
    assert state.grid_import_energy == 0
    assert state.dc_power == pytest.approx(2000 / 0.96)
    assert series.at(series.end).ac_energy == pytest.approx(2000)


def test_import_and_export_are_split_where_the_power_changes_its_sign() -> None:
    # net power from +1000 to -3000 W in an hour: crosses zero after a quarter of it
    series = PowerSeries([0, HOUR_MS], {"ac_power": [0, 4000], "load_power": [1000, 1000]})
    state = series.at(HOUR_MS)
    assert state.grid_import_energy == pytest.approx(125)
    assert state.grid_export_energy == pytest.approx(1125)
    assert series.at(HOUR_MS // 4).grid_import_energy == pytest.approx(125)


def test_night_consumption_of_the_inverter_does_not_run_its_counter_backwards() -> None:
    series = PowerSeries([0, HOUR_MS], {"ac_power": [-10, -10], "load_power": [0, 0]})
    assert series.at(HOUR_MS).ac_energy == 0
    assert series.at(HOUR_MS).grid_import_energy == pytest.approx(10)


def test_outside_its_span_the_site_stands_still(tmp_path: Path) -> None:
    series = load_series(write(tmp_path, HEADER + ROW_1 + ROW_2))
    before, after = series.at(series.start - 1), series.at(series.end + 1)
    assert (before.ac_power, before.load_power, before.ac_energy) == (0, 0, 0)
    assert (after.ac_power, after.grid_power) == (0, 0)
    assert after.ac_energy == pytest.approx(2000)


def test_counters_never_fall() -> None:
    powers = [0, 50, 4000, 10, 0, 900, -20, 5]
    series = PowerSeries(
        [i * HOUR_MS for i in range(8)], {"ac_power": powers, "load_power": powers[::-1]}
    )
    states = [series.at(instant) for instant in range(-HOUR_MS, 9 * HOUR_MS, 61_000)]
    for name in ("ac_energy", "grid_import_energy", "grid_export_energy"):
        values = [getattr(state, name) for state in states]
        assert all(b >= a - 1e-9 for a, b in itertools.pairwise(values))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "series.csv:1: column timestamp is missing"),
        ("timestamp,ac_power\n", "series.csv:1: column load_power is missing"),
        (HEADER.replace("load_power", "load_power,wind"), "series.csv:1: unknown or doubled"),
        (HEADER, "at least two rows"),
        (HEADER + ROW_1, "at least two rows"),
        (HEADER + ROW_1 + ROW_1, "series.csv:3: timestamp: .*does not come after"),
        (HEADER + ROW_1 + "2024-06-01T11:00:00,1,1\n", "series.csv:3: timestamp: .*zone"),
        (HEADER + ROW_1 + "2024-06-01T11:00:00Z,,1\n", "series.csv:3: ac_power: not a number: ''"),
        (HEADER + ROW_1 + "2024-06-01T11:00:00Z,nan,1\n", "series.csv:3: ac_power: not a number"),
        (HEADER + ROW_1 + "2024-06-01T11:00:00Z,1\n", "series.csv:3: 2 fields"),
    ],
)
def test_unusable_file_names_file_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SeriesError, match=message):
        load_series(write(tmp_path, text))


def test_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match=r"none\.csv: cannot be read"):
        load_series(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SeriesError, match=r"binary\.csv: cannot be read"):
        load_series(tmp_path / "binary.csv")
