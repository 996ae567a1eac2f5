"""Files torn at random: each goes through or is refused by name; nothing is half written."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from central.intake.process import Job, process_file

_spec = importlib.util.spec_from_file_location("tables", Path(__file__).with_name("tables.py"))
assert _spec is not None
assert _spec.loader is not None
tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tables)

JUNK = (
    b'"', b'""', b"\r", b",", b";", b"\t", b"nan", b"inf", b"-9999", b"1e308", b"-1e308", b"?",
    b"\xff", b"\0", b"99999999999999999999", b"-", b" ", b"\n\n", b"1.5.5", b'"a,b"', b"\xe2\x82",
)  # fmt: skip


def _long() -> list[str]:
    power = tables.roof(6)
    return ["site,meas_name,ts,sensor,meas_val_f"] + [
        f"a,ac_power,{stamp},s{n % 2},{p:.3f}"
        for n, (stamp, p) in enumerate(zip(tables.stamps(power.size), power, strict=True))
    ]


def _open_meteo() -> list[str]:
    return [
        "latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation",
        "44.0,-95.2,449.0,-21600,America/Chicago,GMT-6",
        "",
        "time,temperature_2m (degC),shortwave_radiation (W/m2)",
        *(f"{stamp},{n % 30}.5,{n % 700}" for n, stamp in enumerate(tables.stamps(300, 60))),
    ]


def _uci() -> list[str]:
    return ["Date;Time;Global_active_power;Voltage;Global_intensity"] + [
        f"{1 + n // 1440}/3/2024;{n // 60 % 24:02d}:{n % 60:02d}:00;{1 + n % 7 / 10};230.1;{n % 9}"
        for n in range(600)
    ]


def _surfrad() -> list[str]:
    return [" Alamosa", "   37.70  105.92 2317 m version 1"] + [
        f" 2016   1  1  1 {n // 60} {n % 60}  0.0  91.65" + f"  {n % 50}.5 0" * 20
        for n in range(400)
    ]


SOURCES: tuple[Callable[[], list[str]], ...] = (
    lambda: tables.meter_lines(5),
    lambda: tables.weather_lines(15),
    _long,
    _open_meteo,
    _uci,
    _surfrad,
)


def _torn(rng: random.Random, lines: list[bytes]) -> bytes:
    for _ in range(rng.choice([1, 1, 2, 5, 40])):
        lines = lines or [b"x"]
        at = rng.randrange(len(lines)) if rng.random() < 0.7 else rng.randrange(min(5, len(lines)))
        line, place = lines[at], rng.randrange(len(lines[at]) + 1)
        match rng.randrange(6):
            case 0:
                lines[at] = line[:place] + rng.choice(JUNK) + line[place:]
            case 1:
                lines[at] = line[:place]
            case 2:
                del lines[at : at + rng.randrange(len(lines))]
            case 3:
                lines.insert(at, rng.choice(lines))
            case 4:
                column, junk = rng.randrange(8), rng.choice(JUNK)
                for row in range(1, len(lines)):
                    cells = lines[row].split(b",")
                    if column < len(cells) and rng.random() < 0.5:
                        cells[column] = junk
                        lines[row] = b",".join(cells)
            case _:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
    content = b"\n".join(lines)
    return content if rng.random() < 0.9 else content[: rng.randrange(len(content) + 1)]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("seed", range(8))
def test_torn_file_goes_through_or_is_refused_by_name(
    tmp_path: Path, source: Callable[[], list[str]], seed: int
) -> None:
    rng = random.Random(seed)
    path, out = tmp_path / "torn.csv", tmp_path / "out"
    out.mkdir()
    path.write_bytes(_torn(rng, [line.encode() for line in source()]))
    report = process_file(Job(path, out, "now", "torn", 5.0, validate=rng.random() < 0.8))
    written = sorted(file.name for file in out.iterdir())
    if report.error is not None:
        assert report.error.startswith("torn.csv:")
        assert written == ["refused_now_torn.report.json"]
        return
    assert len(written) == 3
    table = pd.read_parquet(str(report.parquet))
    assert len(table) == report.rows_out
    assert report.removed is not None
    assert report.rows_in == report.rows_out + sum(report.removed.values())
    assert table.select_dtypes("number").notna().all().all()
    json.loads((out / f"{report.kind}_processed_now_torn.report.json").read_text())
