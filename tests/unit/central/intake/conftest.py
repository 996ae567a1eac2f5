"""Small NSRDB files made on the spot, to be broken by the tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

METADATA = (
    "Source,Location ID,City,State,Country,Latitude,Longitude,Time Zone,Elevation,Local Time Zone,"
    "GHI Units,Temperature Units,Pressure Units"
)
VALUES = "NSRDB,4711,-,-,-,35.21,-101.94,-6,1102,-6,w/m2,c,mbar"
HEADER = "Year,Month,Day,Hour,Minute,GHI,DNI,DHI,Temperature,Wind Speed,Pressure"


@pytest.fixture
def lines() -> list[str]:
    """Metadata, header and 20 days of hourly rows at minute 30, the first of them in line 4."""
    start = datetime(2013, 6, 1, 0, 30, tzinfo=UTC)
    rows = [METADATA, VALUES, HEADER]
    for hour in range(20 * 24):
        stamp = start + timedelta(hours=hour)
        sun = max(0, 7 - abs(stamp.hour - 12))
        rows.append(
            f"{stamp.year},{stamp.month},{stamp.day},{stamp.hour},{stamp.minute},"
            f"{100 * sun},{80 * sun},{30 * sun},{15 + sun},2.5,900"
        )
    return rows


@pytest.fixture
def write(tmp_path: Path) -> Callable[[list[str]], Path]:
    """A function that writes lines to ``raw/site.csv`` and gives the path."""

    def to_file(rows: list[str], name: str = "site.csv") -> Path:
        path = tmp_path / "raw" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        return path

    return to_file
