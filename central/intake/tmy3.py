"""TMY3 files of NREL: typical years of US stations, as pvlib ships two of them.

Line 1 is the station, line 2 the header, then 8760 hours from 01:00 to 24:00 local standard time.
Irradiance is the mean over the hour that ENDS at the stamp, everything else holds at the stamp, and
-9900 is a missing value (Wilcox & Marion, Users Manual for TMY3 Data Sets, NREL/TP-581-43156).
"""

from __future__ import annotations

import csv
import re
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from .columns import ParsedWeather, SourceColumn, check_header, convert
from .errors import IntakeError
from .source_text import SourceText
from .stamps import ClockStamps
from .table import FloatArray, parse_table, split_header

_TIMES = ("Date (MM/DD/YYYY)", "Time (HH:MM)")
_HEADER_LINE = 2

COLUMNS = (
    SourceColumn("GHI (W/m^2)", "ghi", "W/m2", required=True),
    SourceColumn("DNI (W/m^2)", "dni", "W/m2", required=True),
    SourceColumn("DHI (W/m^2)", "dhi", "W/m2", required=True),
    SourceColumn("Dry-bulb (C)", "temp_air", "degC", required=True),
    SourceColumn("Wspd (m/s)", "wind_speed", "m/s"),
    SourceColumn("Wdir (degrees)", "wind_direction", "deg"),
    SourceColumn("RHum (%)", "relative_humidity", "%"),
    SourceColumn("Pressure (mbar)", "pressure", "mbar"),
    SourceColumn("Pwat (cm)", "precipitable_water", "cm"),
    SourceColumn("TotCld (tenths)", "cloud_cover", "tenths"),
)

_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_TIME = re.compile(r"(\d{1,2}):(\d{2})")
_STATION = (  # what the fields after the name and state are, and their limits
    ("time zone", 3, -12.0, 14.0),
    ("latitude", 4, -90.0, 90.0),
    ("longitude", 5, -180.0, 180.0),
    ("elevation", 6, -500.0, 9000.0),
)


def bundled_weather_file() -> Path:
    """The TMY3 file that ships inside pvlib: Greensboro, North Carolina (36.1 N, 79.95 W)."""
    # pvlib is always installed unpacked, so the path outlives the context.
    with as_file(files("pvlib") / "data" / "723170TYA.CSV") as path:
        return path


def parse_tmy3(text: SourceText) -> ParsedWeather:
    """Parse a TMY3 file.

    Raises:
        IntakeError: the station line or the header is missing or broken, or there is no data.
    """
    name, zone, latitude, longitude, elevation = _station(text)
    if len(text.lines) < _HEADER_LINE:
        raise IntakeError("ends after the station line; download it again", file=text.file, line=1)
    header = split_header(text, _HEADER_LINE)
    columns = check_header(header, COLUMNS, _TIMES, file=text.file, line=_HEADER_LINE)
    table = parse_table(text, _HEADER_LINE, [column.header for column in columns], _TIMES)
    month, day, year = _split(_DATE, table.texts[_TIMES[0]], 3)
    hour, minute = _split(_TIME, table.texts[_TIMES[1]], 2)
    return ParsedWeather(
        location=name,
        latitude=latitude,
        longitude=longitude,
        elevation_m=elevation,
        clock_offset_hours=zone,
        site_offset_hours=zone,
        stamps=ClockStamps(year, month, day, np.asarray(hour * 60 + minute)),
        columns={column.name: convert(column, table.numbers[column.header]) for column in columns},
        ledger=table.ledger,
    )


def _station(text: SourceText) -> tuple[str, float, float, float, float]:
    if text.lines[0].lower().startswith("date "):
        raise IntakeError(
            "the column header stands here, where the station line should be (number, name, state, "
            "time zone, latitude, longitude, elevation). Put it back from the original download",
            file=text.file,
            line=1,
        )
    cells = [cell.strip() for cell in next(csv.reader([text.lines[0]]))]
    values: list[float] = []
    for field, position, lowest, highest in _STATION:
        cell = cells[position] if position < len(cells) else ""
        try:
            value = float(cell)
        except ValueError:
            value = float("nan")
        if not lowest <= value <= highest:
            raise IntakeError(
                f"{field} of the station is {cell!r}, not a number from {lowest:g} to {highest:g}; "
                f"correct field {position + 1} of line 1",
                file=text.file,
                line=1,
            )
        values.append(value)
    zone, latitude, longitude, elevation = values
    return f"{cells[0]} {cells[1]}", zone, latitude, longitude, elevation


def _split(pattern: re.Pattern[str], cells: list[str], groups: int) -> list[FloatArray]:
    """The numbers in each cell, one array per group; NaN where the cell does not match."""
    unreadable = ("nan",) * groups
    found = [match.groups() if (match := pattern.fullmatch(cell)) else unreadable for cell in cells]
    return [np.array(part, dtype=np.float64) for part in zip(*found, strict=True)]
