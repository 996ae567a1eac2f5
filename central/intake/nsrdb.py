"""NSRDB CSV files: PSM v2, v3 and v4, recorded years and typical years, any time zone.

Line 1 holds metadata names, line 2 their values, line 3 the header, then one row per instant (the
"SAM CSV" format of https://nsrdb.nrel.gov). The stamps follow the metadata field ``Time Zone``;
``Local Time Zone`` is the zone of the place, and differs in files that were asked for in UTC.
Irradiance is instantaneous at the stamp (Sengupta et al., Renew. Sust. Energy Rev. 89, 2018).
"""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np

from .columns import ParsedWeather, SourceColumn, check_header, convert
from .errors import IntakeError
from .source_text import SourceText
from .stamps import ClockStamps
from .table import parse_table, split_header

_TIMES = ("Year", "Month", "Day", "Hour", "Minute")
_HEADER_LINE = 3

COLUMNS = (
    SourceColumn("GHI", "ghi", "W/m2", required=True),
    SourceColumn("DNI", "dni", "W/m2", required=True),
    SourceColumn("DHI", "dhi", "W/m2", required=True),
    SourceColumn("Temperature", "temp_air", "degC", required=True),
    SourceColumn("Wind Speed", "wind_speed", "m/s"),
    SourceColumn("Wind Direction", "wind_direction", "deg"),
    SourceColumn("Relative Humidity", "relative_humidity", "%"),
    # some exports, and the owner's runbook, spell them so
    SourceColumn("WindSpeed", "wind_speed", "m/s"),
    SourceColumn("Humidity", "relative_humidity", "%"),
    SourceColumn("Pressure", "pressure", "mbar"),
    SourceColumn("Precipitable Water", "precipitable_water", "cm"),
)

_UNIT_NAMES = {
    "w/m2": "W/m2",
    "kw/m2": "kW/m2",
    "c": "degC",
    "k": "K",
    "m/s": "m/s",
    "degrees": "deg",
    "degree": "deg",
    "%": "%",
    "mbar": "mbar",
    "millibar": "mbar",
    "hpa": "hPa",
    "pa": "Pa",
    "kpa": "kPa",
    "cm": "cm",
    "mm": "mm",
}


def parse_nsrdb(text: SourceText) -> ParsedWeather:
    """Parse an NSRDB file.

    Raises:
        IntakeError: a metadata line is missing or broken, the header lacks a required column, a
            unit is unknown, or there is no data.
    """
    metadata = _metadata(text)
    header = split_header(text, _HEADER_LINE)
    columns = check_header(header, COLUMNS, _TIMES, file=text.file, line=_HEADER_LINE)
    columns = [_with_unit(column, metadata, text.file) for column in columns]
    table = parse_table(text, _HEADER_LINE, [*_TIMES, *(column.header for column in columns)])
    year, month, day, hour, minute = (table.numbers[name] for name in _TIMES)
    clock = _number(metadata, "Time Zone", text.file, -12, 14)
    site = clock
    if metadata.get("Local Time Zone"):
        site = _number(metadata, "Local Time Zone", text.file, -12, 14)
    return ParsedWeather(
        location=metadata.get("Location ID", "").strip("-") or "unnamed",
        latitude=_number(metadata, "Latitude", text.file, -90, 90),
        longitude=_number(metadata, "Longitude", text.file, -180, 180),
        elevation_m=_number(metadata, "Elevation", text.file, -500, 9000),
        clock_offset_hours=clock,
        site_offset_hours=site,
        stamps=ClockStamps(year, month, day, np.asarray(hour * 60 + minute)),
        columns={column.name: convert(column, table.numbers[column.header]) for column in columns},
        ledger=table.ledger,
    )


def _metadata(text: SourceText) -> dict[str, str]:
    """Names of line 1 to values of line 2, when the three lines are what they should be."""
    if len(text.lines) < _HEADER_LINE:
        raise IntakeError(
            f"ends after {len(text.lines)} lines; an NSRDB file has two metadata lines, a header "
            f"and data. Download it again",
            file=text.file,
            line=len(text.lines),
        )
    for line in (1, 2):
        if text.lines[line - 1].lower().startswith("year,"):
            raise IntakeError(
                f"the column header stands here, where metadata line {line} of 2 should be (line "
                f"1: names such as Latitude, Longitude, Time Zone; line 2: their values). Put the "
                f"missing line back from the original download",
                file=text.file,
                line=line,
            )
    names = split_header(text, 1)
    missing = [
        name for name in ("Latitude", "Longitude", "Time Zone", "Elevation") if name not in names
    ]
    if missing:
        raise IntakeError(
            f"the metadata names lack {', '.join(missing)}; restore line 1 from the original "
            f"download",
            file=text.file,
            line=1,
        )
    values = [cell.strip() for cell in next(csv.reader([text.lines[1]]))]
    if len(values) < len(names):
        raise IntakeError(
            f"{len(values)} metadata values for the {len(names)} names of line 1; restore line 2 "
            f"from the original download",
            file=text.file,
            line=2,
        )
    return dict(zip(names, values, strict=False))


def _number(metadata: dict[str, str], name: str, file: str, lowest: float, highest: float) -> float:
    try:
        value = float(metadata[name])
    except ValueError:
        value = float("nan")
    if not lowest <= value <= highest:
        raise IntakeError(
            f"metadata {name} is {metadata[name]!r}, not a number from {lowest:g} to {highest:g}; "
            f"correct line 2 from the original download",
            file=file,
            line=2,
        )
    return value


def _with_unit(column: SourceColumn, metadata: dict[str, str], file: str) -> SourceColumn:
    """``column`` in the unit that the metadata gives; NSRDB's usual one when it gives none."""
    # Some files call the field "Wind Speed" instead of "Wind Speed Units".
    stated = metadata.get(f"{column.header} Units") or metadata.get(column.header, "")
    if not stated or stated in {"-", "N/A"}:
        return column
    unit = _UNIT_NAMES.get(stated.lower())
    if unit is None:
        raise IntakeError(
            f"unit of {column.header} is {stated!r}; known: {', '.join(_UNIT_NAMES)}. Export the "
            f"file again in one of these",
            file=file,
            line=2,
        )
    return replace(column, unit=unit)
